"""Limits, budgets and moments as people write them on a command line."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from trunkline_kit.errors import InvalidRequest
from trunkline_kit.tenants import Budget, Limit, Period
from trunkline_policy.money import usd_plain

LIMIT_FORMS = "requests:600/60s, tokens:200000/1m or concurrent:32"
BUDGET_FORMS = "500/month, 20/day@Europe/Berlin or 1000/total"

_LIMIT = re.compile(r"(?P<measure>requests|tokens|concurrent):(?P<amount>[0-9_]{1,18})(?:/(?P<window>.+))?", re.ASCII)
_WINDOW = re.compile(r"(?P<count>[0-9]{1,9}(?:\.[0-9]+)?)(?P<unit>[smhd]?)", re.ASCII)
_BUDGET = re.compile(r"(?P<amount>[0-9]{1,9}(?:\.[0-9]{1,9})?)/(?P<period>day|week|month|total)(?:@(?P<zone>.+))?")
_AGE = re.compile(r"(?P<count>[0-9]{1,5})(?P<unit>[hdw])", re.ASCII)
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_AGES = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}

NEVER: Literal["never"] = "never"


def limit_of(text: str) -> Limit:
    """Raises InvalidRequest."""
    found = _LIMIT.fullmatch(text)
    if found is None or (found["measure"] == "concurrent") is not (found["window"] is None):
        raise InvalidRequest(f"{text!r} is no limit: give {LIMIT_FORMS}")
    per_s = seconds_of(found["window"]) if found["window"] is not None else None
    amount = int(found["amount"])
    limit = {"requests": Limit(requests=amount), "tokens": Limit(tokens=amount), "concurrent": Limit(concurrent=amount)}
    return msgspec.structs.replace(limit[found["measure"]], per_s=per_s)


def seconds_of(text: str) -> float:
    """`60`, `60s`, `1m`, `2h`, `1d`. Raises InvalidRequest."""
    found = _WINDOW.fullmatch(text)
    if found is None:
        raise InvalidRequest(f"{text!r} is no duration: give 60s, 30m, 24h, 1d or a number of seconds")
    return float(found["count"]) * _SECONDS[found["unit"]]


def budget_of(text: str) -> Budget:
    """Raises InvalidRequest."""
    found = _BUDGET.fullmatch(text)
    if found is None:
        raise InvalidRequest(f"{text!r} is no budget: give {BUDGET_FORMS}")
    zone = found["zone"] or "UTC"
    return Budget(amount_usd=float(found["amount"]), period=Period(found["period"]), time_zone=zone)


def moment_of(text: str, now: datetime, *, ago: bool = False) -> datetime | None:
    """`90d`, `12h`, `2w` from now, or `ago`; a date or time, UTC where no zone is given; None for `never`.

    Raises InvalidRequest.
    """
    if text == NEVER and not ago:
        return None
    age = _AGE.fullmatch(text)
    if age is not None:
        return now + (-1 if ago else 1) * int(age["count"]) * _AGES[age["unit"]]
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        forms = "7d, 12h, 2w or 2026-11-01" if ago else f"90d, 12h, 2w, 2027-01-31 or {NEVER}"
        raise InvalidRequest(f"{text!r} is no time: give {forms}") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def told_limit(limit: Limit) -> str:
    """As `limit_of` takes it."""
    if limit.concurrent is not None:
        return f"concurrent:{limit.concurrent}"
    measure, amount = ("requests", limit.requests) if limit.requests is not None else ("tokens", limit.tokens)
    return f"{measure}:{amount}/{told_seconds(limit.per_s or 1)}s"


def told_seconds(seconds: float) -> str:
    """As `seconds_of` takes them: without an exponent."""
    return f"{seconds:.6f}".rstrip("0").rstrip(".")


def told_budget(budget: Budget) -> str:
    """As `budget_of` takes it."""
    zone = "" if budget.time_zone == "UTC" else f"@{budget.time_zone}"
    return f"{usd_plain(budget.amount_usd)}/{budget.period.value}{zone}"


def told_bounds(limits: Sequence[Limit], budgets: Sequence[Budget]) -> str:
    """All of them in one line."""
    return " ".join([*map(told_limit, limits), *(f"${told_budget(budget)}" for budget in budgets)])
