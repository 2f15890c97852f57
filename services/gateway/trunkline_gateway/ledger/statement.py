"""What one team used in one month: the page that goes to whoever pays."""

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo

import asyncpg
import msgspec
from msgspec import structs

from trunkline_gateway.ledger.questions import Query, zone_of
from trunkline_gateway.ledger.report import COUNTS, NOTHING, Line, Report, report, reports
from trunkline_gateway.ledger.sheets import Cell, Grid, Share, Sheet, Usd
from trunkline_kit.errors import InvalidRequest

_SPLITS = ("model", "key", "project", "tag", "outcome", "price", "asked")
_ROWS_MAX = 50
"""Of one table: the dearest; the others are one row."""
_HEADER = ("requests", "attempts", "input tokens", "of it cached", "output tokens", "cost", "share")

_LONG_AGO, _FAR_AHEAD = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
_SPARE = ("attempts", "of it cached", "share", "input tokens")


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """A month in a time zone."""

    begins: datetime
    ends: datetime
    time_zone: str


class TeamStatement(msgspec.Struct, frozen=True, kw_only=True):
    """All parts are of one moment, so they add up."""

    team: str
    period: Period
    made_at: datetime
    totals: Line
    by_day: tuple[Line, ...]
    by_model: tuple[Line, ...]
    by_key: tuple[Line, ...]
    by_project: tuple[Line, ...]
    by_tag: tuple[Line, ...]
    by_outcome: tuple[Line, ...]
    by_price: tuple[Line, ...]
    saved_nusd: int
    """What answers from the cache would have cost, about."""
    saved_unvalued_tokens: int
    """Saved tokens of models that nothing was paid for in this month: nobody knows their worth."""

    @property
    def is_whole(self) -> bool:
        """Whether the month was over when it was made."""
        return self.made_at >= self.period.ends


def month_of(text: str, time_zone: str) -> Period:
    """`2026-11` as moments. Raises InvalidRequest."""
    zone = zone_of(time_zone)
    year, _, month = text.partition("-")
    if not (year.isdecimal() and month.isdecimal() and len(year) == 4 and 1 <= int(month) <= 12 and int(year) >= 1970):
        raise InvalidRequest(f"{text!r} is no month; give one such as 2026-11", param="month")
    return Period(
        begins=_first(int(year), int(month), zone), ends=_after(int(year), int(month), zone), time_zone=time_zone
    )


async def statement(pool: asyncpg.Pool, team: str, period: Period, now: datetime) -> TeamStatement:
    """Raises StoreUnavailable. A team that used nothing has a statement of zeros."""
    base = Query(since=period.begins, until=period.ends, time_zone=period.time_zone, where={"team": (team,)})
    queries = [structs.replace(base, bucket="day"), *(structs.replace(base, by=(name,)) for name in _SPLITS)]
    by_day, *split = await reports(pool, queries)
    return statement_of(team, period, now, by_day, dict(zip(_SPLITS, split, strict=True)))


async def has_seen(pool: asyncpg.Pool, team: str) -> bool:
    """Whether the ledger has anything of a team, whenever it was. Raises StoreUnavailable."""
    query = Query(since=_LONG_AGO, until=_FAR_AHEAD, where={"team": (team,)}, limit=1)
    totals = (await report(pool, query)).totals
    return bool(totals.attempts or totals.cached_answers)


def statement_of(team: str, period: Period, now: datetime, by_day: Report, split: dict[str, Report]) -> TeamStatement:
    """Puts the answers together."""
    lines = {name: _dearest_first(found.lines) for name, found in split.items()}
    saved_nusd, unvalued = savings(split["asked"].lines)
    return TeamStatement(
        team=team,
        period=period,
        made_at=now,
        totals=by_day.totals,
        by_day=by_day.lines,
        by_model=lines["model"],
        by_key=lines["key"],
        by_project=lines["project"],
        by_tag=lines["tag"],
        by_outcome=lines["outcome"],
        by_price=lines["price"],
        saved_nusd=saved_nusd,
        saved_unvalued_tokens=unvalued,
    )


def savings(lines: Sequence[Line]) -> tuple[int, int]:
    """What cached answers saved: nano-dollars at what a token of the same model cost on average, and tokens without."""
    saved_nusd = unvalued = 0
    for line in lines:
        if line.saved_tokens and line.tokens and line.attempts > line.unpriced_attempts:
            saved_nusd += line.saved_tokens * line.cost_nusd // line.tokens
        else:
            unvalued += line.saved_tokens
    return saved_nusd, unvalued


def added(lines: Sequence[Line]) -> Line:
    """As one. Requests in several of them count several times."""
    return structs.replace(NOTHING, **{name: sum(getattr(line, name) for line in lines) for name in COUNTS})


def sheet_of(found: TeamStatement) -> Sheet:
    """For people."""
    zone = zone_of(found.period.time_zone)
    totals = found.totals
    month = found.period.begins.astimezone(zone).strftime("%B %Y")
    grids = [
        _grid("Models", "model", [(line.by["model"], line) for line in found.by_model], totals),
        _grid("Keys", "key", [(line.by["key"], line) for line in found.by_key], totals),
    ]
    for title, name, lines in (("Projects", "project", found.by_project), ("Tags", "tag", found.by_tag)):
        if any(line.by[name] for line in lines):
            grids.append(_grid(title, name, [(line.by[name] or "(none)", line) for line in lines], totals))
    days = [(_day(line, zone), line) for line in found.by_day]
    grids += [
        _grid("Days", "day", days, totals, rows_max=len(days)),
        _grid("How attempts ended", "end", [(line.by["outcome"], line) for line in found.by_outcome], totals),
        _grid("Prices", "price version", [(line.by["price"] or "(none)", line) for line in found.by_price], totals),
    ]
    return Sheet(
        title=f"Team {found.team}, {month}" + ("" if found.is_whole else ", so far"),
        facts=tuple(_facts(found, zone)),
        grids=tuple(grids),
        notes=tuple(_notes(found)),
    )


def _facts(found: TeamStatement, zone: tzinfo) -> list[tuple[str, Cell]]:
    totals = found.totals
    until = min(found.period.ends, max(found.made_at, found.period.begins))
    return [
        ("From", found.period.begins.astimezone(zone).strftime("%Y-%m-%d %H:%M %Z")),
        ("To", until.astimezone(zone).strftime("%Y-%m-%d %H:%M %Z")),
        ("Cost", Usd(totals.cost_nusd)),
        ("Of it estimated", Usd(totals.estimated_nusd)),
        ("Estimated share of cost", Share(totals.estimated_nusd, totals.cost_nusd)),
        ("Requests", totals.requests),
        ("Attempts at providers", totals.attempts),
        ("Of them failed, at cost 0", totals.failed_attempts),
        ("Of them cut off", totals.cut_attempts),
        ("Of them without a known price", totals.unpriced_attempts),
        ("Input tokens", totals.input_tokens),
        ("Of them read from providers' caches", Share(totals.cache_read_tokens, totals.input_tokens)),
        ("Output tokens", totals.output_tokens),
        ("Answers from Trunkline's cache", totals.cached_answers),
        ("Tokens they saved", totals.saved_tokens),
        ("Dollars they saved, about", Usd(found.saved_nusd)),
    ]


def _notes(found: TeamStatement) -> list[str]:
    totals, notes = found.totals, []
    if totals.unpriced_attempts:
        notes.append(f"Attempts of which nobody knows the price: {totals.unpriced_attempts}. They are not in the cost.")
    if totals.estimated_attempts:
        count = totals.estimated_attempts
        notes.append(f"Attempts of which the provider did not say what they used: {count}. It was counted here.")
    if totals.cached_answers:
        notes.append("Saved dollars are saved tokens at what a token of the same model cost on average in this month.")
    if found.saved_unvalued_tokens:
        count = found.saved_unvalued_tokens
        notes.append(f"Saved tokens that are not valued, since nothing was paid for their model: {count}.")
    if any(line.by["tag"] for line in found.by_tag):
        notes.append("A request with several tags is in the line of each of them.")
    notes.append("Amounts are rounded here; CSV and JSON have them exactly.")
    return notes


def _grid(title: str, name: str, lines: Sequence[tuple[str, Line]], totals: Line, *, rows_max: int = _ROWS_MAX) -> Grid:
    kept, others = lines[:rows_max], [line for _, line in lines[rows_max:]]
    rows = [_cells(label, line, totals) for label, line in kept]
    if others:
        rows.append(_cells(f"({len(others)} others)", added(others), totals))
    return Grid(title=title, header=(name, *_HEADER), rows=tuple(rows), spare=_SPARE)


def _cells(label: str, line: Line, totals: Line) -> tuple[Cell, ...]:
    return (
        label,
        line.requests,
        line.attempts,
        line.input_tokens,
        line.cache_read_tokens,
        line.output_tokens,
        Usd(line.cost_nusd),
        Share(line.cost_nusd, totals.cost_nusd),
    )


def _dearest_first(lines: Sequence[Line]) -> tuple[Line, ...]:
    return tuple(sorted(lines, key=lambda line: (-line.cost_nusd, -line.tokens, tuple(line.by.values()))))


def _day(line: Line, zone: tzinfo) -> str:
    return line.begins.astimezone(zone).strftime("%Y-%m-%d") if line.begins else ""


def _first(year: int, month: int, zone: tzinfo) -> datetime:
    return datetime(year, month, 1, tzinfo=zone).astimezone(UTC)


def _after(year: int, month: int, zone: tzinfo) -> datetime:
    return _first(year + month // 12, month % 12 + 1, zone)
