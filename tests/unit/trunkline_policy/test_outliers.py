"""Which deployment stands out, and that enough of them are always left."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_policy.outliers import UNSEEN, Record, Terms, faded, may_put_out, put_out, seen, stands_out

TERMS = Terms()
events = st.lists(st.tuples(st.floats(0, 30), st.booleans(), st.none() | st.floats(0.01, 30)), max_size=60)


def record(worked, failed=0, first_token_s=None, now_s=0.0, start=UNSEEN):
    found = start
    for index in range(worked + failed):
        found = seen(found, now_s, TERMS, ok=index >= failed, first_token_s=first_token_s)
    return found


@given(events)
def test_counts_are_bounded_and_means_stay_within_what_was_seen(given_events):
    found, now_s = UNSEEN, 0.0
    for passed_s, ok, first_s in given_events:
        now_s += passed_s
        found = seen(found, now_s, TERMS, ok=ok, first_token_s=first_s)
    times = [first_s for _, _, first_s in given_events if first_s is not None]
    assert 0 <= found.volume <= len(given_events) + 1e-9
    assert 0 <= found.failed_share <= 1
    if times:
        assert min(times) - 1e-9 <= found.recent_s <= max(times) + 1e-9
        assert min(times) - 1e-9 <= found.usual_s <= max(times) + 1e-9


@given(st.integers(1, 50), st.floats(0, 100), st.floats(0, 100))
def test_fading_in_two_steps_is_fading_in_one(count, first_s, second_s):
    start = record(count, first_token_s=1.0)
    once = faded(start, first_s + second_s, TERMS)
    twice = faded(faded(start, first_s, TERMS), first_s + second_s, TERMS)
    assert math.isclose(once.volume, twice.volume, rel_tol=1e-9)
    assert math.isclose(once.known, twice.known, rel_tol=1e-9)


def test_half_is_left_after_a_half_life_and_a_clock_that_steps_back_changes_nothing():
    assert faded(record(40), TERMS.half_life_s, TERMS).volume == pytest.approx(20)
    later = record(4, now_s=100.0)
    assert faded(later, 50.0, TERMS) == later


def test_one_that_fails_while_the_others_work_stands_out():
    assert stands_out(record(15, 15), [record(30), record(30)], TERMS, 0.0)


@pytest.mark.parametrize(
    ("own", "others"),
    [
        (record(15, 15), []),
        (record(15, 15), [record(15, 15)]),
        (record(3, 3), [record(30)]),
        (record(15, 15), [record(3)]),
        (record(30, 3), [record(30)]),
    ],
    ids=["nobody to compare", "all fail alike", "too few", "too few others", "a small share"],
)
def test_one_that_does_no_worse_or_is_hardly_known_does_not(own, others):
    assert not stands_out(own, others, TERMS, 0.0)


def slower(before_s, now_s=300.0, by=10):
    """One that was fast for long and is slow now."""
    return record(60, first_token_s=before_s * by, now_s=now_s, start=record(400, first_token_s=before_s))


def test_one_that_became_slower_than_it_was_stands_out_unless_all_did():
    assert stands_out(slower(0.5), [record(60, first_token_s=0.1, now_s=300.0)], TERMS, 300.0)
    assert not stands_out(slower(0.5), [slower(0.2)], TERMS, 300.0)


def test_one_that_always_was_slower_does_not():
    slow = record(400, first_token_s=5.0)
    assert not stands_out(slow, [record(400, first_token_s=0.1)], TERMS, 0.0)


def test_slower_but_fast_enough_does_not():
    assert not stands_out(slower(0.01), [record(60, first_token_s=0.1, now_s=300.0)], TERMS, 300.0)


@given(events, events)
def test_what_was_put_out_starts_afresh_with_what_it_usually_takes(before, others):
    found, now_s = UNSEEN, 0.0
    for passed_s, ok, first_s in before:
        now_s += passed_s
        found = seen(found, now_s, TERMS, ok=ok, first_token_s=first_s)
    fresh = put_out(found)
    assert (fresh.volume, fresh.usual_s) == (0, found.usual_s)
    assert not stands_out(fresh, [record(len(others) + 30)], TERMS, now_s)


@given(st.integers(1, 40), st.floats(0, 1))
def test_enough_are_always_left_and_at_least_one(total, share):
    terms = Terms(standing_share=share)
    standing = total
    while may_put_out(standing, total, terms):
        standing -= 1
    assert standing >= 1
    assert standing >= min(total, math.ceil(share * total))


def test_a_record_of_nothing():
    assert (Record().failed_share, Record().slowdown) == (0.0, 1.0)
