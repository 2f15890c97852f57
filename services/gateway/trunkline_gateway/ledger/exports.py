"""Usage as files for others: CSV, JSON, and FOCUS (`focus.py`)."""

import asyncio
import csv
import io
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import asyncpg
import msgspec
from msgspec import structs

from trunkline_gateway.ledger.focus import FOCUS_COLUMNS, focus_query, focus_rows
from trunkline_gateway.ledger.questions import LINES_MAX, Query, zone_of
from trunkline_gateway.ledger.report import COUNTS, Line, Report, report
from trunkline_kit.errors import InvalidRequest
from trunkline_kit.printable import printable_json
from trunkline_policy.money import usd_text

FORMATS = ("json", "csv", "focus")
MEDIA = {"json": "application/json", "csv": "text/csv; charset=utf-8", "focus": "text/csv; charset=utf-8"}
"""What a format is over HTTP."""
_RISKY = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""A cell that begins so is a formula to spreadsheets.

Source: OWASP ASVS 5.0, 1.2.10 (read 2026-11-24), which names NUL, too: no row has any. The line feed and the full-width
forms of = + - @, which some spreadsheets take for the narrow ones, are our own caution.
"""
_MONEY = "_nusd"
SHOWN = tuple(name for name in COUNTS if not name.endswith(_MONEY))
"""Counts as they are; money follows as dollars."""


async def exported(pool: asyncpg.Pool, query: Query, form: str) -> str:
    """An answer in one of `FORMATS`: a page as JSON, all of it as CSV, which could not say that there is more.

    Raises InvalidRequest, StoreUnavailable.
    """
    if form not in FORMATS:
        raise InvalidRequest(f"format is one of {', '.join(FORMATS)}, not {form}", param="format")
    whole = structs.replace(query, limit=LINES_MAX, after="")
    asked = {"json": query, "csv": whole, "focus": focus_query(query)}
    found = await report(pool, asked[form])
    if found.next and form != "json":
        raise InvalidRequest(
            f"that is more than {LINES_MAX} lines: ask for less time, or as JSON in pages", param="since"
        )
    # It may be many thousand lines.
    return await asyncio.to_thread(_WRITERS[form], found)


def header(query: Query) -> list[str]:
    """Of `cells`."""
    return [*(["begins"] if query.bucket else []), *query.by, *SHOWN, "cost_usd"]


def cells(line: Line, query: Query) -> list[str]:
    """A line as text, exactly."""
    bucket = [stamp(line.begins, query)] if query.bucket and line.begins else []
    return [*bucket, *line.by.values(), *(str(getattr(line, name)) for name in SHOWN), line.cost_usd]


def csv_text(found: Report) -> str:
    """With a header, as in RFC 4180. Without the totals, since whoever reads it adds up."""
    return written_csv(header(found.query), (cells(line, found.query) for line in found.lines))


def json_text(found: Report) -> str:
    """An object with `data` and `totals`; dollars are text, since they are exact."""
    query = found.query
    whole = {
        "object": "list",
        "since": stamp(query.since, query),
        "until": stamp(query.until, query),
        "data": [_object(line, query) for line in found.lines],
        "totals": _object(found.totals, query),
        "next": found.next or None,
        "note": found.note,
    }
    return printable_json(msgspec.json.format(msgspec.json.encode(whole), indent=2).decode()) + "\n"


def focus_text(found: Report) -> str:
    """CSV of the columns of `focus.py`; the report must be of its query."""
    rows = focus_rows(found.lines)
    return written_csv(list(FOCUS_COLUMNS), ([row[name] for name in FOCUS_COLUMNS] for row in rows))


_WRITERS = {"json": json_text, "csv": csv_text, "focus": focus_text}


def written_csv(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A header and rows. Names come from people; a spreadsheet must not run them. Numbers stay as they are."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(names)
    writer.writerows([_safe(cell) for cell in row] for row in rows)
    return out.getvalue()


def stamp(moment: datetime, query: Query) -> str:
    """As ISO 8601 in the query's zone; `Z` for UTC."""
    return moment.astimezone(zone_of(query.time_zone)).isoformat(timespec="seconds").replace("+00:00", "Z")


def _object(line: Line, query: Query) -> dict[str, Any]:
    bucket = {"begins": stamp(line.begins, query)} if line.begins else {}
    counts = {name: getattr(line, name) for name in COUNTS}
    money = {name.replace(_MONEY, "_usd"): usd_text(counts[name]) for name in COUNTS if name.endswith(_MONEY)}
    return {**bucket, **line.by, **counts, **money}


def _safe(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_RISKY) and not _is_number(cell) else cell


def _is_number(cell: str) -> bool:
    return cell.removeprefix("-").replace(".", "", 1).isdecimal()
