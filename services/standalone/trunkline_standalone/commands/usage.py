"""`trunkline usage`: what was used and what it cost, out of the ledger."""

import asyncio
import csv
import io
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct
from rich.console import Console
from rich.table import Table

from trunkline_gateway.ledger.exports import csv_text, focus_query, focus_text, json_text, table
from trunkline_gateway.ledger.report import Line, Query, checked, moment, usage
from trunkline_kit.clock import SystemClock
from trunkline_kit.config import load
from trunkline_kit.errors import InvalidRequest, Unavailable
from trunkline_kit.settings import Stores
from trunkline_kit.stores.postgres import PostgresOptions, open_postgres
from trunkline_standalone.embedded.postgres import database_url
from trunkline_standalone.embedded.sockets import sockets_folder
from trunkline_standalone.stores import store_urls

FORMATS = ("table", "csv", "focus", "json")
QUERY_TIMEOUT_S = 60.0
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
    form: str = "table"
    config: Path | None = None
    home: Path


def run_usage(options: UsageOptions, environment: Mapping[str, str]) -> None:
    """Print it. Raises InvalidRequest for what cannot be asked, Unavailable where no database is to be found."""
    if options.form not in FORMATS:
        raise InvalidRequest(f"--format must be one of {', '.join(FORMATS)}, not {options.form}")
    query = query_of(options, datetime.fromtimestamp(SystemClock().now_s(), UTC))
    lines = asyncio.run(_lines(ledger_url(options, environment), query))
    if options.form == "table" and Console().is_terminal:
        Console().print(_table(lines, query))
        return
    print(told(lines, query, options.form), end="", file=sys.stdout)  # noqa: T201 - the command's answer


def query_of(options: UsageOptions, now: datetime) -> Query:
    """Raises InvalidRequest."""
    since = moment(options.since, now)
    until = moment(options.until, now) if options.until else now
    if options.form == "focus":
        return focus_query(since, until)
    by = checked([name.strip() for name in options.by.split(",") if name.strip()], options.bucket)
    return Query(since=since, until=until, by=by, bucket=options.bucket)


def ledger_url(options: UsageOptions, environment: Mapping[str, str]) -> str:
    """The file's database, the environment's, or the one of a `trunkline up` that runs on this home now."""
    stores = load(options.config).settings.stores if options.config else Stores()
    database = store_urls(stores, environment).database
    if database is not None:
        return database.reveal()
    folder = sockets_folder(options.home.expanduser().absolute(), environment.get("XDG_RUNTIME_DIR", ""))
    if not folder.is_dir():
        raise Unavailable(
            f"no `trunkline up` runs on {options.home}; start it, or name the database with --config or"
            " TRUNKLINE_DATABASE_URL"
        )
    return database_url(folder)


def told(lines: Sequence[Line], query: Query, form: str) -> str:
    """The text of a format; a table in a pipe is tab-separated."""
    if form == "focus":
        return focus_text(lines)
    if form == "csv":
        return csv_text(lines, query)
    if form == "json":
        return json_text(lines) + "\n"
    header, rows = _narrow(lines, query)
    out = io.StringIO()
    csv.writer(out, delimiter="\t", lineterminator="\n").writerows([header, *rows])
    return out.getvalue()


def _narrow(lines: Sequence[Line], query: Query) -> tuple[list[str], list[list[str]]]:
    header, rows = table(lines, query)
    kept = [at for at, name in enumerate(header) if name in _SHOWN or name == "begins" or name in query.by]
    return [header[at] for at in kept], [[row[at] for at in kept] for row in rows]


def _table(lines: Sequence[Line], query: Query) -> Table:
    header, rows = _narrow(lines, query)
    shown = Table(box=None, header_style="bold")
    for name in header:
        shown.add_column(name.replace("_", " "), justify="right" if name in _SHOWN else "left")
    for row in rows:
        shown.add_row(*row)
    return shown


async def _lines(url: str, query: Query) -> list[Line]:
    options = PostgresOptions(connections=1, command_timeout_s=QUERY_TIMEOUT_S)
    async with open_postgres(url, options) as pool:
        return await usage(pool, query)
