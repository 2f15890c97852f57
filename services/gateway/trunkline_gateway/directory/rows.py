"""Rows of the directory's tables as objects."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import asyncpg
from msgspec import Raw, Struct

from trunkline_gateway.directory.objects import Action, AuditEntry, Item, Kind, KnownSecret, SecretMark
from trunkline_gateway.directory.specs import UnknownSpec, decode_spec

log = logging.getLogger(__name__)

OBJECT_COLUMNS = "kind, id, spec::text AS spec, version, created_at, updated_at"
MARK_COLUMNS = "key_id, digest, last_four, created_at, expires_at"
AUDIT_COLUMNS = (
    "id, at, actor, source, request_id, action, kind, object_id, before::text AS before, after::text AS after"
)
VALID = "(expires_at IS NULL OR expires_at > clock_timestamp())"
"""Of a secret, for a WHERE."""
Marks = Mapping[str, tuple[SecretMark, ...]]


class Stored(Struct, frozen=True, kw_only=True):
    """An object as it is in the database, whether or not it can be read here."""

    kind: Kind
    id: str
    text: str
    version: int
    created_at: datetime
    updated_at: datetime
    secrets: tuple[SecretMark, ...] = ()

    def item(self) -> Item:
        """Raises UnknownSpec."""
        return Item(
            kind=self.kind,
            id=self.id,
            spec=decode_spec(self.kind, self.text),
            version=self.version,
            created_at=self.created_at,
            updated_at=self.updated_at,
            secrets=self.secrets,
        )


def stored_of(row: asyncpg.Record, secrets: tuple[SecretMark, ...] = ()) -> Stored:
    """From OBJECT_COLUMNS."""
    return Stored(
        kind=Kind(row["kind"]),
        id=row["id"],
        text=row["spec"],
        version=row["version"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        secrets=secrets,
    )


def items_of(rows: Iterable[asyncpg.Record], marks: Marks) -> list[Item]:
    """Those that can be read here; the log says which cannot. Takes its time with many."""
    found = []
    for row in rows:
        if row["kind"] not in _KINDS:
            log.warning("directory: there is a %s %r, which this version does not know", row["kind"], row["id"])
            continue
        try:
            found.append(stored_of(row, marks.get(row["id"], ()) if row["kind"] == Kind.KEY.value else ()).item())
        except UnknownSpec as error:
            text = "directory: %s %r cannot be read here and is left out; another version wrote it: %s"
            log.warning(text, row["kind"], row["id"], error)
    return found


def mark_of(row: asyncpg.Record) -> SecretMark:
    """From MARK_COLUMNS."""
    return SecretMark(last_four=row["last_four"], created_at=row["created_at"], expires_at=row["expires_at"])


def marks_of(rows: Iterable[asyncpg.Record]) -> dict[str, tuple[SecretMark, ...]]:
    """By key, in the order of the rows."""
    found: dict[str, tuple[SecretMark, ...]] = {}
    for row in rows:
        found[row["key_id"]] = (*found.get(row["key_id"], ()), mark_of(row))
    return found


def known_secrets(rows: Iterable[asyncpg.Record], items: Sequence[Item]) -> tuple[KnownSecret, ...]:
    """Of the keys among `items`."""
    keys = {item.id for item in items if item.kind is Kind.KEY}
    return tuple(
        KnownSecret(key_id=row["key_id"], digest=row["digest"], expires_at=row["expires_at"])
        for row in rows
        if row["key_id"] in keys
    )


def entry_of(row: asyncpg.Record) -> AuditEntry:
    """From AUDIT_COLUMNS."""
    return AuditEntry(
        id=row["id"],
        at=row["at"],
        actor=row["actor"],
        source=row["source"],
        request_id=row["request_id"],
        action=Action(row["action"]),
        kind=Kind(row["kind"]),
        object_id=row["object_id"],
        before=None if row["before"] is None else Raw(row["before"].encode()),
        after=None if row["after"] is None else Raw(row["after"].encode()),
    )


_KINDS = frozenset(kind.value for kind in Kind)
