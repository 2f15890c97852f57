"""`trunkline usage`: what was used and what it cost, out of the ledger."""

import asyncio
import csv
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
from msgspec import Struct, structs
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trunkline_gateway.ledger.exports import FORMATS as FILES
from trunkline_gateway.ledger.exports import cells, exported, header
from trunkline_gateway.ledger.questions import LINES_MAX, PAGE_LINES, Asked, Query, query_of
from trunkline_gateway.ledger.report import Line, Report, report
from trunkline_kit.clock import SystemClock
from trunkline_kit.errors import InvalidRequest
from trunkline_standalone.ledger_database import opened_ledger
from trunkline_standalone.tables import note

FORMATS = ("table", *FILES)
_SHOWN = (
    "requests",
    "failed_attempts",
    "uncached_input_tokens",
    "cache_read_tokens",
    "output_tokens",
    "unpriced_attempts",
    "cost_usd",
)
"""Counts that fit on a terminal; the other formats have all."""


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
            text = await exported(pool, query, options.form)
            print(text, end="", file=sys.stdout)  # noqa: T201 - the command's answer

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
        console.print(_table(found, names, rows))
    else:
        writer = csv.writer(sys.stdout, delimiter="\t", lineterminator="\n")
        writer.writerows([names, *rows])
    if found.note and console.is_terminal:
        note(found.note)
    if found.next:
        note(f"there are more lines: --after {found.next}")


def _picked(line: Line, query: Query, kept: list[int]) -> list[str]:
    row = cells(line, query)
    return [row[at] for at in kept]


def _table(found: Report, names: list[str], rows: list[list[str]]) -> Table:
    table = Table(box=None, header_style="bold", show_footer=bool(found.lines))
    totals = cells(found.totals, structs.replace(found.query, by=(), bucket=None))
    summed = dict(zip(header(structs.replace(found.query, by=(), bucket=None)), totals, strict=True))
    for at, name in enumerate(names):
        is_count = name in _SHOWN
        footer = _grouped(summed[name]) if is_count else "all" * (at == 0)
        justify = "right" if is_count else "left"
        table.add_column(Text(name.replace("_", " ")), footer=Text(footer, style="bold"), justify=justify)  # type: ignore[arg-type]
    for row in rows:
        table.add_row(
            *(Text(_grouped(cell) if name in _SHOWN else cell) for name, cell in zip(names, row, strict=True))
        )
    return table


def _grouped(number: str) -> str:
    whole, point, part = number.partition(".")
    return f"{int(whole):,}{point}{part}"
