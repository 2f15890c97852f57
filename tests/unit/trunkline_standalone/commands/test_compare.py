import io
import json

import pytest
from rich.console import Console

from trunkline_kit.errors import InvalidRequest, ModelError, ModelNotFound
from trunkline_standalone.cli_models import models_app
from trunkline_standalone.commands import compare as subject
from trunkline_standalone.commands.compare import CompareOptions, cells, precisions, run_compare, show, shown
from trunkline_worker.comparison import VariantReport
from trunkline_worker.convert.precision import Precision

LINE = VariantReport(
    variant="q8",
    size_bytes=157_143_046,
    perplexity=21.4042,
    divergence_nats=0.00405,
    same_choice=0.958,
    load_s=0.94,
    tokens_per_s=78.8,
    tokens=572,
)


def test_float32_is_read_first_and_once():
    assert precisions(["q8", "q4"]) == [Precision.F32, Precision.Q8, Precision.Q4]
    assert precisions(["q4", " f32", "q4"]) == [Precision.F32, Precision.Q4]
    with pytest.raises(InvalidRequest, match="--variants takes some of f32, f16, q8, q4, not 'q5'"):
        precisions(["q5"])


def test_cells():
    assert cells(LINE) == ("q8", "157", "21.40", "0.0040", "95.8", "0.9", "79")


def test_lines_for_pipes_and_programs(capsys):
    show([LINE], as_json=False)
    head, line = capsys.readouterr().out.splitlines()
    assert dict(zip(head.split("\t"), line.split("\t"), strict=True))["size_bytes"] == "157143046"
    show([LINE], as_json=True)
    assert json.loads(capsys.readouterr().out)[0]["divergence_nats"] == 0.00405


def test_a_table_for_people(monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr(subject, "Console", lambda: Console(file=out, width=90, force_terminal=True))
    show([LINE], as_json=False)
    assert "Perplexity" in out.getvalue()
    assert "0.0040" in out.getvalue()


def test_a_pipe_gets_a_line_a_variant(capsys):
    with shown() as report:
        for done in range(3):
            report("q8", done, 3)
        report("q4", 0, 3)
    assert capsys.readouterr().err.splitlines() == ["reading with q8", "reading with q4"]


def test_what_cannot_be_compared(tmp_path):
    with pytest.raises(InvalidRequest, match="--variants"):
        run_compare(tmp_path, CompareOptions(name="x", variants=("best",)))
    with pytest.raises(ModelNotFound, match="no model is called 'x'"):
        run_compare(tmp_path, CompareOptions(name="x", variants=("q8",)))


def test_an_encoder_is_not_compared(tmp_path, monkeypatch):
    from trunkline_worker.catalogue import ModelKind

    class Folder:
        kind = ModelKind.EMBED

    monkeypatch.setattr(subject, "prepare_all", lambda *_: None)
    monkeypatch.setattr(subject, "open_model", lambda *_: Folder())
    with pytest.raises(ModelError, match="is an encoder; models that generate can be compared"):
        run_compare(tmp_path, CompareOptions(name="all-minilm-l6-v2", variants=("q8",)))


def test_the_commands_there_are():
    assert [one.name for one in models_app.registered_commands] == ["prepare", "list", "verify", "compare"]
