"""All objects, whether the file declares them or they were made at run time: what the admin API works on.

While Postgres is away, objects are shown as the mirror knows them; changes and the audit log raise StoreUnavailable.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import timedelta

from msgspec import Struct, structs

from trunkline_gateway.directory.checking import check_draft, check_expiry, check_name, is_id, needs_beyond
from trunkline_gateway.directory.declared import Declared
from trunkline_gateway.directory.mirror import Mirror
from trunkline_gateway.directory.needs import DEFAULT, Need
from trunkline_gateway.directory.objects import (
    Actor,
    AuditEntry,
    AuditQuery,
    Draft,
    Item,
    Kind,
    NewSecret,
    Page,
    Query,
    Spec,
)
from trunkline_gateway.directory.selection import merged, page_of
from trunkline_gateway.directory.store import DirectoryStore, not_found
from trunkline_kit.clock import Clock
from trunkline_kit.errors import ConfigError, Conflict, InvalidRequest, ObjectNotFound, StoreUnavailable
from trunkline_kit.secrets import Secret
from trunkline_kit.tenants import Team

log = logging.getLogger(__name__)

MakeSecret = Callable[[], tuple[Secret, NewSecret]]
"""A new secret, to be shown once, and what is kept of it. Raises ConfigError without a pepper."""
OVERLAP_S_MAX = 366 * 24 * 3600.0


class Created(Struct, frozen=True, kw_only=True):
    """Something new; of a key with its secret, which nobody can be shown again."""

    item: Item
    secret: Secret | None = None


class Parts(Struct, frozen=True, kw_only=True):
    """What a registry works with. Without a database, the first two are None and nothing can be changed."""

    store: DirectoryStore | None
    mirror: Mirror | None
    make_secret: MakeSecret
    clock: Clock


class Registry:
    """One for a process."""

    def __init__(self, declared: Declared, parts: Parts, *, rotation_overlap_s: float) -> None:
        self._declared = declared
        self._store = parts.store
        self._mirror = parts.mirror
        self._make_secret = parts.make_secret
        self._clock = parts.clock
        self._rotation_overlap_s = rotation_overlap_s

    def swap(self, declared: Declared, *, rotation_overlap_s: float) -> None:
        """Take up another configuration."""
        self._declared = declared
        self._rotation_overlap_s = rotation_overlap_s

    async def get(self, kind: Kind, object_id: str) -> Item:
        """Raises ObjectNotFound, StoreUnavailable where nobody can tell."""
        declared = self._declared.of(kind).get(object_id)
        if declared is not None:
            return declared
        found = await self._stored(kind, object_id) if is_id(object_id) else None
        found = found or self._declared.implied(kind).get(object_id)
        if found is None:
            raise not_found(kind, object_id)
        return found

    async def list(self, query: Query) -> Page[Item]:
        """In order of id. A page may be short, or empty, though there is a next one. Raises InvalidRequest."""
        query = self._by_org(query)
        stored = await self._stored_page(query)
        # What was made out of something implied may be stored on another page, or not be what is asked for.
        known = self._mirror.snapshot.of(query.kind) if self._mirror is not None else {}
        made = {*known, *(item.id for item in stored.items)}
        implied = {name: item for name, item in self._declared.implied(query.kind).items() if name not in made}
        return merged({**implied, **self._declared.of(query.kind)}, stored, query)

    async def create(self, draft: Draft, actor: Actor) -> Created:
        """Raises Conflict where there is one already, InvalidRequest with the field that is wrong."""
        store = self._writable(draft.kind, draft.id)
        check_name(draft, self._declared)
        await asyncio.to_thread(check_draft, draft, self._declared)
        check_expiry(draft.spec, self._clock.now_s())
        secret, kept = self._new_secret() if draft.kind is Kind.KEY else (None, None)
        item = await store.create(draft, actor, secret=kept, needs=needs_beyond(self._declared, draft.spec))
        await self._arrived()
        return Created(item=item, secret=secret)

    async def update(self, draft: Draft, actor: Actor, if_version: int | None = None) -> Item:
        """Give it another spec; where nothing differs, nothing is written. Only what differs is checked.

        Raises ObjectNotFound, VersionMismatch, InvalidRequest with the field that is wrong, Conflict where it is
        declared.
        """
        store = self._writable(draft.kind, draft.id)
        self._require_id(draft.kind, draft.id)
        declared = self._declared

        def review(known: Spec) -> list[Need]:
            check_draft(draft, declared, known)
            return needs_beyond(declared, draft.spec, known)

        item = await store.update(draft, actor, if_version=if_version, review=review)
        await self._arrived()
        return item

    async def delete(self, kind: Kind, object_id: str, actor: Actor, if_version: int | None = None) -> None:
        """A deleted key stops everywhere within a second.

        Of two with one id, what is stored goes, which the declared one hid; `default` is as if nobody had ever touched
        it. Raises ObjectNotFound, VersionMismatch, Conflict where it is declared, implied or still used.
        """
        store = self._connected()
        self._require_id(kind, object_id)
        try:
            await store.delete(kind, object_id, actor, if_version=if_version)
        except ObjectNotFound:
            self._writable(kind, object_id)
            if object_id in self._declared.implied(kind):
                text = f"{kind.value} {object_id!r} is always there, and nothing is set on it: nothing to delete"
                raise Conflict(text) from None
            raise
        await self._arrived()

    async def rotate(
        self, key_id: str, actor: Actor, overlap_s: float | None = None, if_version: int | None = None
    ) -> Created:
        """A new secret. The old ones end after `overlap_s` seconds; None: as the configuration says.

        Raises ObjectNotFound, VersionMismatch, InvalidRequest, Conflict where it is declared or has too many secrets.
        """
        store = self._writable(Kind.KEY, key_id)
        self._require_id(Kind.KEY, key_id)
        overlap_s = min(self._rotation_overlap_s, OVERLAP_S_MAX) if overlap_s is None else overlap_s
        if not 0 <= overlap_s <= OVERLAP_S_MAX:
            raise InvalidRequest(f"overlap_s must be from 0 to {OVERLAP_S_MAX:.0f}, a year", param="overlap_s")
        secret, kept = self._new_secret()
        item = await store.rotate(key_id, kept, timedelta(seconds=overlap_s), actor, if_version=if_version)
        await self._arrived()
        return Created(item=item, secret=secret)

    async def audit(self, query: AuditQuery) -> Page[AuditEntry]:
        """The newest first."""
        return await self._connected().audit(query)

    async def _stored(self, kind: Kind, object_id: str) -> Item | None:
        if self._store is None:
            return None
        try:
            return await self._store.get(kind, object_id)
        except ObjectNotFound:
            return None
        except StoreUnavailable as error:
            return self._mirrored(kind, error).get(object_id)

    def _mirrored(self, kind: Kind, why: StoreUnavailable) -> Mapping[str, Item]:
        """For when the database is away. Raises `why` where it was never there."""
        if self._mirror is None or not self._mirror.loaded:
            raise why
        return self._mirror.snapshot.of(kind)

    async def _stored_page(self, query: Query) -> Page[Item]:
        if self._store is None:
            return page_of((), query)
        try:
            return await self._store.list(query)
        except StoreUnavailable as error:
            return await asyncio.to_thread(page_of, self._mirrored(query.kind, error).values(), query)

    def _by_org(self, query: Query) -> Query:
        """Projects and keys belong to an org by their team."""
        if query.kind not in {Kind.PROJECT, Kind.KEY} or "org" not in query.equal:
            return query
        stored = self._mirror.snapshot.of(Kind.TEAM) if self._mirror is not None else {}
        teams = {**stored, **self._declared.of(Kind.TEAM)}
        orgs = {DEFAULT: DEFAULT} | {name: item.spec.org for name, item in teams.items() if isinstance(item.spec, Team)}
        org = query.equal["org"]
        rest = {name: value for name, value in query.equal.items() if name != "org"}
        return structs.replace(
            query, equal=rest, any_of={**query.any_of, "team": tuple(name for name in orgs if orgs[name] == org)}
        )

    def _connected(self) -> DirectoryStore:
        if self._store is None:
            raise StoreUnavailable(
                "this gateway has no database, so nothing can be kept; set stores.database, or use the configuration"
                " file"
            )
        return self._store

    def _writable(self, kind: Kind, object_id: str) -> DirectoryStore:
        if object_id in self._declared.of(kind):
            raise Conflict(
                f"{kind.value} {object_id!r} is declared in the configuration file and read-only here; change it there"
            )
        return self._connected()

    def _require_id(self, kind: Kind, object_id: str) -> None:
        if not is_id(object_id) and object_id not in self._declared.of(kind):
            raise not_found(kind, object_id)

    def _new_secret(self) -> tuple[Secret, NewSecret]:
        try:
            return self._make_secret()
        except ConfigError as error:
            raise Conflict(error.message) from error

    async def _arrived(self) -> None:
        """What was written holds here from now on. Where it cannot be read again, it is written all the same."""
        if self._mirror is None:
            return
        try:
            await self._mirror.refresh()
        except StoreUnavailable as error:
            log.warning("directory: a change is made but not seen here yet: %s", error.message)
