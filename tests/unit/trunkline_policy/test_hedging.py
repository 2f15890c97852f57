"""When a second request goes, and how many may."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_policy.hedging import BURST, SAMPLES_MIN, FirstTokenTimes, HedgeBudget, earned, spent

times = st.lists(st.floats(0, 600, allow_nan=False), max_size=300)
shares = st.floats(0, 1)


@given(times, shares, st.integers(20, 64))
def test_the_quantile_is_that_of_the_last_ones(given_times, share, size):
    window = FirstTokenTimes(size)
    for took_s in given_times:
        window.add(took_s)
    last = sorted(given_times[-size:])
    assert len(window) == len(last) <= size
    found = window.quantile_s(share)
    if len(last) < SAMPLES_MIN:
        assert found is None
    else:
        assert found in last
        assert sum(took_s <= found for took_s in last) >= share * len(last) - 1e-9
        assert sum(took_s < found for took_s in last) <= math.ceil(share * len(last))


def test_a_small_window_is_enough_when_it_is_full():
    window = FirstTokenTimes(3)
    for took_s in (1.0, 2.0, 3.0, 4.0):
        window.add(took_s)
    assert window.quantile_s(0.5) == 3.0
    assert window.quantile_s(1.0) == 4.0


@given(st.lists(st.booleans(), max_size=400), st.floats(0, 1))
def test_extra_requests_never_exceed_their_share_but_for_the_burst(wishes, ratio):
    budget, hedges = HedgeBudget(), 0
    for requests, wants_hedge in enumerate(wishes, start=1):
        budget = earned(budget, ratio)
        if wants_hedge and (left := spent(budget)) is not None:
            budget, hedges = left, hedges + 1
        assert 0 <= budget.saved <= BURST
        assert hedges <= ratio * requests + 1e-6, "it starts with nothing saved"


@pytest.mark.parametrize(("ratio", "requests"), [(0.05, 20), (0.1, 10), (1.0, 1)])
def test_so_many_requests_earn_one(ratio, requests):
    budget = HedgeBudget()
    for index in range(requests):
        assert spent(budget) is None, index
        budget = earned(budget, ratio)
    assert spent(budget) is not None


def test_a_quiet_hour_does_not_save_up_a_storm():
    budget = HedgeBudget()
    for _ in range(10_000):
        budget = earned(budget, 0.5)
    assert budget.saved == BURST
