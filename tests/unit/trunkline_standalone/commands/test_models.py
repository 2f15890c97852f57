import json

import pytest

from trunkline_kit.errors import InvalidRequest, ModelError, ModelNotFound
from trunkline_standalone.commands.models import listing, run_list, run_prepare, run_verify
from trunkline_worker.catalogue import CATALOGUE, ModelKind
from trunkline_worker.model_store import ListedModel


def prepared(tmp_path, problem: str = "") -> ListedModel:
    return ListedModel(
        name="all-minilm-l6-v2",
        variant="q8",
        kind=ModelKind.EMBED,
        licence="Apache-2.0",
        size_bytes=7,
        path=tmp_path,
        problem=problem,
    )


def test_what_is_prepared_comes_first_and_the_rest_can_be(tmp_path):
    lines = listing([prepared(tmp_path)])
    assert [(line.name, line.state) for line in lines] == [
        ("all-minilm-l6-v2", "prepared"),
        ("smollm2-135m-instruct", "not prepared"),
    ]


def test_a_problem_is_the_state(tmp_path):
    assert listing([prepared(tmp_path, "model.onnx is missing")])[0].state == "model.onnx is missing"


def test_a_list_for_programs(tmp_path, capsys):
    run_list(tmp_path, as_json=True)
    lines = json.loads(capsys.readouterr().out)
    assert {line["name"] for line in lines} == {model.name for model in CATALOGUE}
    assert all(line["size_bytes"] > 0 for line in lines)


def test_a_list_for_pipes(tmp_path, capsys):
    run_list(tmp_path, as_json=False)
    assert "smollm2-135m-instruct\tq8\tgenerate\tnot prepared\n" in capsys.readouterr().out


def test_nothing_to_verify(tmp_path):
    with pytest.raises(ModelError, match="models prepare"):
        run_verify(tmp_path, [])
    with pytest.raises(ModelError, match="all-minilm-l6-v2: not prepared"):
        run_verify(tmp_path, ["all-minilm-l6-v2"])
    with pytest.raises(ModelNotFound):
        run_verify(tmp_path, ["gpt-5"])


def test_prepare_looks_before_it_starts(tmp_path):
    with pytest.raises(ModelNotFound, match="gpt-5"):
        run_prepare(tmp_path, ["gpt-5"], None)
    with pytest.raises(InvalidRequest, match="--variant must be one of"):
        run_prepare(tmp_path, [], "q4")
