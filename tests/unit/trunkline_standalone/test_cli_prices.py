import pytest
from typer.testing import CliRunner

from trunkline_standalone.cli import app
from trunkline_standalone.cli_prices import prices_app

HERE = CliRunner()


@pytest.mark.parametrize("command", ["prices show", "prices check", "prices import", "prices diff"])
def test_each_command_explains_itself_and_gives_an_example(command):
    output = HERE.invoke(app, [*command.split(), "--help"]).output
    assert "For instance" in output
    assert f"trunkline {command}" in output


@pytest.mark.parametrize("arguments", [["check"], ["import"], ["nothing"]])
def test_what_is_not_understood_is_exit_code_2(arguments):
    assert HERE.invoke(prices_app, arguments).exit_code == 2


def test_a_model_is_shown():
    result = HERE.invoke(prices_app, ["show", "gpt-4o-mini", "--provider", "openai"])
    assert result.exit_code == 0
    assert "input $0.15" in result.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [([], "name a model"), (["gpt-4o", "--team", "x"], "--config"), (["nothing"], "no price for")],
)
def test_what_cannot_be_shown_is_one_line(arguments, told):
    result = HERE.invoke(prices_app, ["show", *arguments])
    assert result.exit_code == 1
    assert told in result.stderr
