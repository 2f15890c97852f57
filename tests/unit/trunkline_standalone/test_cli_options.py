from pathlib import Path

import pytest

from trunkline_kit.errors import ConfigError
from trunkline_standalone.cli_options import DEFAULT_HOME, home_folder, remote, run_plainly


def test_the_home_folder(monkeypatch):
    monkeypatch.delenv("TRUNKLINE_HOME", raising=False)
    assert home_folder() == DEFAULT_HOME
    monkeypatch.setenv("TRUNKLINE_HOME", "/srv/x")
    assert home_folder() == Path("/srv/x")
    assert remote("http://x", None).home == Path("/srv/x")


def test_an_error_is_one_line(capsys):
    def work():
        raise ConfigError("what is wrong")

    with pytest.raises(SystemExit) as caught:
        run_plainly(work)
    assert caught.value.code == 1
    assert capsys.readouterr().err == "trunkline: what is wrong\n"


def test_debugging_lets_errors_through(monkeypatch):
    monkeypatch.setenv("TRUNKLINE_DEBUG", "1")

    def work():
        raise ConfigError("what is wrong")

    with pytest.raises(ConfigError):
        run_plainly(work)
