"""Periods of budgets, aligned to a calendar.

A period is known by its start in milliseconds since the epoch.
"""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import date, datetime, timedelta, tzinfo
from typing import Literal

PeriodName = Literal["day", "week", "month", "total"]

AMOUNT_USD_MAX = 9_000_000
"""The store counts in doubles, which hold integers up to 2^53: a little over nine million dollars in nano-dollars."""


def boundaries_ms(period: PeriodName, now_ms: int, zone: tzinfo) -> tuple[int, ...]:
    """Starts of the period before this one, of this one, and of the two after it; (0,) for `total`, which never ends.

    Four, so that a store whose clock differs from ours can still tell by its own clock which one it is in. Weeks begin
    on Monday. A period begins at the first moment of its day, which in some zones on some days is not midnight.
    """
    if period == "total":
        return (0,)
    today = datetime.fromtimestamp(now_ms / 1000, zone).date()
    first = _first_day(period, today)
    before = _first_day(period, first - timedelta(days=1))
    after = _next_first_day(period, first)
    days = (before, first, after, _next_first_day(period, after))
    return tuple(_start_ms(day, zone) for day in days)


def current(boundaries: Sequence[int], now_ms: int) -> tuple[int, int | None]:
    """Start and end of the period that `now_ms` is in; the end is None for one that has none."""
    index = max(0, bisect_right(boundaries, now_ms) - 1)
    end = boundaries[index + 1] if index + 1 < len(boundaries) else None
    return boundaries[index], end


def _first_day(period: PeriodName, day: date) -> date:
    if period == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if period == "month" else day


def _next_first_day(period: PeriodName, first: date) -> date:
    if period == "month":
        return (first + timedelta(days=32)).replace(day=1)
    return first + timedelta(days=7 if period == "week" else 1)


def _start_ms(day: date, zone: tzinfo) -> int:
    """The first moment of `day`.

    Where midnight comes twice (clocks go back over it) it is the first; where it is skipped, `fold=0` reads it with the
    offset from before the change, which is the moment of the change or a little after.
    """
    return round(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp() * 1000)
