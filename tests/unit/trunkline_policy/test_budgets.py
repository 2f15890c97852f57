"""Calendar periods over time zones."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_policy import budgets
from trunkline_policy.money import nusd_of

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Kiritimati",
]
PERIODS = ["day", "week", "month"]
MOMENTS = st.integers(1_262_304_000_000, 2_082_758_400_000)
"""2010 to 2036."""


def period_key(period, moment_ms, zone):
    """What a person would call the period: the naive model."""
    local = datetime.fromtimestamp(moment_ms / 1000, zone)
    if period == "day":
        return local.date()
    return local.isocalendar()[:2] if period == "week" else (local.year, local.month)


@given(MOMENTS, st.sampled_from(PERIODS), st.sampled_from(ZONES))
def test_a_moment_is_in_the_period_that_a_calendar_says(moment_ms, period, name):
    zone = ZoneInfo(name)
    bounds = budgets.boundaries_ms(period, moment_ms, zone)
    start_ms, end_ms = budgets.current(bounds, moment_ms)
    assert start_ms <= moment_ms < end_ms
    key = period_key(period, moment_ms, zone)
    assert period_key(period, start_ms, zone) == key
    assert period_key(period, end_ms - 1, zone) == key
    assert period_key(period, start_ms - 1, zone) != key
    assert period_key(period, end_ms, zone) != key


@given(MOMENTS, st.sampled_from(PERIODS), st.sampled_from(ZONES), st.integers(-3_600_000, 3_600_000))
def test_clocks_an_hour_apart_agree_on_periods(moment_ms, period, name, skew_ms):
    zone = ZoneInfo(name)
    ours = budgets.boundaries_ms(period, moment_ms, zone)
    theirs_ms = moment_ms + skew_ms
    assert budgets.current(ours, theirs_ms) == budgets.current(
        budgets.boundaries_ms(period, theirs_ms, zone), theirs_ms
    )


@pytest.mark.parametrize(
    ("period", "zone", "at", "start", "end"),
    [
        ("month", "UTC", "2024-02-29T23:59:59.999", "2024-02-01T00:00", "2024-03-01T00:00"),
        ("month", "Asia/Kolkata", "2024-02-29T18:30", "2024-02-29T18:30", "2024-03-31T18:30"),
        ("month", "America/New_York", "2024-03-20T00:00", "2024-03-01T05:00", "2024-04-01T04:00"),
        ("month", "UTC", "2024-12-31T23:59", "2024-12-01T00:00", "2025-01-01T00:00"),
        ("day", "Europe/Berlin", "2024-03-31T12:00", "2024-03-30T23:00", "2024-03-31T22:00"),
        ("day", "Europe/Berlin", "2024-10-27T12:00", "2024-10-26T22:00", "2024-10-27T23:00"),
        # Midnight was skipped: the day began at 01:00.
        ("day", "America/Sao_Paulo", "2018-11-04T12:00", "2018-11-04T03:00", "2018-11-05T02:00"),
        ("week", "UTC", "2024-12-31T12:00", "2024-12-30T00:00", "2025-01-06T00:00"),
    ],
)
def test_edges(period, zone, at, start, end):
    moment_ms = milliseconds(at)
    bounds = budgets.boundaries_ms(period, moment_ms, ZoneInfo(zone))
    assert budgets.current(bounds, moment_ms) == (milliseconds(start), milliseconds(end))


def milliseconds(text):
    return round(
        (datetime.fromisoformat(text).replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC))
        / timedelta(milliseconds=1)
    )


def test_a_total_never_ends():
    assert budgets.current(budgets.boundaries_ms("total", 1_700_000_000_000, UTC), 1_700_000_000_000) == (0, None)


def test_the_largest_amount_is_exact_in_a_double():
    assert int(float(nusd_of(budgets.AMOUNT_USD_MAX) + 1)) == nusd_of(budgets.AMOUNT_USD_MAX) + 1
