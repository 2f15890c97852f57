"""A stream is too slow by the time its sender took, never by the time its reader took."""

import math

from hypothesis import given
from hypothesis import strategies as st

from trunkline_policy.pace import Pace

STEPS = st.lists(st.tuples(st.integers(1, 5), st.floats(0, 8)), max_size=30)


def test_the_first_window_is_for_free_and_then_silence_is_too_slow():
    pace = Pace(0.5, 10)
    assert pace.patience_s == 10
    pace.came(1, 4)
    assert pace.patience_s == 6, "five in the first ten seconds: four are missing"
    pace.came(4, 1)
    assert pace.patience_s == 9, "ten seconds from the first of the last five on"


def test_many_at_once_count_as_many():
    pace = Pace(1, 10)
    pace.came(100, 9)
    assert pace.patience_s == 10


def test_time_that_nobody_waited_does_not_count():
    pace = Pace(1, 10)
    for _ in range(1000):
        pace.came(1, 0)
    assert pace.patience_s == 10
    pace.came(0, -5)
    assert pace.patience_s == 10


@given(rate=st.floats(0.05, 3), window_s=st.floats(1, 60), steps=STEPS)
def test_it_is_what_counting_the_events_of_the_window_says(rate, window_s, steps):
    pace, moments, now_s = Pace(rate, window_s), [], 0.0
    needed = max(1, math.ceil(rate * window_s - 1e-9))
    for events, after_s in steps:
        now_s += after_s
        pace.came(events, after_s)
        moments += [now_s] * events
        recent = [0.0] * needed + moments
        assert math.isclose(pace.patience_s, recent[-needed] + window_s - now_s, abs_tol=1e-6)


@given(rate=st.floats(0.05, 3), window_s=st.floats(1, 60), count=st.integers(1, 200))
def test_a_sender_that_keeps_the_rate_is_never_too_slow(rate, window_s, count):
    pace = Pace(rate, window_s)
    for _ in range(count):
        pace.came(1, 1 / rate * 0.999)
        assert pace.patience_s > -1e-6 or window_s * rate < 1
