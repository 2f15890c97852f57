"""Who is asking: virtual keys, kept only as hashes.

A key is looked up by the SHA-256 of what was sent. Our generated keys have 256 random bits, and what an attacker could
time is the comparison of digests of their own choosing with stored ones: to learn a stored digest's prefix they would
have to find preimages. So a plain dictionary is constant-time enough, where comparing the keys themselves would not be.
"""

import hashlib
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

import msgspec

from trunkline_kit.errors import ConfigError, Unauthenticated

_BEARER = "bearer "
_KEY_CHARS_MAX = 4096


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """The caller behind a key."""

    key_id: str
    team: str = "default"
    org: str = "default"
    project: str = ""
    """Empty for a key of no project."""
    models: tuple[str, ...] = ("*",)
    """Globs over the names that may be asked for."""
    policy: str | None = None

    def allows(self, model: str) -> bool:
        """Whether this key may ask for `model`."""
        return "*" in self.models or any(fnmatchcase(model, glob) for glob in self.models)


class KeyRing:
    """All keys of one configuration."""

    def __init__(self, principals: Mapping[bytes, Principal]) -> None:
        self._principals = principals

    def __len__(self) -> int:
        return len(self._principals)

    def principal(self, authorization: str, api_key: str) -> Principal:
        """Who sent these headers (empty: not sent). `Authorization` goes before `x-api-key`.

        Raises Unauthenticated, and says whether a key is missing, malformed or unknown.
        """
        key = _key_of(authorization, api_key)
        principal = self._principals.get(digest(key))
        if principal is None:
            raise Unauthenticated("incorrect API key; check the key, or ask whoever runs this gateway for one")
        return principal


def digest(key: str) -> bytes:
    """What is kept of a key."""
    return hashlib.sha256(key.encode(errors="surrogateescape")).digest()


def key_ring(entries: Iterable[tuple[bytes, Principal]]) -> KeyRing:
    """Raises ConfigError for two entries with one key or one id."""
    principals: dict[bytes, Principal] = {}
    ids: set[str] = set()
    for key_digest, principal in entries:
        if principal.key_id in ids:
            raise ConfigError(f"keys: the id {principal.key_id!r} is there twice; ids must differ")
        if key_digest in principals:
            other = principals[key_digest].key_id
            raise ConfigError(f"keys: {principal.key_id!r} and {other!r} have the same secret; give each its own")
        ids.add(principal.key_id)
        principals[key_digest] = principal
    return KeyRing(principals)


def _key_of(authorization: str, api_key: str) -> str:
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
