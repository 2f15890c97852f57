import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from trunkline_worker.convert.precision import (
    BLOCK,
    Precision,
    quantise,
    quantise_to_four_bits,
    restore,
    restore_four_bits,
    with_rests,
)

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


@given(matrices)
def test_four_bits_are_off_by_half_of_a_sixteenth_on_average(matrix):
    restored = restore_four_bits(quantise_to_four_bits(matrix))
    blocks = matrix.reshape(-1, BLOCK)
    step = (blocks.max(-1) - blocks.min(-1)) / 15
    error = np.sqrt(np.square(restored.reshape(-1, BLOCK) - blocks).mean(-1))
    assert (error <= step * 0.5001 + 1e-5).all()


@given(
    arrays(np.int8, (2, 2 * BLOCK), elements=st.integers(0, 15)),
    st.floats(0.0625, 8, width=32),
    st.floats(-5, 5, width=32),
)
def test_what_had_sixteen_even_values_comes_back(codes, step, low):
    codes[:, ::BLOCK], codes[:, 1::BLOCK] = 0, 15
    matrix = (codes * np.float32(step) + np.float32(low)).astype(np.float32)
    np.testing.assert_allclose(restore_four_bits(quantise_to_four_bits(matrix)), matrix, atol=1e-4 * (step + abs(low)))


def unpacked(packed):
    halves = np.stack([packed & 15, packed >> 4], axis=-1)
    return halves.reshape(*packed.shape[:-1], -1).astype(np.float32)


@given(matrices, st.booleans())
def test_what_a_zero_leaves_out_is_in_the_columns_for_the_means(matrix, twice):
    blocks, count = quantise_to_four_bits(matrix), matrix.shape[1] // BLOCK
    packed = with_rests(blocks, twice=twice)
    assert twice or packed.copies == 1
    codes, zeros = unpacked(packed.codes), unpacked(packed.zeros)[:, : packed.scales.shape[1]]
    values = (codes - zeros[..., None]) * packed.scales[..., None]
    weights = values[:, :count].reshape(matrix.shape)
    for_means = values[:, count:].reshape(len(matrix), -1)
    assert not for_means[:, packed.copies * count :].any(), "nothing stands there"
    every = for_means[:, : packed.copies * count].reshape(len(matrix), packed.copies, count).sum(axis=1)
    whole = weights + np.repeat(every / BLOCK, BLOCK, axis=1)
    largest = np.abs(blocks.rests).max(axis=1, keepdims=True)
    coarse = largest / (200 if twice else 12)
    assert (np.abs(whole - restore_four_bits(blocks)) <= coarse + 1e-5 * np.abs(matrix).max() + 1e-6).all()


def test_fewer_bits_take_fewer_bytes():
    sizes = [one.weight_bytes for one in (Precision.Q4, Precision.Q8, Precision.F16, Precision.F32)]
    assert sizes == sorted(sizes)
