"""Pages of a listing that goes on growing while it is read. Pure.

A token names the last row that was given, not a number of rows: what arrives in between shifts nothing.
"""

import base64
import binascii
import re
from collections.abc import Iterable

from msgspec import Struct

from trunkline_kit.errors import InvalidRequest
from trunkline_sre.spans import Summary, TraceId

ROWS_DEFAULT = 50
ROWS_MAX = 500
_TOKEN = re.compile(r"(-?[0-9]{1,20})/([0-9a-f]{32})")


class TraceFilter(Struct, frozen=True, kw_only=True):
    """All given conditions must hold."""

    min_duration_ms: float = 0.0
    """Of the root span."""
    errors_only: bool = False
    service: str = ""
    """Takes part in the trace; empty means any."""

    def takes(self, row: Summary) -> bool:
        return (
            row.duration_ms >= self.min_duration_ms
            and (row.failed or not self.errors_only)
            and (not self.service or self.service in row.services)
        )


class Page(Struct, frozen=True):
    """Rows, latest first, and the token of the next page; empty at the end."""

    rows: tuple[Summary, ...]
    next_token: str = ""


class _Position(Struct, frozen=True, order=True):
    """Where a row stands: later starts first, then by id."""

    before_ns: int
    trace_id: TraceId


def page_of(rows: Iterable[Summary], wanted: TraceFilter, limit: int, token: str) -> Page:
    """At most `limit` rows (0: 50, never more than 500) behind the one that `token` names. Raises InvalidRequest."""
    if limit < 0:
        raise InvalidRequest(f"limit is {limit}; 1 to {ROWS_MAX} rows, or 0 for {ROWS_DEFAULT}", param="limit")
    count = min(limit or ROWS_DEFAULT, ROWS_MAX)
    after = _read(token) if token else None
    ordered = sorted((row for row in rows if wanted.takes(row)), key=_position)
    rest = ordered if after is None else [row for row in ordered if _position(row) > after]
    given = tuple(rest[:count])
    return Page(given, _write(_position(given[-1])) if len(rest) > count else "")


def _position(row: Summary) -> _Position:
    return _Position(-row.started_ns, row.trace_id)


def _write(position: _Position) -> str:
    return base64.urlsafe_b64encode(f"{position.before_ns}/{position.trace_id}".encode()).decode()


def _read(token: str) -> _Position:
    try:
        text = base64.b64decode(token, altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        text = ""
    parsed = _TOKEN.fullmatch(text)
    if parsed is None:
        message = "page_token is not one of ours; send next_page_token of the page before, unchanged"
        raise InvalidRequest(message, param="page_token")
    return _Position(int(parsed[1]), TraceId(parsed[2]))
