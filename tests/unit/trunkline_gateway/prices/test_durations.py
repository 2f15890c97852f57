from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.prices.durations import SAMPLES, UNKNOWN_US, Durations

HERE, THERE = ("own", "a"), ("own", "b")


def test_a_place_without_attempts_is_assumed_to_take_a_second():
    assert Durations().likely_us(HERE) == UNKNOWN_US


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=200))
def test_it_is_one_of_the_last_and_at_least_95_percent_are_not_longer(seen):
    durations = Durations()
    for one in seen:
        durations.learn(HERE, one)
    last = seen[-SAMPLES:]
    likely = durations.likely_us(HERE)
    assert likely in last
    assert sum(one <= likely for one in last) >= 0.95 * len(last)
    assert durations.likely_us(THERE) == UNKNOWN_US


def test_what_was_used_longest_ago_is_forgotten():
    durations = Durations(places_max=2)
    for name in "abac":
        durations.learn(("own", name), 5)
    assert [durations.likely_us(("own", name)) for name in "abc"] == [5, UNKNOWN_US, 5]
