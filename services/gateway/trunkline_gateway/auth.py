"""Who is asking: virtual keys, known by their hashes only.

A key is looked up by its hash under a pepper (see `hashing`). What an attacker could time is the comparison of hashes
that they can neither choose nor compute, so a plain dictionary is as good as a comparison in constant time, where
comparing the keys themselves would not be.
"""

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from fnmatch import fnmatchcase

import msgspec

from trunkline_gateway.addresses import Network, is_within
from trunkline_gateway.hashing import Hasher
from trunkline_kit.errors import ConfigError, PermissionDenied, Unauthenticated
from trunkline_kit.tenants import Priority, Scope

_BEARER = "bearer "
_KEY_CHARS_MAX = 16 * 1024
"""Of a key or a token: tokens of some issuers carry every group of their bearer."""
INFERENCE_ONLY = frozenset({Scope.INFERENCE})
ALL_SCOPES = frozenset(Scope)


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """The caller behind a key or a token."""

    key_id: str
    """Of a token, the name of its issuer under identity.oidc."""
    team: str = "default"
    org: str = "default"
    project: str = ""
    """Empty for a key of no project."""
    models: tuple[str, ...] = ("*",)
    """Globs over the names that may be asked for."""
    policy: str | None = None
    scopes: frozenset[Scope] = INFERENCE_ONLY
    tags: tuple[str, ...] = ()
    """On each of its requests."""
    subject: str = ""
    """Of a token: who bears it. Goes before `user` in requests."""
    disabled: bool = False
    expires_s: float = math.inf
    """Seconds since the epoch."""
    networks: tuple[Network, ...] = ()
    """Where its requests may come from; empty for anywhere."""
    priority: Priority = Priority.NORMAL
    weight: float = 1.0
    """Of its team."""
    queue_wait_s: float | None = None

    @property
    def actor(self) -> str:
        """Who it is in the audit log."""
        return f"{self.key_id}/{self.subject}" if self.subject else self.key_id

    def allows(self, model: str) -> bool:
        """Whether this key may ask for `model`."""
        return "*" in self.models or any(fnmatchcase(model, glob) for glob in self.models)

    def may(self, scope: Scope) -> bool:
        """Whether it has `scope`. Who may change things may see them."""
        return scope in self.scopes or (scope is Scope.ADMIN_READ and Scope.ADMIN_WRITE in self.scopes)

    def require(self, scope: Scope) -> None:
        """Raises PermissionDenied naming the scope."""
        if not self.may(scope):
            raise PermissionDenied(
                f"this needs a key with the scope {scope.value!r}, which yours does not have;"
                " ask whoever runs this gateway"
            )

    def check(self, now_s: float) -> None:
        """Raises Unauthenticated for a key that no longer, or not now, may do anything."""
        if self.disabled:
            raise Unauthenticated("this API key is disabled; ask whoever runs this gateway")
        if self.expires_s <= now_s:
            when = datetime.fromtimestamp(self.expires_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
            raise Unauthenticated(f"this API key expired at {when}; ask whoever runs this gateway for a new one")

    def check_address(self, address: str) -> None:
        """Raises PermissionDenied for a request from outside the key's networks."""
        if self.networks and not is_within(address, self.networks):
            raise PermissionDenied(f"this API key may not be used from {address or 'an unknown address'}")


class Entry(msgspec.Struct, frozen=True):
    """A secret and whose it is."""

    principal: Principal
    until_s: float = math.inf
    """Of a key's former secret: from then on it is unknown."""
    stored: bool = False
    """Made at run time, not in the file."""


class KeyRing:
    """All keys that are in force. Replaced as a whole."""

    def __init__(self, entries: Mapping[bytes, Entry], hasher: Hasher) -> None:
        self._entries = entries
        self._hasher = hasher

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, key: str, now_s: float) -> tuple[bytes, Entry] | None:
        """What `key` is known by and whose it is; None for one that nobody has (any more)."""
        for digest in self._hasher.candidates(key):
            entry = self._entries.get(digest)
            if entry is not None and now_s < entry.until_s:
                return digest, entry
        return None

    def entry(self, digest: bytes, now_s: float) -> Entry | None:
        """Whether what was found by `digest` still is; for requests that are under way."""
        entry = self._entries.get(digest)
        return entry if entry is not None and now_s < entry.until_s else None


def key_ring(entries: Iterable[tuple[bytes, Entry]], hasher: Hasher) -> KeyRing:
    """Of the file's keys and of stored ones; where both have one secret, the file's counts.

    Raises ConfigError for two of the file's keys with one secret.
    """
    found: dict[bytes, Entry] = {}
    for digest, entry in entries:
        known = found.get(digest)
        if known is not None and not entry.stored and not known.stored:
            mine, other = entry.principal.key_id, known.principal.key_id
            raise ConfigError(f"keys: {mine!r} and {other!r} have the same secret; give each its own")
        if known is None or known.stored:
            found[digest] = entry
    return KeyRing(found, hasher)


def credential_of(authorization: str, api_key: str) -> str:
    """The key or token in these headers (empty: not sent). `Authorization` goes before `x-api-key`.

    Raises Unauthenticated, and says whether it is missing or malformed.
    """
    if authorization:
        if authorization[: len(_BEARER)].lower() != _BEARER:
            raise Unauthenticated("the Authorization header is not `Bearer <key>`; send your key that way")
        key = authorization[len(_BEARER) :].strip()
    else:
        key = api_key.strip()
    if not key:
        raise Unauthenticated("no API key was sent; send `Authorization: Bearer <key>`")
    if len(key) > _KEY_CHARS_MAX:
        raise Unauthenticated("incorrect API key; it is far too long")
    return key
