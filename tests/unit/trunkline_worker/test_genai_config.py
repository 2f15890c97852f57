"""Descriptions of graphs: ours, those of onnxruntime-genai's builder, and broken ones."""

import msgspec
import pytest

from trunkline_kit.errors import ModelError
from trunkline_worker.genai_config import read_genai_config, write_genai_config

# What onnxruntime-genai's own builder writes for a small llama, shortened: keys of its own are left alone.
BUILDERS = b"""{"model": {"bos_token_id": 1, "context_length": 2048, "eos_token_id": [2, 0], "pad_token_id": 2,
"type": "llama", "vocab_size": 300, "decoder": {"session_options": {"log_id": "x", "provider_options": []},
"filename": "model.onnx",
"head_size": 64, "hidden_size": 576, "inputs": {"input_ids": "input_ids", "attention_mask": "attention_mask",
"position_ids": "position_ids", "past_key_names": "past_key_values.%d.key",
"past_value_names": "past_key_values.%d.value"},
"outputs": {"logits": "logits", "present_key_names": "present.%d.key", "present_value_names": "present.%d.value"},
"num_attention_heads": 9, "num_hidden_layers": 30, "num_key_value_heads": 3}},
"search": {"max_length": 2048, "top_k": 1, "past_present_share_buffer": true}}"""


def test_a_builders_file_is_understood(tmp_path):
    (tmp_path / "genai_config.json").write_bytes(BUILDERS)
    model = read_genai_config(tmp_path).model
    assert model.eos_ids == {2, 0}
    assert model.decoder.inputs.position_ids == "position_ids"
    assert model.decoder.num_hidden_layers == 30


def test_what_is_written_is_read_back(tmp_path):
    (tmp_path / "genai_config.json").write_bytes(BUILDERS)
    config = read_genai_config(tmp_path)
    write_genai_config(config, tmp_path)
    assert read_genai_config(tmp_path) == config
    written = msgspec.json.decode((tmp_path / "genai_config.json").read_bytes())
    assert "encoder" not in written["model"]


def test_a_single_end_token_and_none():
    from trunkline_worker.genai_config import ModelConfig

    assert ModelConfig(type="x", context_length=1, vocab_size=1, eos_token_id=5).eos_ids == {5}
    assert ModelConfig(type="x", context_length=1, vocab_size=1).eos_ids == frozenset()


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"{", "cannot be used"),
        (b'{"model": {"type": "x", "vocab_size": 1}}', "context_length"),
        (b'{"model": {"type": "x", "vocab_size": 1, "context_length": 1}}', "exactly one of"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, body, text):
    (tmp_path / "genai_config.json").write_bytes(body)
    with pytest.raises(ModelError, match=text):
        read_genai_config(tmp_path)
