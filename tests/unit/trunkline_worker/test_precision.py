import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from trunkline_worker.convert.precision import BLOCK, quantise, restore

matrices = arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.sampled_from([BLOCK, 3 * BLOCK])),
    elements=st.floats(-100, 100, width=32),
)


@given(matrices)
def test_error_is_at_most_half_a_step(matrix):
    blocks = quantise(matrix)
    error = np.abs(restore(blocks) - matrix).reshape(matrix.shape[0], -1, BLOCK)
    assert (error <= blocks.scales[..., None] * 0.5001 + 1e-6).all()


@given(matrices)
def test_quantising_twice_changes_nothing_more(matrix):
    once = restore(quantise(matrix))
    np.testing.assert_allclose(restore(quantise(once)), once, rtol=1e-5, atol=1e-6)


def test_zeros_stay_zeros():
    assert not restore(quantise(np.zeros((2, BLOCK), np.float32))).any()
