"""`trunkline audit` and `trunkline whoami`."""

import asyncio
from datetime import UTC, datetime

import msgspec

from trunkline_kit.clock import SystemClock
from trunkline_standalone.columns import Column, Shape
from trunkline_standalone.commands.objects import asked
from trunkline_standalone.remote import Pairs, Remote, connected
from trunkline_standalone.tables import say_fields, say_json, say_table
from trunkline_standalone.terms import moment_of

Fields = dict[str, msgspec.Raw]


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    at: datetime
    actor: str
    source: str = ""
    request_id: str = ""
    action: str
    kind: str
    object_id: str
    before: Fields | None = None
    after: Fields | None = None


class _Whoami(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    org: str
    team: str
    project: str | None = None
    scopes: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    expires_at: datetime | None = None


_COLUMNS = (
    Column(name="when", shape=Shape.WHOLE),
    Column(name="who", shape=Shape.NAME),
    Column(name="from", shape=Shape.WHOLE, spare=2),
    Column(name="did", shape=Shape.WHOLE),
    Column(name="what", shape=Shape.NAME),
    Column(name="fields", spare=1),
    Column(name="request", shape=Shape.WHOLE, spare=3),
)


def run_audit(remote: Remote, query: Pairs, limit: int, *, as_json: bool) -> None:
    """Changes, the newest first, and which fields each changed."""
    raws = asyncio.run(_entries(remote, query, limit))
    if as_json:
        say_json(msgspec.json.encode(raws))
        return
    entries = [msgspec.json.decode(raw, type=_Entry) for raw in raws]
    say_table(_COLUMNS, [_cells(entry) for entry in entries])


def since_of(text: str) -> str:
    """`7d`, `12h` ago, or a date or time, for the query; empty stays empty. Raises InvalidRequest."""
    if not text:
        return ""
    now = datetime.fromtimestamp(SystemClock().now_s(), UTC)
    found = moment_of(text, now, ago=True)
    return "" if found is None else found.isoformat()


def run_whoami(remote: Remote, *, as_json: bool) -> None:
    """Who the key is."""
    answer = asked(remote, "GET", "/whoami")
    if as_json:
        say_json(answer)
        return
    found = msgspec.json.decode(answer, type=_Whoami)
    expires = f"{found.expires_at:%Y-%m-%d %H:%M}" if found.expires_at is not None else "never"
    say_fields(
        [
            ("key", found.id),
            ("org", found.org),
            ("team", found.team),
            ("project", found.project or ""),
            ("scopes", ", ".join(found.scopes)),
            ("models", ", ".join(found.models)),
            ("expires", expires),
        ]
    )


def changed_fields(before: Fields | None, after: Fields | None) -> list[str]:
    """Names of what differs; empty for what was made or deleted whole."""
    if before is None or after is None:
        return []
    names = sorted({*before, *after})
    return [name for name in names if _value(before, name) != _value(after, name)]


def _value(fields: Fields, name: str) -> bytes | None:
    raw = fields.get(name)
    return None if raw is None else msgspec.json.format(bytes(raw), indent=-1)


def _cells(entry: _Entry) -> tuple[str, ...]:
    what = f"{entry.kind} {entry.object_id}"
    fields = ", ".join(changed_fields(entry.before, entry.after))
    return (f"{entry.at:%Y-%m-%d %H:%M:%S}", entry.actor, entry.source, entry.action, what, fields, entry.request_id)


async def _entries(remote: Remote, query: Pairs, limit: int) -> list[msgspec.Raw]:
    async with connected(remote) as gateway:
        return await gateway.all(msgspec.Raw, "/audit", query, limit)
