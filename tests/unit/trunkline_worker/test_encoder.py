"""The encoder's graph against the equations, and what must hold of its vectors."""

import math

import numpy as np
import pytest
from safetensors.numpy import load_file

from trunkline_kit.errors import ModelError
from trunkline_worker.catalogue import MINILM
from trunkline_worker.convert.encoder import BertWeights
from trunkline_worker.convert.folder import convert
from trunkline_worker.convert.precision import Precision
from trunkline_worker.embedding import EmbedConfig, OnnxEncoder
from trunkline_worker.model_store import open_model
from trunkline_worker.runtimes.session import SessionConfig
from trunkline_worker.tokenizer import read_tokenizer

TEXTS = ["hello", "a bc", "the quick fox", "z" * 9]


@pytest.fixture(scope="session")
def encoders(tiny_bert, tmp_path_factory):
    made = {}
    for precision in Precision:
        folder = tmp_path_factory.mktemp(precision.value)
        convert(MINILM, tiny_bert, precision, folder)
        opened = open_model(folder, f"path:{folder}")
        tokenizer = read_tokenizer(folder / "tokenizer.json")
        made[precision] = OnnxEncoder(opened, tokenizer, SessionConfig(threads=1))
    return made


def test_float32_is_the_equations(encoders, tiny_bert):
    vector = encoders[Precision.F32].embed(["abc"], EmbedConfig()).vectors[0]
    ids = read_tokenizer(tiny_bert / "tokenizer.json").encode("abc").ids
    ids = [token for token in ids if token]
    np.testing.assert_allclose(vector, reference(tiny_bert, ids), atol=1e-4)


@pytest.mark.parametrize("precision", list(Precision))
def test_vectors_have_length_one_and_do_not_depend_on_company(encoders, precision):
    encoder = encoders[precision]
    together = encoder.embed(TEXTS, EmbedConfig()).vectors
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    alone = np.stack([encoder.embed([text], EmbedConfig()).vectors[0] for text in TEXTS])
    tolerance = 5e-3 if precision is Precision.F16 else 1e-5
    np.testing.assert_allclose(alone, together, atol=tolerance)


def test_long_texts_are_cut_and_counted(encoders):
    encoder = encoders[Precision.Q8]
    encoder.max_tokens = 8
    try:
        made = encoder.embed(["a b c d e f g h i j k", "a"], EmbedConfig())
        same = encoder.embed(["a b c d e f x y z"], EmbedConfig())
    finally:
        encoder.max_tokens = 256
    assert (made.prompt_tokens, made.truncated_texts) == (8 + 3, 1)
    np.testing.assert_allclose(made.vectors[0], same.vectors[0], atol=1e-6)


def test_another_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match="not a readable BERT model"):
        BertWeights(tmp_path)


def reference(folder, ids):
    """Post-norm transformer (Devlin et al., 2018), mean over positions, length one."""
    w = {name.removeprefix("bert."): tensor for name, tensor in load_file(folder / "model.safetensors").items()}
    config = BertWeights(folder).config
    x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][: len(ids)]
    x = _norm(x + w["embeddings.token_type_embeddings.weight"][0], w, "embeddings.LayerNorm")
    size = config.hidden_size // config.num_attention_heads
    for layer in range(config.num_hidden_layers):
        at = f"encoder.layer.{layer}."
        q, k, v = (_linear(x, w, f"{at}attention.self.{part}") for part in ("query", "key", "value"))
        q, k, v = (part.reshape(len(ids), -1, size).swapaxes(0, 1) for part in (q, k, v))
        scores = np.exp(q @ k.swapaxes(1, 2) / math.sqrt(size))
        mixed = (scores / scores.sum(-1, keepdims=True) @ v).swapaxes(0, 1).reshape(len(ids), -1)
        x = _norm(x + _linear(mixed, w, f"{at}attention.output.dense"), w, f"{at}attention.output.LayerNorm")
        wide = _linear(x, w, f"{at}intermediate.dense")
        wide = wide * 0.5 * (1 + np.vectorize(math.erf)(wide / math.sqrt(2)))
        x = _norm(x + _linear(wide, w, f"{at}output.dense"), w, f"{at}output.LayerNorm")
    total = x.sum(0)
    return total / np.linalg.norm(total)


def _linear(x, w, name):
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def _norm(x, w, name):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12) * w[f"{name}.weight"] + w[f"{name}.bias"]
