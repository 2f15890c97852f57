"""The fast choice against a slow one that says the same in plain words."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from trunkline_worker.candidates import Scratch, candidates, level_of, pick
from trunkline_worker.generation import SamplingOptions

rows = arrays(np.float32, st.integers(1, 60), elements=st.floats(-30, 30, width=32))
"""Equal logits are wanted: they are what a fast way gets wrong."""
long_rows = st.tuples(st.integers(257, 1500), st.integers(0, 2**32)).map(
    lambda made: (np.random.default_rng(made[1]).integers(-20, 20, made[0]) / 2).astype(np.float32)
)
options = st.builds(
    SamplingOptions,
    temperature=st.floats(0.01, 2),
    top_p=st.floats(0, 1) | st.just(1.0),
    top_k=st.integers(0, 70),
    min_p=st.floats(0, 1) | st.just(0.0),
)


def weights_of(row, options: SamplingOptions) -> list[float]:
    return np.exp((row - row.max()) / np.float32(max(options.temperature, 1e-6))).tolist()


def reference(row, options: SamplingOptions) -> tuple[list[int], bool]:
    """The kept ids in order, and whether rounding might have it otherwise."""
    weights = weights_of(row, options)
    least = max(options.min_p, 2.0**-24)
    order = sorted(range(len(row)), key=lambda token: (-row[token], token))
    order = [token for token in order if weights[token] >= np.float32(least)]
    order = order[: options.top_k or None]
    if options.top_p == 1:
        return sorted(order), False
    mass = options.top_p * math.fsum(weights[token] for token in order)
    kept: list[int] = []
    reached, close = 0.0, False
    for token in order:
        kept.append(token)
        reached += weights[token]
        close = close or math.isclose(reached, mass, rel_tol=1e-5)
        if reached >= mass:
            break
    return sorted(kept), close


@settings(max_examples=400)
@given(rows | long_rows, options)
def test_candidates_are_the_references(row, options):
    expected, close = reference(row, options)
    ids, weights = candidates(row, options, Scratch(row.size))
    if not close:
        assert ids.tolist() == expected
    assert weights.tolist() == [weights_of(row, options)[token] for token in ids]
    assert int(row.argmax()) in ids


@given(rows | long_rows, options)
def test_a_row_is_not_changed(row, options):
    before = row.copy()
    candidates(row, options, Scratch(row.size))
    assert (row == before).all()


@given(rows | long_rows, st.integers(1, 1600))
def test_at_least_so_many_reach_the_level(row, count):
    assert (row >= level_of(row, count)).sum() >= min(count, row.size)


@given(arrays(np.float32, st.integers(1, 600), elements=st.floats(0, 1, width=32)), st.floats(0, 1))
def test_pick_is_the_walk_along_the_weights(weights, place):
    if weights.sum() == 0:
        return
    ids = np.arange(100, 100 + weights.size)
    token = pick(ids, weights, place) - 100
    assert weights[token] > 0
    before = math.fsum(weights[:token].tolist())
    at = place * math.fsum(weights.tolist())
    assert before - 1e-6 <= at <= before + float(weights[token]) + 1e-6


def test_what_is_forbidden_never_comes():
    row = np.full(600, -np.inf, np.float32)
    row[[3, 500]] = 1.0
    for given_ in (
        SamplingOptions(),
        SamplingOptions(top_k=40),
        SamplingOptions(top_p=0.99),
        SamplingOptions(min_p=0.1),
    ):
        ids, weights = candidates(row, given_, Scratch(row.size))
        assert (ids.tolist(), weights.tolist()) == ([3, 500], [1, 1])
