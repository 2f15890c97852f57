import io

import pytest
from rich.console import Console

from trunkline_kit.errors import ModelNotFound
from trunkline_standalone.preparation import STEPS, Wanted, bars, lines, wanted
from trunkline_worker.convert.precision import Precision
from trunkline_worker.progress import Step


def test_only_models_of_the_catalogue_can_be_wanted():
    assert wanted("smollm2-135m-instruct", "f16") == Wanted("smollm2-135m-instruct", Precision.F16)
    assert wanted("all-minilm-l6-v2").variant is None
    with pytest.raises(ModelNotFound, match="gpt-5"):
        wanted("gpt-5")


def test_every_step_has_words():
    assert set(STEPS) == set(Step)


def test_a_pipe_gets_a_line_a_step_and_a_tenth(capsys):
    with lines() as report:
        for done in range(0, 101, 5):
            report("m", Step.DOWNLOAD, done, 100)
        report("m", Step.CONVERT, 0, 0)
        report("m", Step.DONE, 0, 0)
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "m: downloading 0 %"
    assert said[10] == "m: downloading 100 %"
    assert said[11:] == ["m: converting", "m: ready"]


def test_what_was_ready_before_is_not_mentioned(capsys):
    with lines() as report:
        report("m", Step.DONE, 0, 0)
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_bars_that_vanish():
    out = io.StringIO()
    console = Console(file=out, width=100, force_terminal=True)
    with bars(console) as report:
        report("m", Step.DOWNLOAD, 46_400_000, 92_900_000)
        report("m", Step.CONVERT, 0, 165_000_000)
        report("m", Step.DONE, 0, 0)
    assert "46.4 of 92.9 MB" in out.getvalue()
    assert "165" not in out.getvalue()


def test_no_bar_for_what_was_ready_before():
    out = io.StringIO()
    with bars(Console(file=out, width=100, force_terminal=True)) as report:
        report("smollm2", Step.DONE, 0, 0)
    assert "smollm2" not in out.getvalue()
