import pytest
from typer.testing import CliRunner

from trunkline_standalone.cli import app
from trunkline_standalone.cli_usage import usage_app

HERE = CliRunner()


@pytest.mark.parametrize("command", ["usage", "usage statement", "usage reconcile"])
def test_each_command_explains_itself_and_gives_an_example(command):
    output = HERE.invoke(app, [*command.split(), "--help"]).output
    assert "For instance" in output
    assert f"trunkline {command}" in output


def test_every_dimension_is_in_the_help():
    from trunkline_gateway.ledger.questions import DIMENSIONS

    words = HERE.invoke(app, ["usage", "--help"]).output.replace(",", " ").replace(".", " ").split()
    assert set(DIMENSIONS) <= set(words)


@pytest.mark.parametrize(
    "arguments",
    [["--limit", "0"], ["statement"], ["statement", "--team", "x"], ["reconcile", "--invoice", "x"], ["nothing"]],
)
def test_what_is_not_understood_is_exit_code_2(arguments):
    assert HERE.invoke(usage_app, arguments).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--by", "teem"], "usage cannot be split by teem"),
        (["--where", "team"], "--where takes DIMENSION=VALUE"),
        (["--bucket", "minute"], "a bucket is one of hour, day, week, month"),
        (["--time-zone", "Mars"], "'Mars' is no time zone"),
        (["statement", "--team", "x", "--month", "May"], "'May' is no month"),
        (["reconcile", "--invoice", "/none.csv", "--provider", "x"], "cannot read the invoice /none.csv: No such file"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_1(tmp_path, arguments, told):
    result = HERE.invoke(usage_app, [*arguments], env={"TRUNKLINE_HOME": str(tmp_path)})
    assert result.exit_code == 1
    assert result.stderr.startswith("trunkline: ")
    assert told in result.stderr
    assert len(result.stderr.splitlines()) == 1
