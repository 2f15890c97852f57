"""What an answer is filed under. The tenant is part of the key itself: there is no shared partition to fall into."""

import math
from typing import NewType

from msgspec import Struct

from trunkline_kit.errors import InvalidRequest

EntryId = NewType("EntryId", str)

SHA256_BYTES = 32
NAME_CHARS_MAX = 256
"""Longest tenant, namespace, model or tag."""
TAGS_MAX = 16


class Scope(Struct, frozen=True):
    """A partition: answers never leave it."""

    tenant: str
    namespace: str = ""
    """The empty one is a partition like any other."""


class Key(Struct, frozen=True):
    """Names one request. `version` is the version of the canonical form that was hashed."""

    scope: Scope
    version: int
    sha256: bytes


def scope_of(tenant: str, namespace: str) -> Scope:
    """Raises InvalidRequest for an empty tenant: that would be a partition that everybody shares."""
    if not tenant:
        raise InvalidRequest("scope.tenant is empty; name the team or key that the answer belongs to", param="scope")
    require_short("scope.tenant", tenant)
    require_short("scope.namespace", namespace)
    return Scope(tenant, namespace)


def key_of(scope: Scope, version: int, sha256: bytes) -> Key:
    """Raises InvalidRequest for anything but a whole SHA-256."""
    if len(sha256) != SHA256_BYTES:
        message = f"fingerprint.sha256 has {len(sha256)} bytes; a SHA-256 has {SHA256_BYTES}"
        raise InvalidRequest(message, param="fingerprint")
    return Key(scope, version, sha256)


def require_short(name: str, text: str) -> None:
    """Raise InvalidRequest for a name that is longer than names are."""
    if len(text) > NAME_CHARS_MAX:
        raise InvalidRequest(f"{name} has {len(text)} characters, at most {NAME_CHARS_MAX} are taken", param=name)


def require_seconds(name: str, seconds: float, *, zero_allowed: bool) -> None:
    """Raise InvalidRequest unless `seconds` is a length of time."""
    if not math.isfinite(seconds) or seconds < 0 or (seconds == 0 and not zero_allowed):
        least = "0 or more" if zero_allowed else "more than 0"
        raise InvalidRequest(f"{name} is {seconds:g}; a finite number of seconds, {least}, is wanted", param=name)
