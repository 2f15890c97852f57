"""Breakers: exact moments, one probe, and nothing that is ever shortened."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from trunkline_policy import breakers
from trunkline_policy.breakers import SOUND, Phase, Terms, abandoned, admitted, failed, opened, succeeded, told

TERMS = Terms(failures=3, open_s=4.0, open_s_max=20.0, probe_s=10.0)


def broken(times, now_s=0.0, breaker=SOUND, terms=TERMS):
    for _ in range(times):
        breaker = failed(breaker, now_s, now_s, terms)
    return breaker


@given(st.integers(1, 20), st.floats(0, 1e6), st.floats(0.1, 60))
def test_it_opens_at_the_last_of_so_many_failures_for_exactly_so_long(failures, now_s, open_s):
    terms = Terms(failures=failures, open_s=open_s)
    assert broken(failures - 1, now_s, terms=terms).phase(now_s) is Phase.CLOSED
    breaker = broken(failures, now_s, terms=terms)
    until_s = now_s + open_s
    assert breaker.phase(now_s) is Phase.OPEN
    assert breaker.tripped_until_s(now_s) == until_s
    assert breaker.phase(until_s) is Phase.HALF_OPEN
    assert breaker.tripped_until_s(until_s) == 0.0


def test_a_success_in_between_starts_the_count_again():
    breaker = succeeded(broken(2), sent_s=0.0)
    assert breaker == SOUND
    assert broken(2, breaker=breaker).phase(0.0) is Phase.CLOSED


def test_half_open_admits_one_probe_until_something_is_heard_of_it():
    breaker = admitted(broken(3), 4.0, TERMS)
    assert breaker.phase(5.0) is Phase.HALF_OPEN
    assert breaker.tripped_until_s(5.0) == 14.0
    assert breaker.tripped_until_s(14.0) == 0.0, "a probe that is lost does not keep it open for ever"
    assert succeeded(breaker, sent_s=4.0) == SOUND
    assert abandoned(breaker, 4.0, TERMS).tripped_until_s(5.0) == 0.0
    assert abandoned(breaker, 3.0, TERMS) == breaker, "somebody else's attempt"


def test_a_probe_that_fails_opens_it_for_twice_as_long_up_to_a_bound():
    breaker, now_s, lasted = broken(3), 0.0, []
    for _ in range(5):
        lasted.append(breaker.open_until_s - now_s)
        now_s = breaker.open_until_s
        breaker = failed(admitted(breaker, now_s, TERMS), now_s, now_s, TERMS)
    assert lasted == [4.0, 8.0, 16.0, 20.0, 20.0]


def test_what_was_sent_before_it_opened_says_nothing_of_now():
    breaker = broken(3, now_s=10.0)
    assert succeeded(breaker, sent_s=9.0) == breaker
    assert failed(breaker, 9.0, 11.0, TERMS) == breaker
    assert failed(breaker, 9.0, 15.0, TERMS) == breaker, "not even once it is half open"
    assert succeeded(breaker, sent_s=12.0) == SOUND, "a last resort that worked"


@given(st.lists(st.floats(0, 100), min_size=1))
def test_what_it_asks_for_is_never_shortened_and_needs_no_probe(moments):
    breaker = SOUND
    for until_s in moments:
        breaker = told(breaker, until_s)
    latest_s = max(moments)
    assert breaker.told_until_s == latest_s
    assert breaker.phase(latest_s) is Phase.CLOSED
    assert breaker.tripped_until_s(0.0) == 0.0


def test_an_ejection_is_an_opening():
    assert opened(SOUND, 1.0, TERMS).phase(4.9) is Phase.OPEN


@pytest.mark.parametrize(
    "event", [lambda b: failed(b, 6.0, 6.0, TERMS), lambda b: told(b, 3.0), lambda b: told(b, 7.0)]
)
def test_a_success_elsewhere_does_not_end_what_it_asked_for(event):
    breaker = event(told(SOUND, 9.0))
    assert succeeded(breaker, sent_s=6.0).told_until_s == 9.0


class AnyLife(RuleBasedStateMachine):
    """Any sequence of attempts of any length."""

    def __init__(self):
        super().__init__()
        self.breaker = SOUND
        self.now_s = 1.0
        self.flying = []
        self.worked_s = 0.0
        self.until_s = 0.0

    @rule(seconds=st.floats(0, 15))
    def wait(self, seconds):
        self.now_s += seconds

    @rule()
    def send(self):
        if self.breaker.tripped_until_s(self.now_s):
            return
        half_open = self.breaker.phase(self.now_s) is Phase.HALF_OPEN
        self.breaker = admitted(self.breaker, self.now_s, TERMS)
        self.flying.append(self.now_s)
        if half_open:
            assert self.breaker.tripped_until_s(self.now_s), "one probe at a time"

    @rule(place=st.integers(0, 50), works=st.booleans())
    def hear(self, place, works):
        if not self.flying:
            return
        sent_s = self.flying.pop(place % len(self.flying))
        if works:
            self.breaker = succeeded(self.breaker, sent_s)
            self.until_s = self.breaker.open_until_s
        else:
            self.breaker = failed(self.breaker, sent_s, self.now_s, TERMS)

    @rule(seconds=st.floats(0, 30))
    def ask(self, seconds):
        self.breaker = told(self.breaker, self.now_s + seconds)

    @invariant()
    def never_shortened_and_bounded(self):
        assert self.breaker.open_until_s >= self.until_s
        self.until_s = self.breaker.open_until_s
        assert self.breaker.open_until_s <= self.now_s + TERMS.open_s_max
        assert self.breaker.failures < TERMS.failures
        assert bool(self.breaker.openings) == bool(self.breaker.opened_s)


TestAnyLife = AnyLife.TestCase
TestAnyLife.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@given(opened_s=st.floats(0, 100), until_s=st.floats(0, 200), own_until_s=st.floats(0, 200), openings=st.integers(0, 5))
def test_what_is_heard_never_shortens_what_is_known(opened_s, until_s, own_until_s, openings):
    own = breakers.Breaker(openings=openings, opened_s=1.0, open_until_s=own_until_s)
    heard = breakers.heard(own, opened_s, until_s)
    assert heard.open_until_s == max(until_s, own_until_s)
    assert heard.openings == max(1, openings)
    assert breakers.heard(heard, opened_s, until_s) == heard, "told twice it is told once"


def test_after_what_was_heard_a_probe_decides():
    heard = breakers.heard(breakers.SOUND, 10.0, 20.0)
    assert [heard.phase(moment).value for moment in (19.9, 20.0)] == ["open", "half_open"]
    assert breakers.succeeded(heard, 9.0) is heard, "sent before it opened"
    assert breakers.succeeded(heard, 20.0) == breakers.SOUND
    assert breakers.failed(heard, 20.0, 21.0, breakers.Terms(open_s=5)).open_until_s == 31.0, "twice as long"
