import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFWriter, quants
from hypothesis import given
from hypothesis import strategies as st

from trunkline_kit.errors import ModelError
from trunkline_worker.convert.gguf_weights import GgufWeights, half_split_rows


@given(st.sampled_from([1, 2, 3, 9]), st.sampled_from([2, 4, 64]))
def test_row_order_is_the_inverse_of_the_interleaving(heads, head_size):
    rows = np.arange(heads * head_size)
    # What llama.cpp's converter does: halves of a head are woven into pairs.
    woven = rows.reshape(heads, 2, head_size // 2).swapaxes(1, 2).reshape(-1)
    assert woven[half_split_rows(len(rows), heads)].tolist() == rows.tolist()


def test_the_tiny_model_is_described(tiny_gguf):
    weights = GgufWeights(tiny_gguf)
    shape = weights.shape()
    assert (shape.layers, shape.hidden, shape.heads, shape.kv_heads, shape.head_size) == (2, 64, 4, 2, 16)
    assert (shape.context_tokens, shape.rope_base) == (512, 10000.0)
    assert weights.matrix("blk.0.ffn_down.weight").shape == (64, 96)
    assert "token_embd.weight" in weights.names()
    assert shape.tied
    tokenizer = weights.tokenizer()
    assert tokenizer.control_ids == (0, 1, 2)
    assert tokenizer.merges == (("h", "e"), ("l", "l"))
    ids = weights.token_ids()
    assert (ids.bos_id, ids.eos_ids, ids.unknown_id, ids.padding_id) == (1, (2,), 0, 2)
    assert "im_start" in ids.chat_template


def test_what_is_missing_is_named(tiny_gguf):
    with pytest.raises(ModelError, match=r"no tensor 'blk\.9\.attn_q\.weight'"):
        GgufWeights(tiny_gguf).matrix("blk.9.attn_q.weight")


def write(path, fill):
    writer = GGUFWriter(path, "llama")
    fill(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_key_that_is_missing_is_named(tmp_path):
    weights = GgufWeights(write(tmp_path / "x.gguf", lambda _: None))
    with pytest.raises(ModelError, match=r"does not say 'llama\.attention\.head_count'"):
        weights.shape()


def test_another_kind_of_tokenizer_is_refused(tmp_path):
    weights = GgufWeights(write(tmp_path / "x.gguf", lambda writer: writer.add_tokenizer_model("llama")))
    with pytest.raises(ModelError, match=r"tokenizer is 'llama'.*beside the file"):
        weights.tokenizer()


@pytest.mark.parametrize("kind", [GGMLQuantizationType.Q8_0, GGMLQuantizationType.Q4_1, GGMLQuantizationType.F16])
def test_every_storage_becomes_float32(tmp_path, kind):
    exact = np.random.default_rng(2).standard_normal((4, 64)).astype(np.float32)

    def fill(writer):
        writer.add_tensor("w", quants.quantize(exact, kind), raw_dtype=kind)

    read = GgufWeights(write(tmp_path / "x.gguf", fill)).matrix("w")
    assert (read.dtype, read.shape) == (np.float32, (4, 64))
    np.testing.assert_allclose(read, exact, atol=0.25)
