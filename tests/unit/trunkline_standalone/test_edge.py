import asyncio
import errno

import pytest

from trunkline_kit.errors import Conflict
from trunkline_standalone.edge import explain, told_plainly


def test_our_errors_speak_for_themselves(capsys):
    with pytest.raises(SystemExit) as ended, told_plainly(debug=False):
        raise Conflict("the port is taken; use --port")
    assert ended.value.code == 1
    captured = capsys.readouterr()
    assert captured.err == "trunkline: the port is taken; use --port\n"
    assert captured.out == ""


def test_what_an_error_quotes_gives_no_orders_to_the_terminal(capsys):
    with pytest.raises(SystemExit), told_plainly(debug=False):
        raise Conflict("no model \x1b]0;x\x07")
    assert capsys.readouterr().err == "trunkline: no model \ufffd]0;x\ufffd\n"


def test_debug_shows_the_traceback():
    with pytest.raises(Conflict), told_plainly(debug=True):
        raise Conflict("x")


def test_nothing_is_said_when_nothing_is_wrong(capsys):
    with told_plainly(debug=False):
        pass
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), asyncio.CancelledError()])
def test_an_interrupt_is_silent(error, capsys):
    with pytest.raises(SystemExit) as ended, told_plainly(debug=False):
        raise error
    assert ended.value.code == 130
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/data/x"), "the disk is full (/data/x); free some"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "Permission denied (/x)"),
        (ExceptionGroup("many", [ValueError("odd"), Conflict("ours")]), "ours"),
        (ExceptionGroup("deep", [ExceptionGroup("er", [Conflict("inner")])]), "inner"),
    ],
)
def test_what_is_said(error, said):
    assert explain(error).startswith(said)


def test_the_unforeseen_is_named_and_logged(caplog):
    assert explain(ValueError("odd")) == "unexpected ValueError: odd; TRUNKLINE_DEBUG=1 shows where"
    assert caplog.records[0].exc_info
