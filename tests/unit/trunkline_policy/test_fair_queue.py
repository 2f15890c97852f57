"""Fair queueing: shares, classes, order, and that nobody is forgotten; as a state machine and as laws."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from trunkline_policy.fair_queue import BATCH, INTERACTIVE, NORMAL, Entry, FairQueue

LONG_MS = 1e9


def entry(number, team="a", weight=1.0, rank=NORMAL, since_ms=0.0, wait_ms=LONG_MS):
    return Entry(number=number, team=team, weight=weight, rank=rank, since_ms=since_ms, until_ms=since_ms + wait_ms)


def served(queue, now_ms=0.0):
    chosen = queue.next(now_ms)
    return None if chosen is None else queue.serve(chosen.number, now_ms)


def order(queue, now_ms=0.0):
    found = []
    while (one := served(queue, now_ms)) is not None:
        found.append(one.number)
    return found


def queue_of(*entries):
    queue = FairQueue()
    for one in entries:
        queue.put(one)
    return queue


def test_nobody_waits():
    assert FairQueue().next(0) is None
    assert FairQueue().remove(1) is None


def test_a_team_is_served_in_order_of_arrival():
    assert order(queue_of(*(entry(number) for number in range(9)))) == list(range(9))


def test_higher_classes_go_first():
    queue = queue_of(entry(1, rank=BATCH), entry(2, "b"), entry(3, "c", rank=INTERACTIVE), entry(4, rank=INTERACTIVE))
    assert order(queue) == [3, 4, 2, 1]


def test_waiting_lifts_by_a_class_each_quarter():
    one = entry(1, rank=BATCH, since_ms=100, wait_ms=400)
    assert [one.rank_at(now) for now in (0, 100, 199, 200, 299, 300, 500, 10_000)] == [2, 2, 2, 1, 1, 0, 0, 0]
    queue = queue_of(entry(1, "b", rank=BATCH, wait_ms=400), entry(2, rank=INTERACTIVE))
    assert order(queue, now_ms=200) == [1, 2], "equal by now, and it came first"


def test_one_of_little_patience_does_not_wait_behind_a_patient_one_of_its_team():
    patient, impatient = entry(0, rank=BATCH, wait_ms=100_000), entry(1, rank=BATCH, wait_ms=100)
    queue = queue_of(patient, impatient, entry(2, "b", wait_ms=100_000))
    assert queue.next(0).number == 2
    assert served(queue, now_ms=30).number == 1
    assert order(queue, now_ms=30) == [2, 0]


def test_those_of_equal_patience_keep_their_order_whatever_the_clock_makes_of_it():
    queue = queue_of(*(entry(number, since_ms=number / 3, wait_ms=1_000 + number * 1e-7) for number in range(9)))
    for now_ms in (0, 249.9, 250.1, 251, 252.7, 900):
        assert queue.next(now_ms).number == 0
    assert order(queue, now_ms=251) == list(range(9))


def test_next_changes_nothing():
    queue = queue_of(entry(1, "a"), entry(2, "b"))
    assert {queue.next(0).number for _ in range(5)} == {1}
    assert [one.number for one in queue] == [1, 2]


def test_one_that_comes_back_keeps_its_place():
    queue = queue_of(entry(1), entry(3), entry(5))
    queue.put_back(entry(2))
    queue.put_back(entry(6))
    assert order(queue) == [1, 2, 3, 5, 6]


def test_how_many_are_ahead():
    queue = queue_of(entry(1, rank=BATCH), entry(2, "b"), entry(3), entry(4, rank=INTERACTIVE))
    assert [queue.ahead_of(number) for number in (1, 2, 3, 4)] == [0, 0, 1, 0]


def test_a_team_that_was_away_has_nothing_saved_up():
    queue = queue_of(*(entry(number) for number in range(20)))
    for _ in range(10):
        served(queue)
    for number in range(100, 110):
        queue.put(entry(number, "late"))
    teams = [served(queue).team for _ in range(10)]
    assert 4 <= teams.count("late") <= 6


def test_memory_ends_with_the_queue():
    queue = queue_of(*(entry(number, f"team-{number}") for number in range(50)))
    order(queue)
    assert not queue._teams
    queue = queue_of(entry(0, "stays"))
    for number in range(1, 500):
        queue.put(entry(number, f"team-{number}", weight=1000))
        queue.serve(number, 0)
    assert len(queue._teams) < 10


WEIGHTS = st.lists(st.floats(0.1, 100), min_size=1, max_size=8)


@given(WEIGHTS, st.integers(1, 120))
@settings(max_examples=150)
def test_shares_are_right_within_one(weights, count):
    """Teams that always wait: after every service each has had its share of all, give or take one."""
    queue = FairQueue()
    numbers = iter(range(10**6))
    for index, weight in enumerate(weights):
        for _ in range(2):
            queue.put(entry(next(numbers), str(index), weight))
    had = dict.fromkeys(map(str, range(len(weights))), 0)
    for total in range(1, count + 1):
        one = served(queue)
        had[one.team] += 1
        queue.put(entry(next(numbers), one.team, one.weight))
        for index, weight in enumerate(weights):
            assert abs(had[str(index)] - total * weight / sum(weights)) <= 1 + 1e-6


@given(st.lists(st.floats(0.5, 20), min_size=1, max_size=6), st.floats(0.5, 20))
def test_batch_does_not_starve(weights, own):
    """Under endless interactive requests of others, one that has waited for half its time goes within its share."""
    queue = FairQueue()
    numbers = iter(range(1, 10**6))
    queue.put(entry(0, "batch", own, BATCH, wait_ms=1_000))
    for index, weight in enumerate(weights):
        queue.put(entry(next(numbers), str(index), weight, INTERACTIVE))
    for services in range(10_000):
        now_ms = 500.0
        one = served(queue, now_ms)
        if one.number == 0:
            assert services <= sum(weights) / own + len(weights) + 1
            return
        queue.put(entry(next(numbers), one.team, one.weight, INTERACTIVE, since_ms=now_ms))
    raise AssertionError("it starved")


class Line(RuleBasedStateMachine):
    """Any sequence of arrivals, departures and services."""

    def __init__(self):
        super().__init__()
        self.queue = FairQueue()
        self.waiting = {}
        self.away = {}
        self.number = 0
        self.now_ms = 0.0

    @rule(
        team=st.sampled_from("abc"),
        rank=st.sampled_from([INTERACTIVE, NORMAL, BATCH]),
        wait_ms=st.floats(1, 5_000),
        weight=st.sampled_from([0.5, 1.0, 3.0]),
    )
    def arrive(self, team, rank, wait_ms, weight):
        self.number += 1
        one = entry(self.number, team, weight, rank, self.now_ms, wait_ms)
        self.queue.put(one)
        self.waiting[one.number] = one

    @rule(ms=st.floats(0, 3_000))
    def wait(self, ms):
        self.now_ms += ms

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def leave(self, data):
        number = data.draw(st.sampled_from(sorted(self.waiting)))
        assert self.queue.remove(number) == self.waiting[number]
        self.away[number] = self.waiting.pop(number)

    @precondition(lambda self: self.away)
    @rule(data=st.data())
    def come_back(self, data):
        number = data.draw(st.sampled_from(sorted(self.away)))
        self.waiting[number] = self.away.pop(number)
        self.queue.put_back(self.waiting[number])

    @precondition(lambda self: self.waiting)
    @rule()
    def serve(self):
        chosen = self.queue.next(self.now_ms)
        rank = chosen.rank_at(self.now_ms)
        for other in self.waiting.values():
            if other.team == chosen.team and other.rank_at(self.now_ms) == rank:
                assert chosen.number <= other.number, "first come, first served in a team"
        assert rank == min(one.rank_at(self.now_ms) for one in self.waiting.values()), "the highest class goes first"
        assert self.queue.serve(chosen.number, self.now_ms) == chosen
        del self.waiting[chosen.number]

    @invariant()
    def everybody_is_there_once_and_somebody_is_next(self):
        assert sorted(one.number for one in self.queue) == sorted(self.waiting)
        assert len(self.queue) == len(self.waiting)
        assert (self.queue.next(self.now_ms) is None) == (not self.waiting), "work conserving"


TestLine = Line.TestCase
TestLine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_the_ranks_are_three():
    with pytest.raises(IndexError):
        FairQueue().put(entry(1, rank=3))
