"""The graph against the equations, written out once more in numpy."""

import hashlib

import numpy as np
import pytest
from gguf import GGUFWriter

from trunkline_kit.errors import ModelError
from trunkline_worker.catalogue import ModelKind
from trunkline_worker.convert.decoder import build_decoder
from trunkline_worker.convert.folder import convert
from trunkline_worker.convert.gguf_weights import GgufWeights
from trunkline_worker.convert.precision import Precision
from trunkline_worker.manifest import CONVERTER_VERSION
from trunkline_worker.model_store import open_model
from trunkline_worker.runtimes.onnx import OnnxDecoder, SlotConfig
from trunkline_worker.runtimes.session import SessionConfig

IDS = [1, 10, 200, 33, 7, 90, 15, 2, 64, 5]


@pytest.fixture(scope="session")
def decoders(tiny_gguf, tmp_path_factory):
    """The tiny model at each precision that a CPU runs, with three slots."""
    made = {}
    for precision in Precision:
        folder = tmp_path_factory.mktemp(precision.value)
        convert(_entry(), tiny_gguf, precision, folder)
        opened = open_model(folder, f"path:{folder}")
        made[precision] = OnnxDecoder(opened, SlotConfig(slots=3, slot_tokens=64), SessionConfig(threads=1))
    return made


def _entry():
    from trunkline_worker.catalogue import SMOLLM2

    assert SMOLLM2.kind is ModelKind.GENERATE
    return SMOLLM2


def test_float32_is_the_equations(decoders, tiny_gguf):
    expected = reference(GgufWeights(tiny_gguf), IDS)
    np.testing.assert_allclose(decoders[Precision.F32].prefill(0, IDS, 0), expected, atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("precision", [Precision.F16, Precision.Q8, Precision.Q4])
def test_other_precisions_are_near(decoders, precision):
    exact = decoders[Precision.F32].prefill(0, IDS, 0).copy()
    near = decoders[precision].prefill(0, IDS, 0)
    assert np.corrcoef(exact, near)[0, 1] > (0.97 if precision is Precision.Q4 else 0.99)


@pytest.mark.parametrize("precision", list(Precision))
def test_decoding_continues_a_prompt(decoders, precision):
    decoder = decoders[precision]
    whole = decoder.prefill(0, IDS, 0).copy()
    decoder.prefill(1, IDS[:-1], 0)
    decoder.move(1, 0, len(IDS) - 1)
    stepped = decoder.decode([IDS[-1]], [len(IDS)])[0]
    np.testing.assert_allclose(stepped, whole, atol=0.05 * np.abs(whole).max())


@pytest.mark.parametrize("precision", [Precision.Q8, Precision.Q4])
def test_chunks_and_neighbours_change_no_bit(decoders, precision):
    decoder = decoders[precision]
    whole = decoder.prefill(0, IDS, 0).copy()
    decoder.prefill(2, IDS[:4], 0)
    assert (decoder.prefill(2, IDS[4:], 4) == whole).all()
    for slot in range(3):
        decoder.prefill(slot, IDS[: 9 - slot], 0)
    together = decoder.decode([3, 4, 5], [10, 9, 8]).copy()
    decoder.prefill(0, IDS[:9], 0)
    decoder.prefill(2, IDS[:7], 0)
    assert (decoder.decode([3], [10]) == together[:1]).all()
    decoder.prefill(1, IDS[:8], 0)
    assert (decoder.decode([3, 4, 5], [10, 9, 8]) == together).all(), "slot 2 is nobody's scratch"


def test_a_lone_row_may_be_computed_as_such(tiny_gguf, tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    convert(_entry(), tiny_gguf, Precision.Q4, folder)
    slots = SlotConfig(slots=3, slot_tokens=64, batch_invariant=False)
    free = OnnxDecoder(open_model(folder, f"path:{folder}"), slots, SessionConfig(threads=1))
    assert free.least_rows == 1
    free.prefill(0, IDS, 0)
    alone = free.decode([3], [len(IDS) + 1]).copy()
    free.prefill(0, IDS, 0)
    free.prefill(1, IDS, 0)
    beside = free.decode([3, 3], [len(IDS) + 1] * 2)
    np.testing.assert_allclose(alone[0], beside[0], atol=0.1 * np.abs(alone).max())


def test_graphs_that_give_every_rows_logits_say_the_same(decoders, monkeypatch):
    decoder = decoders[Precision.Q4]
    decoder.prefill(0, IDS, 0)
    few = decoder.decode([3], [len(IDS) + 1]).copy()
    monkeypatch.setattr(decoder, "_head_rows", False)
    decoder.prefill(0, IDS, 0)
    assert (decoder.decode([3], [len(IDS) + 1]) == few).all()


PINS = {
    Precision.Q8: "4b3dd467242ea3cc",
    Precision.Q4: "83b1b05167238954",
    Precision.F16: "e3bb2a13448880af",
    Precision.F32: "7ed7c902f328645c",
}
"""Digests of the graphs of CONVERTER_VERSION 5: another graph needs another version, and all convert anew."""


@pytest.mark.parametrize("precision", list(PINS))
def test_the_graphs_are_those_of_this_converter_version(tiny_gguf, precision):
    assert CONVERTER_VERSION == 5
    graph, digest = build_decoder(GgufWeights(tiny_gguf), precision), hashlib.sha256()
    for part in (*graph._inputs, *graph._outputs, *graph._nodes, *graph._constants.values()):
        digest.update(part.SerializeToString(deterministic=True))
    assert digest.hexdigest()[:16] == PINS[precision]


@pytest.mark.parametrize("precision", [Precision.Q8, Precision.Q4])
def test_tied_weights_are_stored_once(tiny_gguf, precision):
    graph = build_decoder(GgufWeights(tiny_gguf), precision)
    names = [name for name in graph._constants if name.startswith(("embedding", "head."))]
    assert sorted(names) == ["embedding.codes", "embedding.scales"]


def test_another_architecture_is_refused(tmp_path):
    writer = GGUFWriter(tmp_path / "x.gguf", "mamba")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ModelError, match="mamba"):
        GgufWeights(tmp_path / "x.gguf")


def test_a_file_that_is_no_gguf_is_refused(tmp_path):
    (tmp_path / "x.gguf").write_bytes(b"not a model at all" * 10)
    with pytest.raises(ModelError, match=r"x\.gguf is not a readable GGUF file"):
        GgufWeights(tmp_path / "x.gguf")


def reference(weights: GgufWeights, ids: list[int]) -> np.ndarray:
    """Logits after the last id. RMS norm, rotary attention with shared key heads, SwiGLU (Touvron et al., 2023)."""
    shape = weights.shape()
    embedding = weights.matrix("token_embd.weight")
    x = embedding[ids]
    angles = np.outer(np.arange(len(ids)), shape.rope_base ** -(np.arange(0, shape.head_size, 2) / shape.head_size))
    causal = np.triu(np.full((len(ids), len(ids)), -np.inf), 1)
    for layer in range(shape.layers):
        part = lambda name, at=layer: weights.matrix(f"blk.{at}.{name}.weight")  # noqa: E731
        h = _norm(x, part("attn_norm"), shape.norm_epsilon)
        q = _rotate(_heads(h @ weights.matrix(f"blk.{layer}.attn_q.weight").T, shape), angles)
        k = _rotate(_heads(h @ weights.matrix(f"blk.{layer}.attn_k.weight").T, shape), angles)
        v = _heads(h @ part("attn_v").T, shape)
        group = shape.heads // shape.kv_heads
        k, v = np.repeat(k, group, 0), np.repeat(v, group, 0)
        scores = q @ k.swapaxes(1, 2) / np.sqrt(shape.head_size) + causal
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (scores / scores.sum(-1, keepdims=True)) @ v
        x = x + mixed.swapaxes(0, 1).reshape(len(ids), -1) @ part("attn_output").T
        h = _norm(x, part("ffn_norm"), shape.norm_epsilon)
        gate = h @ part("ffn_gate").T
        x = x + (gate / (1 + np.exp(-gate)) * (h @ part("ffn_up").T)) @ part("ffn_down").T
    return _norm(x, weights.matrix("output_norm.weight"), shape.norm_epsilon)[-1] @ embedding.T


def _norm(x, gain, epsilon):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + epsilon) * gain


def _heads(x, shape):
    return x.reshape(len(x), -1, shape.head_size).swapaxes(0, 1)


def _rotate(x, angles):
    half = x.shape[-1] // 2
    left, right = x[..., :half], x[..., half:]
    return np.concatenate(
        [left * np.cos(angles) - right * np.sin(angles), right * np.cos(angles) + left * np.sin(angles)], -1
    )
