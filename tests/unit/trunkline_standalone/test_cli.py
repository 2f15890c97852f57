import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from trunkline_standalone.cli import app

COMMANDS = [
    "up",
    "chat",
    "version",
    "worker",
    "gateway",
    "router",
    "cache",
    "guardrails",
    "sre",
    "models prepare",
    "models list",
    "models verify",
    "config check",
    "config schema",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command):
    result = CliRunner().invoke(app, [*command.split(), "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.output


@pytest.mark.parametrize(
    "command", [name for name in COMMANDS if name not in {"version", "models list", "models verify"}]
)
def test_and_gives_an_example(command):
    output = CliRunner().invoke(app, [*command.split(), "--help"]).output
    assert "For instance" in output
    assert f"trunkline {command}" in output


@pytest.mark.parametrize(
    "arguments", [["up", "--port", "x"], ["chat"], ["router"], ["nothing"], ["config", "check"], ["models", "nothing"]]
)
def test_what_is_not_understood_is_exit_code_2(arguments):
    assert CliRunner().invoke(app, arguments).exit_code == 2


def test_help_in_a_pipe_is_plain_and_quick():
    """Nothing heavy is imported for it; 0.4 s on a quiet machine, and room for a busy one."""
    begun_s = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "trunkline_standalone", "--help"], capture_output=True, text=True, check=True
    )
    assert time.monotonic() - begun_s < 2
    assert "─" not in done.stdout
    assert "chat" in done.stdout


def test_help_imports_nothing_heavy():
    code = (
        "import sys, trunkline_standalone.cli\n"
        "heavy = {'grpc', 'litestar', 'aiohttp', 'numpy', 'onnxruntime', 'redis', 'asyncpg', 'kubernetes'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
