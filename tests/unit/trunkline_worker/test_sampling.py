"""Laws of the choice of a token, over rows that hypothesis can think of."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from trunkline_kit.errors import InvalidRequest
from trunkline_worker.generation import SamplingOptions
from trunkline_worker.sampling import Sampler, candidates, choose_all, logprobs, pick, relative_weights

rows = arrays(np.float32, st.integers(2, 60), elements=st.floats(-30, 30, width=32), unique=True)
temperatures = st.floats(0.1, 2)


@given(rows, temperatures, st.integers(0, 2**31))
def test_top_k_one_and_tiny_top_p_are_greedy(row, temperature, seed):
    greedy = Sampler(SamplingOptions(temperature=0)).choose(row)
    assert Sampler(SamplingOptions(temperature=temperature, top_k=1, seed=seed)).choose(row) == greedy
    assert Sampler(SamplingOptions(temperature=temperature, top_p=1e-9, seed=seed)).choose(row) == greedy
    assert Sampler(SamplingOptions(temperature=temperature, top_p=0, seed=seed)).choose(row) == greedy
    assert greedy == int(row.argmax())


@given(rows, temperatures, st.floats(0.01, 1), st.integers(0, 20), st.floats(0, 0.5))
def test_candidates_are_what_sorting_everything_gives(row, temperature, top_p, top_k, min_p):
    weights = relative_weights(row, temperature)
    kept = candidates(row, weights, SamplingOptions(top_p=top_p, top_k=top_k, min_p=min_p))
    order = np.argsort(-row, kind="stable")
    order = order[weights[order] > 0]
    if min_p:
        order = order[weights[order] >= min_p]
    order = order[: top_k or None]
    reached = np.cumsum(weights[order].astype(np.float64))
    size = int(np.searchsorted(reached, top_p * reached[-1])) + 1
    assert kept.tolist() == sorted(order[:size].tolist())


@given(rows, temperatures, st.floats(0.05, 1), st.integers(0, 2**31))
def test_only_tokens_of_the_nucleus_are_drawn(row, temperature, top_p, seed):
    options = SamplingOptions(temperature=temperature, top_p=top_p, seed=seed)
    allowed = set(candidates(row, relative_weights(row, temperature), options).tolist())
    sampler = Sampler(options)
    assert {sampler.choose(row) for _ in range(20)} <= allowed or top_p == 1


@given(rows, st.integers(-(2**40), 2**40))
def test_a_seed_repeats_and_neighbours_do_not_matter(row, seed):
    options = SamplingOptions(seed=seed, top_p=0.9)
    alone = Sampler(options)
    first = [alone.choose(row) for _ in range(5)]
    mine, other = Sampler(options), Sampler(SamplingOptions())
    both = np.stack([row[::-1], row])
    assert [choose_all(both, [other, mine])[1] for _ in range(5)] == first


def test_frequencies_follow_the_probabilities():
    row = np.log(np.array([0.5, 0.3, 0.15, 0.05], np.float32))
    sampler = Sampler(SamplingOptions(seed=1))
    drawn = np.bincount([sampler.choose(row) for _ in range(4000)], minlength=4) / 4000
    np.testing.assert_allclose(drawn, [0.5, 0.3, 0.15, 0.05], atol=0.03)


def test_penalties_and_bias():
    row = np.array([2.0, 1.9, 0.0, -1.0], np.float32)
    sampler = Sampler(SamplingOptions(temperature=0, presence_penalty=0.5))
    assert [sampler.choose(row) for _ in range(3)] == [0, 1, 0]
    sampler = Sampler(SamplingOptions(temperature=0, repetition_penalty=2.0), prompt_ids=[0, 1])
    assert sampler.choose(row) == 0
    assert Sampler(SamplingOptions(temperature=0, logit_bias={3: 100.0})).choose(row) == 3
    assert Sampler(SamplingOptions(temperature=0, logit_bias={0: -100.0})).choose(row) == 1
    assert row.tolist() == pytest.approx([2.0, 1.9, 0.0, -1.0])


@given(rows, st.integers(0, 20))
def test_logprobs_are_a_distribution(row, top):
    made = logprobs(row, int(row.argmin()), top)
    expected = row - row.max() - np.log(np.exp((row - row.max()).astype(np.float64)).sum())
    assert made.chosen.logprob == pytest.approx(expected[row.argmin()], abs=1e-3)
    assert [one.token_id for one in made.top] == np.argsort(-row, kind="stable")[:top].tolist()
    assert all(one.logprob <= 0 for one in made.top)


@given(arrays(np.float64, st.integers(1, 600), elements=st.floats(0, 1)), st.floats(0, 1))
def test_pick_never_takes_what_has_no_weight(weights, place):
    if weights.sum() > 0:
        assert weights[pick(weights, place)] > 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 2.1),
        ("temperature", float("nan")),
        ("top_p", -0.1),
        ("top_k", -1),
        ("min_p", 2),
        ("presence_penalty", 3),
    ],
)
def test_options_out_of_range_are_refused_by_name(name, value):
    with pytest.raises(InvalidRequest, match=name) as refused:
        SamplingOptions(**{name: value}).check(100)
    assert refused.value.param == name
