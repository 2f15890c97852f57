"""Merging against the formula, and what a merged model answers against the same sums made by hand."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from trunkline_kit.errors import ModelError
from trunkline_testkit.tiny_decoders import tiny_tensor, write_tiny_decoder, write_tiny_gguf
from trunkline_worker.convert.decoder import build_decoder
from trunkline_worker.convert.gguf_weights import GgufWeights
from trunkline_worker.convert.hf_weights import HfWeights
from trunkline_worker.convert.lora import CONFIG, WEIGHTS, AdaptedWeights, Adapter
from trunkline_worker.convert.precision import Precision

MODEL = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": 24,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "rope_theta": 1e4,
    "tie_word_embeddings": True,
}
RANK, ALPHA = 4, 6.0
SIZES = {"self_attn.q_proj": (32, 32), "self_attn.k_proj": (16, 32), "self_attn.o_proj": (32, 32)}
SIZES |= {"self_attn.v_proj": (16, 32), "mlp.gate_proj": (64, 32), "mlp.up_proj": (64, 32), "mlp.down_proj": (32, 64)}
GGUF = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v"}
GGUF |= {"self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up"}
GGUF |= {"mlp.down_proj": "ffn_down"}


def halves(layer, part):
    """A and B of one matrix."""
    rows, columns = SIZES[part]
    name = f"base_model.model.model.layers.{layer}.{part}"
    return {
        f"{name}.lora_A.weight": tiny_tensor(f"{name}.A", (RANK, columns), 3),
        f"{name}.lora_B.weight": tiny_tensor(f"{name}.B", (rows, RANK), 3),
    }


def write_adapter(folder, tensors=None, **said):
    folder.mkdir(exist_ok=True)
    every = {name: half for part in SIZES for layer in (0, 1) for name, half in halves(layer, part).items()}
    save_file(every if tensors is None else tensors, folder / WEIGHTS)
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "target_modules": ["q_proj"], "bias": "none"}
    (folder / CONFIG).write_text(json.dumps(config | said))
    return folder


@pytest.fixture
def adapter(tmp_path):
    return write_adapter(tmp_path / "adapter")


@pytest.fixture(params=["safetensors", "gguf"])
def base(request, tmp_path):
    if request.param == "gguf":
        return GgufWeights(write_tiny_gguf(MODEL, 1, tmp_path / "base.gguf"))
    return HfWeights(write_tiny_decoder(MODEL, 1, tmp_path / "base"))


@pytest.mark.parametrize(("said", "scale"), [({}, ALPHA / RANK), ({"use_rslora": True}, ALPHA / RANK**0.5)])
@pytest.mark.parametrize("part", list(SIZES))
def test_a_matrix_is_the_formula(base, tmp_path, part, said, scale):
    merged = AdaptedWeights(base, (Adapter(write_adapter(tmp_path / "adapter", **said)),))
    ours = f"blk.1.{GGUF[part]}.weight"
    down, up = halves(1, part).values()
    # Rows of queries and keys are in the order they were trained in, whichever format the base came in.
    np.testing.assert_allclose(merged.matrix(ours), base.matrix(ours) + scale * up @ down, atol=1e-5)
    norm = "blk.1.attn_norm.weight"
    np.testing.assert_array_equal(merged.matrix(norm), base.matrix(norm))
    assert (merged.shape(), merged.names()) == (base.shape(), base.names())


def constants(weights):
    graph = build_decoder(weights, Precision.F32)
    return {name: constant.SerializeToString(deterministic=True) for name, constant in graph._constants.items()}


def test_a_merged_model_is_the_model_with_merged_weights(adapter, tmp_path):
    """The same graph as of a folder whose weights were added up without the adapter's code."""
    folder = write_tiny_decoder(MODEL, 1, tmp_path / "base")
    merged = constants(AdaptedWeights(HfWeights(folder), (Adapter(adapter),)))
    tensors = load_file(folder / "model.safetensors")
    for part in SIZES:
        for layer in (0, 1):
            down, up = halves(layer, part).values()
            tensors[f"model.layers.{layer}.{part}.weight"] += np.float32(1.5) * (up @ down)
    save_file(tensors, folder / "model.safetensors")
    by_hand = constants(HfWeights(folder))
    assert merged == by_hand


def test_two_adapters_add_up(base, adapter, tmp_path):
    second = write_adapter(tmp_path / "second", halves(0, "mlp.up_proj"), lora_alpha=2.0)
    merged = AdaptedWeights(base, (Adapter(adapter), Adapter(second)))
    down, up = halves(0, "mlp.up_proj").values()
    name = "blk.0.ffn_up.weight"
    np.testing.assert_allclose(merged.matrix(name), base.matrix(name) + (1.5 + 0.5) * up @ down, atol=1e-5)


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ({"use_dora": True}, "has use_dora; only plain LoRA can be merged"),
        ({"bias": "all"}, "has bias 'all'"),
        ({"peft_type": "IA3"}, "has peft_type IA3"),
        ({"modules_to_save": ["lm_head"]}, "has modules_to_save"),
        ({"rank_pattern": {"q_proj": 8}}, "has rank_pattern or alpha_pattern"),
        ({"fan_in_fan_out": True}, "has fan_in_fan_out"),
        ({"r": "4"}, "cannot be used"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_is_no_plain_lora(tmp_path, said, text):
    with pytest.raises(ModelError, match=text):
        Adapter(write_adapter(tmp_path / "adapter", **said))


def test_what_is_missing(tmp_path):
    with pytest.raises(ModelError, match=r"has no adapter_config\.json; give the folder that PEFT saved"):
        Adapter(tmp_path)
    (write_adapter(tmp_path / "adapter") / WEIGHTS).unlink()
    with pytest.raises(ModelError, match=r"has no adapter_model\.safetensors"):
        Adapter(tmp_path / "adapter")


def test_what_does_not_fit(base, tmp_path):
    name = "base_model.model.model.layers.0.mlp.up_proj"
    cases = {
        "changes 'base_model.model.lm_head.lora_A.weight'": {
            "base_model.model.lm_head.lora_A.weight": np.ones((4, 32), np.float32)
        },
        "only half of a change": {f"{name}.lora_A.weight": np.ones((RANK, 32), np.float32)},
        "it was made for another model": {
            f"{name}.lora_A.weight": np.ones((RANK, 48), np.float32),
            f"{name}.lora_B.weight": np.ones((64, RANK), np.float32),
        },
        "has rank 2 but says r is 4": {
            f"{name}.lora_A.weight": np.ones((2, 32), np.float32),
            f"{name}.lora_B.weight": np.ones((64, 2), np.float32),
        },
    }
    for index, (text, tensors) in enumerate(cases.items()):
        folder = write_adapter(tmp_path / f"adapter{index}", tensors)
        with pytest.raises(ModelError, match=text):
            AdaptedWeights(base, (Adapter(folder),)).matrix("blk.0.ffn_up.weight")
    deep = {key.replace("layers.0", "layers.7"): value for key, value in halves(0, "mlp.up_proj").items()}
    with pytest.raises(ModelError, match=r"changes blk\.7\.ffn_up\.weight, which the model does not have"):
        AdaptedWeights(base, (Adapter(write_adapter(tmp_path / "deep", deep)),))
