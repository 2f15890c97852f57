"""The directory in Postgres: objects, hashes of keys, and the log of every change.

Everything here raises StoreUnavailable while Postgres is away. A change whose answer was lost may have been made all
the same: look before doing it again.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg

from trunkline_gateway.directory.database import Database
from trunkline_gateway.directory.needs import DEFAULT, Need
from trunkline_gateway.directory.objects import (
    Action,
    Actor,
    AuditEntry,
    AuditQuery,
    Changes,
    Draft,
    Item,
    Kind,
    NewSecret,
    Page,
    Query,
    SecretMark,
    Spec,
)
from trunkline_gateway.directory.reading import Since, read_audit, read_changes, read_item, read_page
from trunkline_gateway.directory.rows import Stored
from trunkline_gateway.directory.specs import UnknownSpec
from trunkline_gateway.directory.writing import Recorded, Write, begin, document
from trunkline_kit.errors import Conflict, ObjectNotFound, VersionMismatch

Review = Callable[[Spec], Sequence[Need]]
"""Of the spec that an object has; raises InvalidRequest where it cannot become what it is to be."""


def _needs_nothing(_: Spec) -> Sequence[Need]:
    return ()


class DirectoryStore:
    """What was made at run time."""

    def __init__(self, pool: asyncpg.Pool, *, may_migrate: bool = True) -> None:
        self.database = Database(pool, may_migrate=may_migrate)

    async def prepare(self) -> None:
        """Bring the schema up to date, or check that it is. Done at the first use too. Raises ConfigError."""
        await self.database.prepare()

    async def get(self, kind: Kind, object_id: str) -> Item:
        """Raises ObjectNotFound, Conflict for what another version wrote."""
        async with self.database.reading() as connection:
            found = await read_item(connection, kind, object_id)
        if found is None:
            raise not_found(kind, object_id)
        return await _readable(found)

    async def list(self, query: Query) -> Page[Item]:
        """In order of id. Raises InvalidRequest for a filter that does not exist."""
        async with self.database.reading() as connection:
            return await read_page(connection, query)

    async def audit(self, query: AuditQuery) -> Page[AuditEntry]:
        """The newest first; `next` goes into `before`. Raises InvalidRequest."""
        async with self.database.reading() as connection:
            return await read_audit(connection, query)

    async def changes(self, since: Since | None = None) -> Changes:
        """What happened after a revision, or everything where that cannot be told any more."""
        return await read_changes(self.database, since)

    async def create(
        self, draft: Draft, actor: Actor, *, secret: NewSecret | None = None, needs: Sequence[Need] = ()
    ) -> Item:
        """Raises Conflict where there is one of that id, InvalidRequest where what it needs is not there."""
        async with self._change() as write:
            if await write.find(draft.kind, draft.id) is not None:
                raise Conflict(f"there is a {draft.kind.value} {draft.id!r} already; choose another id or change it")
            await _require(write, needs)
            if secret is not None:
                await write.add_secret(draft.id, secret)
            item = await write.put(draft, None, await _marks(write, draft))
            await write.record(_recorded(Action.CREATE, draft, None, document(item)), actor)
            return item

    async def update(
        self, draft: Draft, actor: Actor, *, if_version: int | None = None, review: Review = _needs_nothing
    ) -> Item:
        """Give it another spec. What is so already is not written.

        `review` is given the spec that it has, in a thread, and says what the new one needs besides.

        Raises what `review` raises, ObjectNotFound, VersionMismatch, InvalidRequest where what it needs is not there,
        Conflict for a project that would take its keys to another team and for what another version wrote.
        """
        async with self._change() as write:
            before = await _expected(write, draft.kind, draft.id, if_version)
            known = await _readable(before)
            if known.spec == draft.spec:
                return known
            await _require(write, await asyncio.to_thread(review, known.spec))
            await _keep_keys(write, draft, known)
            item = await write.put(draft, before, before.secrets)
            await write.record(_recorded(Action.UPDATE, draft, document(known), document(item)), actor)
            return item

    async def delete(self, kind: Kind, object_id: str, actor: Actor, *, if_version: int | None = None) -> None:
        """A key stops with all its secrets; an id may be used again.

        Raises ObjectNotFound, VersionMismatch, Conflict where others still name it.
        """
        async with self._change() as write:
            before = await _expected(write, kind, object_id, if_version)
            if object_id != DEFAULT and (users := await write.users(kind, object_id)):
                raise Conflict(f"{kind.value} {object_id!r} is still used by {users}; delete or move them first")
            await write.remove(kind, object_id)
            change = Recorded(
                action=Action.DELETE, kind=kind, id=object_id, before=await _document_of(before), after=None
            )
            await write.record(change, actor)

    async def rotate(
        self, key_id: str, secret: NewSecret, overlap: timedelta, actor: Actor, *, if_version: int | None = None
    ) -> Item:
        """Give a key one more secret; those it has end after `overlap`, if not before.

        Raises ObjectNotFound, VersionMismatch, Conflict where too many would work.
        """
        async with self._change() as write:
            before = await _expected(write, Kind.KEY, key_id, if_version)
            known = await _readable(before)
            await write.add_secret(key_id, secret, overlap)
            draft = Draft(kind=Kind.KEY, id=key_id, spec=known.spec)
            item = await write.put(draft, before, await write.marks(key_id))
            await write.record(_recorded(Action.ROTATE, draft, document(known), document(item)), actor)
            return item

    async def drop_audit(self, older_than: timedelta) -> tuple[str, ...]:
        """Drop months of the audit log that ended so long ago; returns their names."""
        async with self.database.writing() as connection:
            write = await begin(connection)
            rows = await connection.fetch("SELECT directory_audit_drop_before($1) AS name", write.at - older_than)
        return tuple(row["name"] for row in rows)

    @asynccontextmanager
    async def _change(self) -> AsyncIterator[Write]:
        async with self.database.writing() as connection:
            yield await begin(connection)


def not_found(kind: Kind, object_id: str) -> ObjectNotFound:
    return ObjectNotFound(f"there is no {kind.value} {object_id!r}; list what there is")


async def _readable(stored: Stored) -> Item:
    try:
        return await asyncio.to_thread(stored.item)
    except UnknownSpec as error:
        raise Conflict(
            f"{stored.kind.value} {stored.id!r} was written by another version of Trunkline and cannot be read here;"
            " upgrade this gateway, or delete and make it anew"
        ) from error


async def _document_of(stored: Stored) -> str:
    """Also of what cannot be read here: that can still be deleted."""
    try:
        return document(await asyncio.to_thread(stored.item))
    except UnknownSpec:
        return stored.text


async def _expected(write: Write, kind: Kind, object_id: str, if_version: int | None) -> Stored:
    found = await write.find(kind, object_id)
    if found is None:
        raise not_found(kind, object_id)
    if if_version is not None and if_version != found.version:
        raise VersionMismatch(
            f"{kind.value} {object_id!r} was changed meanwhile: it is at version {found.version}, not {if_version};"
            " read it again"
        )
    return found


async def _require(write: Write, needs: Sequence[Need]) -> None:
    for need in needs:
        found = await write.find(need.kind, need.id)
        if found is None:
            raise need.missing()
        need.check((await _readable(found)).spec)


async def _keep_keys(write: Write, draft: Draft, known: Item) -> None:
    if draft.kind is not Kind.PROJECT or getattr(draft.spec, "team", None) == getattr(known.spec, "team", None):
        return
    if users := await write.users(Kind.PROJECT, draft.id):
        raise Conflict(
            f"project {draft.id!r} cannot go to another team while it has {users}; move or delete them first"
        )


async def _marks(write: Write, draft: Draft) -> tuple[SecretMark, ...]:
    return await write.marks(draft.id) if draft.kind is Kind.KEY else ()


def _recorded(action: Action, draft: Draft, before: str | None, after: str | None) -> Recorded:
    return Recorded(action=action, kind=draft.kind, id=draft.id, before=before, after=after)
