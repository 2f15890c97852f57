"""One change: what is done inside its transaction, before which it holds the lock that all changes take."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import asyncpg
from msgspec import Struct

from trunkline_gateway.directory.objects import Action, Actor, Draft, Item, Kind, NewSecret, SecretMark
from trunkline_gateway.directory.rows import MARK_COLUMNS, OBJECT_COLUMNS, VALID, Stored, mark_of, stored_of
from trunkline_gateway.directory.schema import CHANNEL
from trunkline_gateway.directory.specs import audit_document, encode_spec
from trunkline_kit.errors import Conflict, StoreUnavailable

SECRETS_PER_KEY_MAX = 8
"""That work at the same time."""
_USERS_SHOWN = 3

# A moment later than the last change's, also where the clock was set back: months of the log follow its ids.
_LOCK = """
SELECT revision + 1 AS revision, greatest(clock_timestamp(), changed_at + interval '1 microsecond') AS at
FROM directory_state FOR UPDATE
"""
_RECORD = """
WITH state AS (
    UPDATE directory_state SET revision = $1, changed_at = $2, mark = gen_random_uuid() RETURNING mark
)
INSERT INTO directory_audit (id, at, mark, actor, source, request_id, action, kind, object_id, before, after)
SELECT $1, $2, mark, $3, $4, $5, $6, $7, $8, $9::jsonb, $10::jsonb FROM state
"""
_PUT = """
INSERT INTO directory_objects (kind, id, spec, version, created_at, updated_at) VALUES ($1, $2, $3::jsonb, $4, $5, $5)
ON CONFLICT (kind, id) DO UPDATE SET spec = excluded.spec, version = excluded.version, updated_at = excluded.updated_at
"""
_EXPIRE = """
UPDATE directory_secrets SET expires_at = least(expires_at, $2) WHERE key_id = $1
"""
_ADD_HASH = """
INSERT INTO directory_secrets (digest, key_id, pepper_id, last_four, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, NULL)
"""
_USERS = """
SELECT kind, id FROM directory_objects WHERE kind = ANY($1::text[]) AND spec ->> $2::text = $3
ORDER BY kind, id LIMIT $4
"""

USED_BY: dict[Kind, tuple[str, tuple[Kind, ...]]] = {
    Kind.ORG: ("org", (Kind.TEAM,)),
    Kind.TEAM: ("team", (Kind.PROJECT, Kind.KEY, Kind.PRICE)),
    Kind.PROJECT: ("project", (Kind.KEY,)),
}
"""A field that names an object of this kind, and whose field it is."""


class Recorded(Struct, frozen=True, kw_only=True):
    """What the audit log is told of a change."""

    action: Action
    kind: Kind
    id: str
    before: str | None
    after: str | None


class Write:
    """Sees everything committed before it; nothing else is written while it lasts."""

    def __init__(self, connection: asyncpg.Connection, revision: int, at: datetime) -> None:
        self._connection = connection
        self.revision = revision
        """Which this change makes, if it makes one."""
        self.at = at

    async def find(self, kind: Kind, object_id: str) -> Stored | None:
        sql = f"SELECT {OBJECT_COLUMNS} FROM directory_objects WHERE kind = $1 AND id = $2"  # noqa: S608 - own names
        row = await self._connection.fetchrow(sql, kind.value, object_id)
        if row is None:
            return None
        return stored_of(row, await self.marks(object_id) if kind is Kind.KEY else ())

    async def marks(self, key_id: str) -> tuple[SecretMark, ...]:
        """Of secrets that work, the newest first."""
        sql = (
            f"SELECT {MARK_COLUMNS} FROM directory_secrets WHERE key_id = $1 AND {VALID}"  # noqa: S608 - own names
            " ORDER BY created_at DESC"
        )
        return tuple(mark_of(row) for row in await self._connection.fetch(sql, key_id))

    async def put(self, draft: Draft, before: Stored | None, secrets: tuple[SecretMark, ...] = ()) -> Item:
        """Make it so; as which object it is known from now on."""
        await self._connection.execute(
            _PUT, draft.kind.value, draft.id, encode_spec(draft.spec), self.revision, self.at
        )
        return Item(
            kind=draft.kind,
            id=draft.id,
            spec=draft.spec,
            version=self.revision,
            created_at=self.at if before is None else before.created_at,
            updated_at=self.at,
            secrets=secrets,
        )

    async def remove(self, kind: Kind, object_id: str) -> None:
        """With its secrets: of a key, nothing works any more."""
        if kind is Kind.KEY:
            await self._connection.execute("DELETE FROM directory_secrets WHERE key_id = $1", object_id)
        await self._connection.execute(
            "DELETE FROM directory_objects WHERE kind = $1 AND id = $2", kind.value, object_id
        )

    async def add_secret(self, key_id: str, secret: NewSecret, overlap: timedelta | None = None) -> None:
        """One more for a key; those it has end after `overlap`. Raises Conflict where too many would work."""
        if overlap is not None:
            await self._connection.execute(_EXPIRE, key_id, self.at + overlap)
        await self._connection.execute(f"DELETE FROM directory_secrets WHERE key_id = $1 AND NOT {VALID}", key_id)  # noqa: S608 - own names
        if len(await self.marks(key_id)) >= SECRETS_PER_KEY_MAX:
            raise Conflict(
                f"{SECRETS_PER_KEY_MAX} secrets of key {key_id!r} work already; wait until the oldest ends, or rotate"
                " with an overlap of 0 to end all of them"
            )
        await self._connection.execute(_ADD_HASH, secret.digest, key_id, secret.pepper_id, secret.last_four, self.at)

    async def users(self, kind: Kind, object_id: str, of: Sequence[Kind] | None = None) -> str:
        """Who names this object, in words; empty for nobody. `of`: among these kinds only."""
        if kind not in USED_BY:
            return ""
        field, kinds = USED_BY[kind]
        names = [each.value for each in (kinds if of is None else of)]
        found = await self._connection.fetch(_USERS, names, field, object_id, _USERS_SHOWN + 1)
        shown = ", ".join(f"{row['kind']} {row['id']!r}" for row in found[:_USERS_SHOWN])
        return f"{shown} and others" if len(found) > _USERS_SHOWN else shown

    async def record(self, change: Recorded, actor: Actor) -> None:
        """Into the audit log, and to everybody who listens once this is committed."""
        await self._connection.execute("SELECT directory_audit_month($1)", self.at)
        await self._connection.execute(
            _RECORD,
            self.revision,
            self.at,
            actor.id,
            actor.source,
            actor.request_id,
            change.action.value,
            change.kind.value,
            change.id,
            change.before,
            change.after,
        )
        await self._connection.execute("SELECT pg_notify($1, $2)", CHANNEL, str(self.revision))


async def begin(connection: asyncpg.Connection) -> Write:
    """Wait for the lock that every change takes. Raises StoreUnavailable where the state is not there."""
    row = await connection.fetchrow(_LOCK)
    if row is None:
        raise StoreUnavailable("the directory's state is not in the database; restore its table directory_state")
    return Write(connection, row["revision"], row["at"])


def document(item: Item) -> str:
    """Of an object, for the audit log."""
    return audit_document(item.spec, item.secrets if item.kind is Kind.KEY else None)
