"""Shapes, names and rotary frequencies, whatever the weights came in."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_kit.errors import ModelError
from trunkline_worker.convert.gguf_weights import GgufWeights
from trunkline_worker.convert.weights import (
    bias_of,
    check_tensors,
    expected_tensors,
    expected_weights,
    llama3_divisors,
    rope_divisors,
    rotary_frequencies,
)

LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


class Weights:
    """A decoder that has some names."""

    def __init__(self, shape, names):
        self._shape, self._names = shape, frozenset(names)

    def shape(self):
        return self._shape

    def names(self):
        return self._names

    def matrix(self, name):
        raise ModelError(name)


@pytest.fixture(scope="session")
def shape(tiny_gguf):
    return GgufWeights(tiny_gguf).shape()


def test_a_file_has_what_its_shape_promises(tiny_gguf, shape):
    weights = GgufWeights(tiny_gguf)
    check_tensors(weights)
    for name, size in expected_tensors(shape).items():
        assert weights.matrix(name).shape == size
    inner, outer = expected_weights(shape)
    assert inner + outer == sum(weights.matrix(name).size for name in weights.names())


def test_what_is_missing_or_too_much_is_named(shape):
    names = set(expected_tensors(shape))
    check_tensors(Weights(shape, names | {bias_of("blk.0.attn_q.weight"), bias_of("blk.1.ffn_down.weight")}))
    with pytest.raises(ModelError, match=r"no tensor 'blk\.1\.ffn_up\.weight'; a llama must have it"):
        check_tensors(Weights(shape, names - {"blk.1.ffn_up.weight"}))
    for strange in ("blk.0.attn_sinks.weight", "token_embd.bias", "blk.0.attn_norm.bias", "output.weight"):
        with pytest.raises(ModelError, match=f"a tensor '{strange}' that a llama does not use"):
            check_tensors(Weights(shape, names | {strange}))
    untied = msgspec.structs.replace(shape, tied=False)
    with pytest.raises(ModelError, match=r"no tensor 'output\.weight'"):
        check_tensors(Weights(untied, names))


@given(
    st.sampled_from([1e4, 5e5, 1e6]),
    st.sampled_from([16, 64, 128]),
    st.floats(1, 64),
    st.integers(64, 1 << 17),
)
def test_the_llama3_stretch_leaves_short_waves_and_divides_long_ones(base, size, factor, original):
    divisors = np.array(llama3_divisors(base, size, factor=factor, low=1, high=4, original_tokens=original))
    waves = 2 * np.pi / rotary_frequencies(base, size)
    np.testing.assert_allclose(divisors[waves < original / 4], 1)
    np.testing.assert_allclose(divisors[waves > original], factor)
    assert (np.diff(divisors) >= -1e-9).all()


def test_kinds_of_scaling():
    assert rope_divisors({}, 1e4, 16) == ()
    assert rope_divisors({"rope_type": "default", "rope_theta": 1e4}, 1e4, 16) == ()
    assert rope_divisors({"type": "linear", "factor": 2.0}, 1e4, 16) == (2.0,) * 8
    assert len(rope_divisors(LLAMA3, 5e5, 64)) == 32
    with pytest.raises(ModelError, match="by 'yarn'; the converter knows linear and llama3"):
        rope_divisors({"rope_type": "yarn", "factor": 4.0}, 1e4, 16)
    with pytest.raises(ModelError, match="'llama3' lacks or spoils a number: 'low_freq_factor'"):
        rope_divisors({name: value for name, value in LLAMA3.items() if name != "low_freq_factor"}, 1e4, 16)
