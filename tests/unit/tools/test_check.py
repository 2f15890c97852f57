import sys

import check
import pytest
from check import Outcome, Step

PASSES = Step("passes", (sys.executable, "-c", "print('fine')"))
FAILS = Step("fails", (sys.executable, "-c", "import sys; print('line 3 is bad'); sys.exit('really')"))


def test_a_step_passes_by_its_exit_code():
    assert check.run(PASSES, fix=False).passed
    outcome = check.run(FAILS, fix=False)
    assert not outcome.passed
    assert outcome.output == "line 3 is bad\nreally"


def test_fix_runs_before_the_check(tmp_path):
    mark = tmp_path / "mended"
    step = Step(
        "mends",
        (sys.executable, "-c", f"import os, sys; sys.exit(not os.path.exists({str(mark)!r}))"),
        (sys.executable, "-c", f"open({str(mark)!r}, 'w')"),
    )
    assert not check.run(step, fix=False).passed
    assert check.run(step, fix=True).passed


def test_every_step_runs_and_only_failures_are_quoted(capsys, monkeypatch):
    monkeypatch.setattr(check, "STEPS", (FAILS, PASSES))
    assert check.main([]) == 1
    output = capsys.readouterr().out
    assert "fails" in output.splitlines()[0]
    assert output.splitlines()[1].endswith("ok")
    assert "line 3 is bad" in output
    assert "fine" not in output
    assert "\033" not in output


def test_one_step_can_be_asked_for(capsys, monkeypatch):
    monkeypatch.setattr(check, "STEPS", (FAILS, PASSES))
    assert check.main(["passes"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    with pytest.raises(SystemExit):
        check.main(["nonsense"])


def test_colours_are_for_terminals(capsys):
    check.table(iter([Outcome(PASSES, True, "", 0.1), Outcome(FAILS, False, "", 0.1)]), colour=True)
    good, bad = capsys.readouterr().out.splitlines()
    assert check.GREEN in good
    assert check.RED in bad
