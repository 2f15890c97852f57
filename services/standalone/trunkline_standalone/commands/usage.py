"""`trunkline usage`: what was used and what it cost, out of the ledger."""

import asyncio
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
from msgspec import Struct, structs
from rich.console import Console

from trunkline_gateway.ledger.exports import FORMATS as FILES
from trunkline_gateway.ledger.exports import cells, exported, header
from trunkline_gateway.ledger.questions import LINES_MAX, PAGE_LINES, Asked, Query, query_of
from trunkline_gateway.ledger.report import Line, Report, report
from trunkline_kit.clock import SystemClock
from trunkline_kit.errors import InvalidRequest
from trunkline_standalone.columns import Column, Shape, print_table
from trunkline_standalone.ledger_database import opened_ledger
from trunkline_standalone.tables import note, say_file, write_tabbed

FORMATS = ("table", *FILES)
_SHOWN = {
    "requests": 0,
    "failed_attempts": 4,
    "cut_attempts": 5,
    "uncached_input_tokens": 2,
    "cache_read_tokens": 3,
    "output_tokens": 1,
    "unpriced_attempts": 6,
    "cost_usd": 0,
}
"""Counts that fit on a terminal; the other formats have all. On a narrow one those with high numbers go first."""


class UsageOptions(Struct, frozen=True, kw_only=True):
    """As given on the command line."""

    by: str = "team,model"
    bucket: str | None = None
    since: str = "7d"
    until: str | None = None
    time_zone: str = "UTC"
    where: tuple[str, ...] = ()
    """`team=search`, any number of them."""
    limit: int | None = None
    after: str = ""
    form: str = "table"
    config: Path | None = None
    home: Path


def run_usage(options: UsageOptions, environment: Mapping[str, str]) -> None:
    """Print it. Raises InvalidRequest for what cannot be asked, Unavailable where no database is to be found."""
    if options.form not in FORMATS:
        raise InvalidRequest(f"--format must be one of {', '.join(FORMATS)}, not {options.form}")
    query = asked_by(options, datetime.fromtimestamp(SystemClock().now_s(), UTC))

    async def work(pool: asyncpg.Pool) -> None:
        if options.form == "table":
            show(await report(pool, query), Console())
        else:
            say_file(await exported(pool, query, options.form))

    asyncio.run(opened_ledger(options.config, options.home, environment, work))


def asked_by(options: UsageOptions, now: datetime) -> Query:
    """Raises InvalidRequest."""
    where = []
    for text in options.where:
        name, equals, value = text.partition("=")
        if not equals:
            raise InvalidRequest(f"--where takes DIMENSION=VALUE, such as team=search, not {text}")
        where.append((name.strip(), value))
    limit = options.limit or PAGE_LINES
    query = query_of(
        Asked(
            by=(options.by,),
            bucket=options.bucket,
            since=options.since,
            until=options.until,
            time_zone=options.time_zone,
            where=tuple(where),
            limit=limit,
            after=options.after,
        ),
        now,
    )
    return query if options.limit or options.form == "table" else structs.replace(query, limit=LINES_MAX)


def show(found: Report, console: Console) -> None:
    """A table with its totals on a terminal; tab-separated lines in a pipe."""
    kept = [at for at, name in enumerate(header(found.query)) if name in {*_SHOWN, "begins", *found.query.by}]
    names = [header(found.query)[at] for at in kept]
    rows = [_picked(line, found.query, kept) for line in found.lines]
    if console.is_terminal:
        _print(found, names, rows, console)
    else:
        write_tabbed([names, *rows])
    if console.is_terminal:
        for line in _notes(found):
            note(line)
    if found.next:
        note(f"there are more lines: --after {found.next}")


def _notes(found: Report) -> Iterator[str]:
    """What the costs do not say, whether there was room for its column or not."""
    if found.totals.unpriced_attempts:
        yield f"attempts without a known price, which are in no cost: {found.totals.unpriced_attempts:,}"
    if found.totals.cut_attempts:
        yield f"attempts that were cut off, at the cost of what is known of them: {found.totals.cut_attempts:,}"
    if found.note:
        yield found.note


def _picked(line: Line, query: Query, kept: list[int]) -> list[str]:
    row = cells(line, query)
    return [row[at] for at in kept]


def _print(found: Report, names: list[str], rows: list[list[str]], console: Console) -> None:
    plain = structs.replace(found.query, by=(), bucket=None)
    summed = dict(zip(header(plain), cells(found.totals, plain), strict=True))
    footer = [_told(name, summed[name]) if name in _SHOWN else "all" * (at == 0) for at, name in enumerate(names)]
    columns = [_column(name) for name in names]
    told = [[_told(name, cell, found.query.bucket) for name, cell in zip(names, row, strict=True)] for row in rows]
    print_table(columns, told, console, footer if found.lines else ())


def _column(name: str) -> Column:
    if name not in _SHOWN:
        return Column(name=name.replace("_", " "), shape=Shape.WHOLE if name == "begins" else Shape.NAME)
    return Column(name=name.replace("_", " "), shape=Shape.NUMBER, spare=_SHOWN[name])


def _told(name: str, cell: str, bucket: str | None = None) -> str:
    if name == "begins":
        return f"{cell[:10]} {cell[11:16]}" if bucket == "hour" else cell[:10]
    return _grouped(cell) if name in _SHOWN else cell


def _grouped(number: str) -> str:
    whole, point, part = number.partition(".")
    return f"{int(whole):,}{point}{part}"
