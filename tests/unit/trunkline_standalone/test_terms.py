from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_kit.errors import InvalidRequest
from trunkline_kit.tenants import Budget, Limit, Period
from trunkline_standalone.terms import (
    budget_of,
    limit_of,
    moment_of,
    seconds_of,
    told_bounds,
    told_budget,
    told_limit,
)

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
AMOUNTS = st.integers(1, 10**12)
WINDOWS = st.sampled_from([0.5, 1.0, 60.0, 3600.0, 86400.0])
LIMITS = (
    st.builds(Limit, requests=AMOUNTS, per_s=WINDOWS)
    | st.builds(Limit, tokens=AMOUNTS, per_s=WINDOWS)
    | st.builds(Limit, concurrent=AMOUNTS)
)


@given(LIMITS)
def test_a_limit_is_read_as_it_is_told(limit):
    assert limit_of(told_limit(limit)) == limit


@given(st.integers(0, 9_000_00), st.sampled_from(Period), st.sampled_from(["UTC", "Europe/Berlin"]))
def test_a_budget_is_read_as_it_is_told(cents, period, zone):
    budget = Budget(amount_usd=cents / 100, period=period, time_zone=zone)
    assert budget_of(told_budget(budget)) == budget


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("requests:600/60s", Limit(requests=600, per_s=60)),
        ("requests:600/60", Limit(requests=600, per_s=60)),
        ("tokens:200_000/1m", Limit(tokens=200_000, per_s=60)),
        ("tokens:1/2h", Limit(tokens=1, per_s=7200)),
        ("concurrent:32", Limit(concurrent=32)),
    ],
)
def test_limits(text, limit):
    assert limit_of(text) == limit


@pytest.mark.parametrize(
    "text", ["", "600/60s", "requests:600", "concurrent:3/1s", "requests:-1/1s", "requests:1/x", "money:1/1s"]
)
def test_what_is_no_limit(text):
    with pytest.raises(InvalidRequest):
        limit_of(text)


@pytest.mark.parametrize("text", ["", "500", "500/year", "-1/day", "$5/day", "1e3/day"])
def test_what_is_no_budget(text):
    with pytest.raises(InvalidRequest, match="give 500/month"):
        budget_of(text)


@pytest.mark.parametrize("text", ["", "s", "1w", "-1s", "1 s"])
def test_what_is_no_window(text):
    with pytest.raises(InvalidRequest):
        seconds_of(text)


def test_moments():
    assert moment_of("90d", NOW) == NOW + timedelta(days=90)
    assert moment_of("12h", NOW, ago=True) == NOW - timedelta(hours=12)
    assert moment_of("2027-01-31", NOW) == datetime(2027, 1, 31, tzinfo=UTC)
    assert moment_of("2027-01-31T00:00:00+01:00", NOW) == datetime(2027, 1, 30, 23, tzinfo=UTC)
    assert moment_of("never", NOW) is None
    for text in ("soon", "", "1y", "99999999d"):
        with pytest.raises(InvalidRequest):
            moment_of(text, NOW)


def test_a_moment_in_the_past_is_never_never():
    for text in ("never", "soon"):
        with pytest.raises(InvalidRequest, match=r"give 7d, 12h, 2w or 2026-11-01$"):
            moment_of(text, NOW, ago=True)
    with pytest.raises(InvalidRequest, match="or never"):
        moment_of("soon", NOW)


def test_nothing_is_told_with_an_exponent():
    budget = Budget(amount_usd=0.000018, period=Period.DAY)
    year = Limit(tokens=5, per_s=31_622_400)
    assert told_bounds((year,), (budget,)) == "tokens:5/31622400s $0.000018/day"
    assert told_budget(Budget(amount_usd=9_000_000, period=Period.TOTAL)) == "9000000/total"


def test_bounds_in_one_line():
    assert told_bounds((Limit(concurrent=3),), (Budget(amount_usd=5, period=Period.DAY),)) == "concurrent:3 $5/day"
