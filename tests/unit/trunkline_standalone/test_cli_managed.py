"""The commands over the admin API: that they explain themselves, and what is not understood."""

import pytest
from typer.testing import CliRunner

from trunkline_standalone import cli_bounds, cli_keys, cli_tenants
from trunkline_standalone.cli import app

VERBS = {
    "keys": ("create", "set", "list", "show", "rotate", "disable", "enable", "revoke", "limit"),
    **dict.fromkeys(("teams", "orgs", "projects", "tags"), ("create", "list", "show", "set", "delete")),
    **dict.fromkeys(("limits", "budgets"), ("list", "set", "remove")),
}
COMMANDS = [*(f"{noun} {verb}" for noun, verbs in VERBS.items() for verb in verbs), "audit", "whoami"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(command):
    result = CliRunner().invoke(app, [*command.split(), "--help"])
    assert result.exit_code == 0
    assert "For instance" in result.output
    assert f"trunkline {command}" in result.output
    assert "--url" in result.output
    assert "TRUNKLINE_API_KEY" in result.output


@pytest.mark.parametrize(
    "arguments",
    [["keys"], ["keys", "show"], ["keys", "nothing"], ["teams", "create"], ["limits", "set", "team"], ["audit", "x"]],
)
def test_what_is_not_understood_is_exit_code_2(arguments):
    assert CliRunner().invoke(app, arguments).exit_code == 2


def test_every_app_is_part_of_the_command():
    names = {group.name: group.typer_instance for group in app.registered_groups}
    assert names["keys"] is cli_keys.keys_app
    assert names["teams"] is cli_tenants.teams_app
    assert names["limits"] is cli_bounds.limits_app
