"""`trunkline providers`, in words."""

import json

import pytest
from typer.testing import CliRunner

from trunkline_kit.presets import PRESETS
from trunkline_standalone.cli import app
from trunkline_standalone.cli_providers import providers_app

HERE = CliRunner()


@pytest.mark.parametrize("command", ["providers presets", "providers profile"])
def test_each_command_explains_itself_and_gives_an_example(command):
    output = HERE.invoke(app, [*command.split(), "--help"]).output
    assert "For instance" in output
    assert f"trunkline {command}" in output


def test_all_presets_are_listed():
    lines = HERE.invoke(providers_app, ["presets"]).output.splitlines()
    assert lines[0].split("\t") == ["preset", "server", "address", "key", "on disconnect"]
    assert [line.split("\t")[0] for line in lines[1:]] == sorted(PRESETS)
    assert set(json.loads(HERE.invoke(providers_app, ["presets", "--json"]).output)) == set(PRESETS)


def test_one_preset_is_shown_with_its_habits():
    shown = dict(line.split("\t") for line in HERE.invoke(providers_app, ["presets", "mistral"]).output.splitlines())
    assert shown["key"] == "MISTRAL_API_KEY"
    assert shown["output limit"] == "sent as max_tokens"
    assert "user" in shown["not sent"]
    found = json.loads(HERE.invoke(providers_app, ["presets", "groq", "--json"]).output)
    assert found["base_url"] == "https://api.groq.com/openai/v1"


def test_one_that_is_not_there_is_one_line_with_those_that_are():
    result = HERE.invoke(providers_app, ["presets", "nobody"])
    assert result.exit_code == 1
    assert "no preset 'nobody'; there are baseten, " in result.stderr


def test_what_a_name_tells_is_shown():
    shown = dict(line.split("\t") for line in HERE.invoke(providers_app, ["profile", "gpt-5-mini"]).output.splitlines())
    assert shown["profile"] == "gpt-5"
    assert "sampling" in shown["cannot"]
    assert shown["context"] == "400000 tokens"
    assert "in nothing" in HERE.invoke(providers_app, ["profile", "my-own"]).output
    assert json.loads(HERE.invoke(providers_app, ["profile", "gpt-5", "--json"]).output)["sampling"] is False
