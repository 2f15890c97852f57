import json

import pytest
from tokenizers import Tokenizer, models

from trunkline_kit.errors import InvalidRequest, ModelError, ModelNotFound
from trunkline_standalone.commands.models import PrepareOptions, asked, listing, run_list, run_prepare, run_verify
from trunkline_standalone.preparation import wanted
from trunkline_testkit.tiny_decoders import write_tiny_decoder
from trunkline_worker.catalogue import CATALOGUE, ModelKind
from trunkline_worker.convert.precision import Precision
from trunkline_worker.model_store import ListedModel

SOURCE = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": 8,
    "max_position_embeddings": 64,
}


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
    assert "smollm2-135m-instruct\tq4\tgenerate\tnot prepared\n" in capsys.readouterr().out


def test_nothing_to_verify(tmp_path):
    with pytest.raises(ModelError, match="models prepare"):
        run_verify(tmp_path, [])
    with pytest.raises(ModelError, match="all-minilm-l6-v2: not prepared"):
        run_verify(tmp_path, ["all-minilm-l6-v2"])
    with pytest.raises(ModelNotFound):
        run_verify(tmp_path, ["gpt-5"])


def test_prepare_looks_before_it_starts(tmp_path):
    with pytest.raises(ModelNotFound, match="gpt-5"):
        run_prepare(tmp_path, PrepareOptions(models=("gpt-5",)))
    with pytest.raises(InvalidRequest, match="--variant must be one of"):
        run_prepare(tmp_path, PrepareOptions(variant="q5"))


def test_what_is_asked_for(tmp_path):
    (tmp_path / "Mine.gguf").touch()
    path = str(tmp_path / "Mine.gguf")
    (own,) = asked(PrepareOptions(models=(path,), variant="q4"))
    assert (own.name, own.variant, own.own.base) == ("mine", Precision.Q4, tmp_path / "Mine.gguf")
    assert asked(PrepareOptions(models=(path,), name="other"))[0].name == "other"
    assert [one.name for one in asked(PrepareOptions())] == ["smollm2-135m-instruct", "all-minilm-l6-v2"]
    mixed = asked(PrepareOptions(models=("smollm2-135m-instruct", path)))
    assert [one.own is None for one in mixed] == [True, False]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (PrepareOptions(models=("a", "b"), name="c"), "go with one model"),
        (PrepareOptions(name="c"), "go with one model"),
        (PrepareOptions(models=("smollm2-135m-instruct",), name="c"), "has its name already"),
    ],
    ids=["two", "none", "named"],
)
def test_names_that_go_with_nothing(options, text):
    with pytest.raises(InvalidRequest, match=text):
        asked(options)


def test_a_model_of_ones_own_is_prepared_listed_and_verified(tiny_source, tmp_path, capsys):
    home = tmp_path / "home"
    run_prepare(home, PrepareOptions(models=(str(tiny_source),), name="mine"))
    run_list(home, as_json=False)
    run_verify(home, ["mine"])
    said = capsys.readouterr().out
    assert f"mine q8: ready in {home}/models/mine/q8" in said
    assert "mine\tq8\tgenerate\tprepared" in said
    assert "mine q8: every file is as it was made" in said
    assert wanted("mine", "q8", home).name == "mine"
    with pytest.raises(ModelNotFound):
        wanted("mine")


@pytest.fixture
def tiny_source(tmp_path):
    """A folder of safetensors with a tokenizer of letters."""
    folder = write_tiny_decoder(SOURCE, 1, tmp_path / "tiny")
    Tokenizer(models.BPE(vocab={"a": 0, "b": 1}, merges=[])).save(str(folder / "tokenizer.json"))
    return folder
