"""`trunkline usage statement`: what one team used in one month, for whoever pays."""

import asyncio
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import msgspec
from msgspec import Struct
from rich.console import Console

from trunkline_gateway.ledger.sheets import html, markdown, sheet_csv
from trunkline_gateway.ledger.statement import TeamStatement, month_of, sheet_of, statement
from trunkline_kit.clock import SystemClock
from trunkline_kit.errors import InvalidRequest
from trunkline_standalone.ledger_database import opened_ledger
from trunkline_standalone.sheet_view import say_sheet

FORMATS = ("text", "markdown", "html", "csv", "json")


class StatementOptions(Struct, frozen=True, kw_only=True):
    """As given on the command line."""

    team: str
    month: str
    time_zone: str = "UTC"
    form: str = "text"
    config: Path | None = None
    home: Path


def run_statement(options: StatementOptions, environment: Mapping[str, str]) -> None:
    """Print it. Raises InvalidRequest for what cannot be asked, Unavailable where no database is to be found."""
    if options.form not in FORMATS:
        raise InvalidRequest(f"--format must be one of {', '.join(FORMATS)}, not {options.form}")
    period = month_of(options.month, options.time_zone)
    now = datetime.fromtimestamp(SystemClock().now_s(), UTC)

    async def work(pool: asyncpg.Pool) -> TeamStatement:
        return await statement(pool, options.team, period, now)

    found = asyncio.run(opened_ledger(options.config, options.home, environment, work))
    console = Console()
    if options.form == "text" and console.is_terminal:
        say_sheet(sheet_of(found), console)
        return
    print(told(found, options.form), end="", file=sys.stdout)  # noqa: T201 - the command's answer


def told(found: TeamStatement, form: str) -> str:
    """The text of a format; in a pipe, text is Markdown."""
    if form == "json":
        return msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n"
    writers = {"text": markdown, "markdown": markdown, "html": html, "csv": sheet_csv}
    return writers[form](sheet_of(found))
