"""`trunkline limits` and `trunkline budgets`: everybody's, and setting one."""

import asyncio
from datetime import datetime

import msgspec

from trunkline_kit.errors import InvalidRequest
from trunkline_kit.tenants import Budget, Limit
from trunkline_policy.money import usd_plain
from trunkline_standalone.columns import Column, Shape
from trunkline_standalone.commands.objects import Noun, asked, path_of, say_object
from trunkline_standalone.remote import Pairs, Remote, connected
from trunkline_standalone.tables import note, say_json, say_table
from trunkline_standalone.terms import told_budget, told_limit, told_seconds

MEASURES = ("requests", "tokens", "concurrent")
LEVELS = ("org", "team", "project", "key", "tag", "model")


_LIMIT_COLUMNS = (
    Column(name="level", shape=Shape.WHOLE),
    Column(name="owner", shape=Shape.NAME),
    Column(name="measure", shape=Shape.WHOLE),
    Column(name="amount", shape=Shape.NUMBER),
    Column(name="window", shape=Shape.NUMBER),
    Column(name="declared in", shape=Shape.WHOLE, spare=1),
)
_BUDGET_COLUMNS = (
    Column(name="level", shape=Shape.WHOLE),
    Column(name="owner", shape=Shape.NAME),
    Column(name="USD", shape=Shape.NUMBER),
    Column(name="period", shape=Shape.WHOLE),
    Column(name="time zone", shape=Shape.WHOLE, spare=2),
    Column(name="used", shape=Shape.NUMBER),
    Column(name="left", shape=Shape.NUMBER),
    Column(name="ends", shape=Shape.WHOLE, spare=1),
    Column(name="declared in", shape=Shape.WHOLE, spare=3),
)


class _LimitRow(msgspec.Struct, frozen=True, kw_only=True):
    level: str
    owner: str
    requests: int | None = None
    tokens: int | None = None
    concurrent: int | None = None
    per_s: float | None = None
    each_end_user: bool = False
    declared: bool = False


class _BudgetRow(msgspec.Struct, frozen=True, kw_only=True):
    level: str
    owner: str
    amount_usd: float
    period: str
    time_zone: str
    each_end_user: bool = False
    declared: bool = False
    state: str = "unknown"
    used_usd: float | None = None
    remaining_usd: float | None = None
    period_ends_at: datetime | None = None


class _Terms(msgspec.Struct, frozen=True):
    amount_usd: float
    time_zone: str


def run_limits(remote: Remote, query: Pairs, *, as_json: bool) -> None:
    """All of them."""
    raws = asyncio.run(_rows(remote, "/limits", query))
    if as_json:
        say_json(msgspec.json.encode(raws))
        return
    rows = [msgspec.json.decode(raw, type=_LimitRow) for raw in raws]
    cells = [
        (row.level, _owner(row.owner, each=row.each_end_user), *_measured(row), _window(row), _file(row))
        for row in rows
    ]
    say_table(_LIMIT_COLUMNS, cells)


def run_budgets(remote: Remote, query: Pairs, *, as_json: bool) -> None:
    """All of them, with what is left."""
    raws = asyncio.run(_rows(remote, "/budgets", query))
    if as_json:
        say_json(msgspec.json.encode(raws))
        return
    rows = [msgspec.json.decode(raw, type=_BudgetRow) for raw in raws]
    say_table(_BUDGET_COLUMNS, [_budget_cells(row) for row in rows])


def run_set_limit(remote: Remote, level: str, owner: str, limit: Limit, *, as_json: bool) -> None:
    """In place of the one of the same measure and window."""
    measure, _ = _measured(limit)
    answer = asked(remote, "PUT", path_of(noun_of(level), owner, "limits", measure), limit)
    note(f"set {told_limit(limit)} for {level} {owner}")
    say_object(answer, as_json=as_json)


def run_remove_limit(
    remote: Remote, level: str, owner: str, measure: str, per_s: float | None, *, as_json: bool
) -> None:
    """Of this measure: all windows, or one."""
    window = "" if per_s is None else f"?per_s={told_seconds(per_s)}"
    answer = asked(remote, "DELETE", path_of(noun_of(level), owner, "limits", measure) + window)
    say_object(answer, as_json=as_json)


def run_set_budget(remote: Remote, level: str, owner: str, budget: Budget, *, as_json: bool) -> None:
    """In place of the one of the same period."""
    path = path_of(noun_of(level), owner, "budgets", budget.period.value)
    answer = asked(remote, "PUT", path, _Terms(budget.amount_usd, budget.time_zone))
    note(f"set ${told_budget(budget)} for {level} {owner}")
    say_object(answer, as_json=as_json)


def run_remove_budget(remote: Remote, level: str, owner: str, period: str, *, as_json: bool) -> None:
    """Of this period."""
    say_object(asked(remote, "DELETE", path_of(noun_of(level), owner, "budgets", period)), as_json=as_json)


def noun_of(level: str) -> Noun:
    """Raises InvalidRequest for what has no limits."""
    if level not in LEVELS:
        raise InvalidRequest(f"limits and budgets are of {', '.join(LEVELS)}, not {level!r}")
    return Noun(plural=f"{level}s", columns=())


async def _rows(remote: Remote, path: str, query: Pairs) -> list[msgspec.Raw]:
    async with connected(remote) as gateway:
        return await gateway.all(msgspec.Raw, path, query)


def _owner(owner: str, *, each: bool) -> str:
    return f"{owner} (each end user)" if each else owner


def _measured(row: _LimitRow | Limit) -> tuple[str, str]:
    """What is limited, and to how many."""
    given = {name: getattr(row, name) for name in MEASURES}
    return next(((name, str(count)) for name, count in given.items() if count is not None), ("", ""))


def _window(row: _LimitRow) -> str:
    return "" if row.per_s is None else f"{told_seconds(row.per_s)} s"


def _file(row: _LimitRow | _BudgetRow) -> str:
    return "file" if row.declared else ""


def _budget_cells(row: _BudgetRow) -> tuple[str, ...]:
    known = row.state == "known"
    return (
        row.level,
        _owner(row.owner, each=row.each_end_user),
        usd_plain(row.amount_usd),
        row.period,
        row.time_zone,
        usd_plain(row.used_usd) if known and row.used_usd is not None else "?",
        usd_plain(row.remaining_usd) if known and row.remaining_usd is not None else "?",
        f"{row.period_ends_at:%Y-%m-%d %H:%M}" if row.period_ends_at else "",
        _file(row),
    )
