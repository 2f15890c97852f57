"""The fast choice against a slow one that says the same in plain words."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from trunkline_worker.candidates import Candidates, Scratch, candidates, level_of, pick
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


def scratch_of(row, *, fast_power: bool) -> Scratch:
    """As on a processor with AVX-512, or on any other."""
    scratch = Scratch(row.size)
    scratch.power, scratch.factor = (np.exp2, math.log2(math.e)) if fast_power else (np.exp, 1.0)
    return scratch


def weights_of(row, options: SamplingOptions) -> list[float]:
    return np.exp((row - row.max()) / np.float32(max(options.temperature, 1e-6))).tolist()


def reference(row, options: SamplingOptions) -> tuple[list[int], bool]:
    """The kept ids in order, and whether rounding might have it otherwise. Tokens of no weight are left out."""
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
@given(rows | long_rows, options, st.booleans())
def test_candidates_are_the_references(row, options, fast_power):
    expected, close = reference(row, options)
    found = candidates(row, options, scratch_of(row, fast_power=fast_power))
    exact = dict(enumerate(weights_of(row, options)))
    kept = sorted(token for token in found.ids.tolist() if exact[token] >= 2.0**-24)
    if not close:
        assert kept == expected
    np.testing.assert_allclose(
        found.weights / found.weights.max(), [exact[token] for token in found.ids.tolist()], rtol=1e-4, atol=1e-30
    )
    assert int(row.argmax()) in found.ids


@given(rows | long_rows, options)
def test_what_has_been_added_up_is_the_weights(row, options):
    found = candidates(row, options, Scratch(row.size))
    if found.reached is not None:
        ends = range(found.width, found.weights.size + found.width, found.width)
        np.testing.assert_allclose(
            found.reached - found.base, [found.weights[:end].sum(dtype=np.float64) for end in ends], rtol=1e-4
        )


@pytest.mark.parametrize("shift", [-500.0, 0.0, 500.0])
@pytest.mark.parametrize("fast_power", [False, True])
def test_logits_of_any_height_are_weighed_alike(shift, fast_power):
    row = (np.arange(900) % 70 / 8).astype(np.float32)
    options = SamplingOptions(temperature=0.5)
    with np.errstate(over="ignore"):
        found = candidates(row + np.float32(shift), options, scratch_of(row, fast_power=fast_power))
    np.testing.assert_allclose(found.weights / found.weights.max(), weights_of(row, options), rtol=1e-3)
    assert {pick(found, place) for place in (0, 0.5, 1)} <= set(range(900))


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
    token = pick(Candidates(ids, weights), place) - 100
    assert weights[token] > 0
    before = math.fsum(weights[:token].tolist())
    at = place * math.fsum(weights.tolist())
    assert before - 1e-6 <= at <= before + float(weights[token]) + 1e-6


@given(rows | long_rows, options, st.floats(0, 1))
def test_sums_made_on_the_way_change_no_pick(row, options, place):
    """But for those at the border of two tokens, where rounding decides."""
    found = candidates(row, options, Scratch(row.size))
    picked, plain = (pick(one, place) for one in (found, Candidates(found.ids, found.weights)))
    places = {int(token): index for index, token in enumerate(found.ids)}
    assert abs(places[picked] - places[plain]) <= 1 or found.weights[places[picked]] < 1e-4 * found.weights.max()


def test_what_is_forbidden_never_comes():
    row = np.full(600, -np.inf, np.float32)
    row[[3, 500]] = 1.0
    for given_ in (
        SamplingOptions(),
        SamplingOptions(top_k=40),
        SamplingOptions(top_p=0.99),
        SamplingOptions(min_p=0.1),
    ):
        found = candidates(row, given_, Scratch(row.size))
        heavy = found.weights > 0
        assert sorted(found.ids[heavy].tolist()) == [3, 500]
        assert found.weights[heavy][0] == found.weights[heavy][1]
