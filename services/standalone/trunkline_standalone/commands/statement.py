"""`trunkline usage statement`: what one team used in one month, for whoever pays."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import msgspec
from msgspec import Struct
from rich.console import Console

from trunkline_gateway.directory.needs import DEFAULT
from trunkline_gateway.directory.objects import Kind as DirectoryKind
from trunkline_gateway.directory.store import DirectoryStore
from trunkline_gateway.ledger.sheets import html, markdown, sheet_csv
from trunkline_gateway.ledger.statement import TeamStatement, has_seen, month_of, sheet_of, statement
from trunkline_kit.clock import SystemClock
from trunkline_kit.config import load
from trunkline_kit.errors import Conflict, InvalidRequest, ObjectNotFound, StoreUnavailable
from trunkline_kit.printable import printable_json
from trunkline_standalone.ledger_database import opened_ledger
from trunkline_standalone.sheet_view import say_sheet
from trunkline_standalone.tables import say_file

FORMATS = ("text", "markdown", "html", "csv", "json")


class StatementOptions(Struct, frozen=True, kw_only=True):
    """As given on the command line."""

    team: str
    month: str
    time_zone: str = "UTC"
    form: str = ""
    """Empty: text on a terminal, Markdown elsewhere."""
    config: Path | None = None
    home: Path


def run_statement(options: StatementOptions, environment: Mapping[str, str]) -> None:
    """Print it. Raises InvalidRequest for what cannot be asked, Unavailable where no database is to be found."""
    if options.form not in {"", *FORMATS}:
        raise InvalidRequest(f"--format must be one of {', '.join(FORMATS)}, not {options.form}")
    period = month_of(options.month, options.time_zone)
    now = datetime.fromtimestamp(SystemClock().now_s(), UTC)

    if now < period.begins:
        raise InvalidRequest(f"{options.month} has not begun yet: nothing can have been used in it")

    async def work(pool: asyncpg.Pool) -> TeamStatement:
        found = await statement(pool, options.team, period, now)
        if not (found.totals.attempts or found.totals.cached_answers):
            await _require_known(pool, options)
        return found

    found = asyncio.run(opened_ledger(options.config, options.home, environment, work))
    console = Console()
    if options.form == "text" or (not options.form and console.is_terminal):
        say_sheet(sheet_of(found), console)
    else:
        say_file(told(found, options.form))


async def _require_known(pool: asyncpg.Pool, options: StatementOptions) -> None:
    """Raises ObjectNotFound for a team that is nowhere: a misspelt one must not look like a thrifty one."""
    declared = load(options.config).settings.teams if options.config else {}
    if options.team in {DEFAULT, *declared} or await has_seen(pool, options.team):
        return
    try:
        await DirectoryStore(pool, may_migrate=False).get(DirectoryKind.TEAM, options.team)
    except Conflict:
        # Written by another version, but there.
        return
    except (ObjectNotFound, StoreUnavailable) as error:
        text = f"there is no team {options.team!r} in the ledger or the configuration"
        raise ObjectNotFound(text, param="team") from error


def told(found: TeamStatement, form: str) -> str:
    """The text of a format; of none, Markdown."""
    if form == "json":
        return printable_json(msgspec.json.format(msgspec.json.encode(found), indent=2).decode()) + "\n"
    writers = {"": markdown, "markdown": markdown, "html": html, "csv": sheet_csv}
    return writers[form](sheet_of(found))
