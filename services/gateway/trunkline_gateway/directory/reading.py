"""What is asked of the directory's tables: one object, pages, and what has changed."""

import asyncio
from collections.abc import Sequence
from typing import Any

import asyncpg
from msgspec import Struct

from trunkline_gateway.directory.database import LOAD_TIMEOUT_S, Database
from trunkline_gateway.directory.objects import AuditEntry, AuditQuery, Changes, Item, Kind, Page, Query
from trunkline_gateway.directory.rows import (
    AUDIT_COLUMNS,
    MARK_COLUMNS,
    OBJECT_COLUMNS,
    VALID,
    Stored,
    entry_of,
    items_of,
    known_secrets,
    marks_of,
    stored_of,
)
from trunkline_gateway.directory.selection import check_limit, conditions
from trunkline_kit.errors import StoreUnavailable

CHANGES_MAX = 1000
"""More than so many and everything is read instead."""

_PORTION_ROWS = 1000

_STATE = "SELECT revision, mark::text AS mark FROM directory_state"
_HISTORY = "SELECT id, mark::text AS mark, kind, object_id FROM directory_audit WHERE id >= $1 ORDER BY id LIMIT $2"
_OBJECT = f"SELECT {OBJECT_COLUMNS} FROM directory_objects WHERE kind = $1 AND id = $2"  # noqa: S608 - own names
_OBJECTS = f"""
SELECT {OBJECT_COLUMNS} FROM directory_objects
WHERE (kind, id) IN (SELECT * FROM unnest($1::text[], $2::text[]))
"""  # noqa: S608 - own names
_ALL_OBJECTS = f"SELECT {OBJECT_COLUMNS} FROM directory_objects"  # noqa: S608 - own names
_SECRETS = f"""
SELECT {MARK_COLUMNS} FROM directory_secrets WHERE key_id = ANY($1::text[]) AND {VALID} ORDER BY created_at DESC
"""  # noqa: S608 - own names
_ALL_SECRETS = f"SELECT {MARK_COLUMNS} FROM directory_secrets WHERE {VALID} ORDER BY created_at DESC"  # noqa: S608 - own names


class Since(Struct, frozen=True):
    """How far somebody knows the directory."""

    revision: int
    mark: str


async def read_item(connection: asyncpg.Connection, kind: Kind, object_id: str) -> Stored | None:
    row = await connection.fetchrow(_OBJECT, kind.value, object_id)
    if row is None:
        return None
    secrets = await connection.fetch(_SECRETS, [object_id]) if kind is Kind.KEY else []
    return stored_of(row, marks_of(secrets).get(object_id, ()))


async def read_page(connection: asyncpg.Connection, query: Query) -> Page[Item]:
    """Raises InvalidRequest."""
    check_limit(query.limit)
    arguments: list[Any] = [query.kind.value, query.after, query.prefix]
    sql = f"SELECT {OBJECT_COLUMNS} FROM directory_objects WHERE kind = $1 AND id > $2 AND starts_with(id, $3)"  # noqa: S608 - own names
    sql += " AND id >= $3"
    for condition in conditions(query):
        at = len(arguments)
        sql += f" AND coalesce(spec ->> ${at + 1}::text, ${at + 2}::text) = ANY(${at + 3}::text[])"
        arguments.extend(condition)
    sql += f" ORDER BY id LIMIT ${len(arguments) + 1}"
    rows = await connection.fetch(sql, *arguments, query.limit + 1)
    page = rows[: query.limit]
    items = await _items(connection, page)
    return Page(items=tuple(items), next=page[-1]["id"] if len(rows) > query.limit else "")


async def read_audit(connection: asyncpg.Connection, query: AuditQuery) -> Page[AuditEntry]:
    """Raises InvalidRequest."""
    check_limit(query.limit)
    wanted = {
        "id < $": query.before,
        # An issuer's name finds all of its tokens, which are `name/subject`.
        "(actor = $ OR starts_with(actor, $::text || '/'))": query.actor or None,
        "action = $": query.action.value if query.action is not None else None,
        "kind = $": query.kind.value if query.kind is not None else None,
        "object_id = $": query.object_id or None,
        "at >= $": query.since,
        "at < $": query.until,
    }
    arguments = [value for value in wanted.values() if value is not None]
    tests = [test for test, value in wanted.items() if value is not None]
    sql = f"SELECT {AUDIT_COLUMNS} FROM directory_audit"  # noqa: S608 - own names
    sql += "".join(f" {'AND' if at > 1 else 'WHERE'} {test.replace('$', f'${at}')}" for at, test in enumerate(tests, 1))
    sql += f" ORDER BY id DESC LIMIT ${len(arguments) + 1}"
    rows = await connection.fetch(sql, *arguments, query.limit + 1)
    page = rows[: query.limit]
    entries = tuple(entry_of(row) for row in page)
    return Page(items=entries, next=str(page[-1]["id"]) if len(rows) > query.limit else "")


async def read_changes(database: Database, since: Since | None) -> Changes:
    """One short statement where nothing happened."""
    async with database.connected() as connection:
        row = await connection.fetchrow(_STATE)
    if row is not None and since == Since(row["revision"], row["mark"]):
        return Changes(revision=since.revision, mark=since.mark)
    async with database.reading(LOAD_TIMEOUT_S) as connection:
        state = await connection.fetchrow(_STATE)
        if state is None:
            raise StoreUnavailable("the directory's state is not in the database; restore its table directory_state")
        now = Since(state["revision"], state["mark"])
        touched = await _touched(connection, since, now) if since is not None else None
        if touched is None:
            return await _everything(connection, now)
        return await _changed(connection, now, touched)


async def _touched(connection: asyncpg.Connection, since: Since, now: Since) -> set[tuple[str, str]] | None:
    """What changes after `since` were about; None where the log does not lead from there to now.

    It does not when the database was restored from a copy, when old months were dropped, or for too many changes.
    """
    rows = await connection.fetch(_HISTORY, since.revision, CHANGES_MAX + 1)
    complete = len(rows) == now.revision - since.revision + 1
    if not complete or (rows[0]["id"], rows[0]["mark"]) != (since.revision, since.mark):
        return None
    return {(row["kind"], row["object_id"]) for row in rows[1:]}


async def _changed(connection: asyncpg.Connection, now: Since, touched: set[tuple[str, str]]) -> Changes:
    kinds, ids = [kind for kind, _ in touched], [object_id for _, object_id in touched]
    rows = await connection.fetch(_OBJECTS, kinds, ids)
    secrets = await connection.fetch(_SECRETS, _keys(rows))
    items = await asyncio.to_thread(items_of, rows, marks_of(secrets))
    present = {(item.kind.value, item.id) for item in items}
    known = {kind.value: kind for kind in Kind}
    return Changes(
        revision=now.revision,
        mark=now.mark,
        items=tuple(items),
        gone=tuple((known[kind], object_id) for kind, object_id in touched - present if kind in known),
        secrets=known_secrets(secrets, items),
    )


async def _everything(connection: asyncpg.Connection, now: Since) -> Changes:
    rows = await _fetch_all(connection, _ALL_OBJECTS)
    secrets = await _fetch_all(connection, _ALL_SECRETS)
    items, known = await asyncio.to_thread(_decoded, rows, secrets)
    return Changes(revision=now.revision, mark=now.mark, whole=True, items=tuple(items), secrets=known)


async def _fetch_all(connection: asyncpg.Connection, sql: str) -> list[asyncpg.Record]:
    """In portions, between which the event loop has time for others."""
    cursor = await connection.cursor(sql)
    found: list[asyncpg.Record] = []
    while rows := await cursor.fetch(_PORTION_ROWS):
        found.extend(rows)
    return found


def _decoded(rows: Sequence[asyncpg.Record], secrets: Sequence[asyncpg.Record]) -> tuple[list[Item], Any]:
    """50,000 keys take a second: not for the event loop."""
    items = items_of(rows, marks_of(secrets))
    return items, known_secrets(secrets, items)


async def _items(connection: asyncpg.Connection, rows: Sequence[asyncpg.Record]) -> list[Item]:
    keys = _keys(rows)
    secrets = await connection.fetch(_SECRETS, keys) if keys else []
    return await asyncio.to_thread(items_of, rows, marks_of(secrets))


def _keys(rows: Sequence[asyncpg.Record]) -> list[str]:
    return [row["id"] for row in rows if row["kind"] == Kind.KEY.value]
