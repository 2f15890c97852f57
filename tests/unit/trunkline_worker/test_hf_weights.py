"""What a config.json may say, and what is refused by name. The numbers are compared in test_decoder_golden."""

import json

import pytest

from trunkline_kit.errors import ModelError
from trunkline_testkit.tiny_decoders import write_tiny_decoder
from trunkline_worker.convert.hf_weights import HfWeights, read_decoder_config
from trunkline_worker.convert.weights import check_tensors

CONFIG = {
    "model_type": "mistral",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": 16,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "sliding_window": None,
}


@pytest.fixture
def folder(tmp_path):
    return write_tiny_decoder(CONFIG, 1, tmp_path)


def said(folder, **changes):
    (folder / "config.json").write_text(json.dumps(CONFIG | changes))
    return HfWeights(folder)


def test_a_shape(folder):
    shape = HfWeights(folder).shape()
    assert (shape.family, shape.head_size, shape.kv_heads, shape.feed) == ("mistral", 16, 1, 64)
    assert (shape.rope_base, shape.rope_divisors, shape.window_tokens, shape.tied) == (10000.0, (), 0, False)
    check_tensors(HfWeights(folder))


@pytest.mark.parametrize(
    ("changes", "window"),
    [
        ({"sliding_window": 16}, 16),
        ({"sliding_window": 64}, 0),
        ({"sliding_window": 4096}, 0),
        ({"sliding_window": 16, "use_sliding_window": False}, 0),
        ({"model_type": "qwen2", "sliding_window": 16}, 0),
        (
            {
                "model_type": "qwen2",
                "sliding_window": 16,
                "use_sliding_window": True,
                "layer_types": ["full_attention"],
            },
            0,
        ),
        (
            {
                "model_type": "qwen2",
                "sliding_window": 16,
                "use_sliding_window": True,
                "layer_types": ["sliding_attention"],
            },
            16,
        ),
    ],
    ids=range(7),
)
def test_windows(folder, changes, window):
    assert said(folder, **changes).shape().window_tokens == window


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"model_type": "mixtral"}, "type 'mixtral'; the converter knows llama, mistral, qwen2, qwen3"),
        ({"model_type": "qwen3_moe"}, "type 'qwen3_moe'"),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu'; the converter knows silu"),
        ({"quantization_config": {"bits": 4}}, "are quantised; give the model's plain weights"),
        ({"hidden_size": "32"}, r"config\.json cannot be used: .*hidden_size"),
    ],
    ids=range(5),
)
def test_what_is_refused_at_once(folder, changes, text):
    with pytest.raises(ModelError, match=text):
        said(folder, **changes)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"rope_scaling": {"rope_type": "dynamic", "factor": 2}},
            "by 'dynamic'; the converter knows linear and llama3",
        ),
        ({"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}}, "rotates a part of each head"),
        ({"sliding_window": 8, "layer_types": ["full_attention", "sliding_attention"]}, "windows of different length"),
        ({"model_type": "qwen2", "sliding_window": 8, "use_sliding_window": True}, "windows of different length"),
    ],
    ids=range(4),
)
def test_what_the_graph_cannot_do(folder, changes, text):
    with pytest.raises(ModelError, match=text):
        said(folder, **changes).shape()


def test_other_defaults(folder):
    assert said(folder, model_type="qwen3").shape().head_size == 128
    assert said(folder, rope_theta=5e5).shape().rope_base == 5e5
    assert said(folder, rope_parameters={"rope_type": "default", "rope_theta": 1e6}).shape().rope_base == 1e6
    assert said(folder, num_key_value_heads=None).shape().kv_heads == 2


def test_tied_models_may_carry_a_head_that_is_not_used(folder):
    assert "output.weight" in HfWeights(folder).names()
    tied = said(folder, tie_word_embeddings=True)
    assert "output.weight" not in tied.names()
    check_tensors(tied)


def test_a_folder_without_a_config(tmp_path):
    with pytest.raises(ModelError, match=r"has no config\.json; give a folder of safetensors or a GGUF file"):
        read_decoder_config(tmp_path)
