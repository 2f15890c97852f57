"""Finished answers and who works on the others: the contract, and the store of a gateway that is alone."""

import hashlib
import re
from collections import OrderedDict
from typing import Protocol

import msgspec

from trunkline_gateway.auth import Principal
from trunkline_gateway.sink import Headers
from trunkline_gateway.surface import Surface
from trunkline_kit.clock import Clock
from trunkline_kit.errors import InvalidRequest, StoreUnavailable

ENTRY_BYTES = 256
"""What an entry costs beside its answer, about."""
_SANE_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_STALE = ("x-ratelimit-", "x-trunkline-queue-ms", "x-trunkline-admission")
"""Headers that are about the moment, not about the answer."""


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """A request that may come more than once."""

    key: str
    """Of the tenant and its idempotency key, hashed."""
    fingerprint: bytes
    """Of the surface and the body, 32 bytes."""


class Answered(msgspec.Struct, frozen=True, array_like=True):
    """A finished answer, as its sink got it."""

    is_stream: bool
    headers: list[tuple[str, str]]
    chunks: list[bytes]
    """The data of its events, or the one body."""


class Found(msgspec.Struct, frozen=True):
    """Somebody was there before."""

    fingerprint: bytes
    answer: bytes | None = None
    """None while it is worked on."""


class Answers(Protocol):
    """Everything raises StoreUnavailable."""

    async def claim(self, ask: Ask, owner: bytes, lease_s: float) -> Found | None:
        """None when it is ours to work on from now on, as long as it is renewed; `owner` is 16 bytes.

        Done twice by one owner it is done once.
        """

    async def renew(self, ask: Ask, owner: bytes, lease_s: float) -> bool:
        """Whether it is still ours."""

    async def keep(self, ask: Ask, owner: bytes, answer: bytes, ttl_s: float) -> bool:
        """It is finished. Whether it was still ours: nothing happens where it was not."""

    async def release(self, ask: Ask, owner: bytes) -> None:
        """It came to nothing: the next one may work on it."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Answered).decode


def encode_answer(answer: Answered) -> bytes:
    """Without headers that say nothing of it later on."""
    lasting: Headers = [(name, value) for name, value in answer.headers if not name.startswith(_STALE)]
    return _encode(msgspec.structs.replace(answer, headers=lasting))


def decode_answer(data: bytes) -> Answered:
    """Raises StoreUnavailable for what is not one of ours."""
    try:
        return _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StoreUnavailable("what is kept for this idempotency key cannot be read; use a new one") from error


def ask_of(principal: Principal, surface: Surface, key: str, body: bytes) -> Ask:
    """Keys of different tenants have nothing to do with each other. Raises InvalidRequest for a key that is none."""
    if not _SANE_KEY.fullmatch(key):
        raise InvalidRequest("idempotency-key: 1 to 255 printable characters of ASCII without spaces, such as a UUID")
    who = (principal.org, principal.team, principal.key_id, principal.subject)
    hashed = hashlib.blake2b(msgspec.json.encode((*who, key)), digest_size=16)
    fingerprint = hashlib.blake2b(surface.value.encode() + b"\0" + body, digest_size=32).digest()
    return Ask(key=hashed.hexdigest(), fingerprint=fingerprint)


class _Entry(msgspec.Struct, frozen=True):
    found: Found
    owner: bytes
    until_s: float

    @property
    def size_bytes(self) -> int:
        return ENTRY_BYTES + len(self.found.answer or b"")


class MemoryAnswers:
    """In this process. Bounded: the oldest finished answers go first; what is worked on stays."""

    def __init__(self, clock: Clock, size_bytes_max: int) -> None:
        self._clock = clock
        self._max = size_bytes_max
        self._entries: dict[str, _Entry] = {}
        self._finished: OrderedDict[str, None] = OrderedDict()
        """Those that have an answer, the oldest first."""
        self.size_bytes = 0

    def find(self, ask: Ask) -> Found | None:
        entry = self._entry(ask)
        return None if entry is None else entry.found

    async def claim(self, ask: Ask, owner: bytes, lease_s: float) -> Found | None:
        found = self.find(ask)
        if found is not None and not self._is_ours(ask, owner):
            return found
        self._put(ask, _Entry(Found(ask.fingerprint), owner, self._clock.monotonic_s() + lease_s))
        return None

    async def renew(self, ask: Ask, owner: bytes, lease_s: float) -> bool:
        if not self._is_ours(ask, owner):
            return False
        self._put(ask, _Entry(Found(ask.fingerprint), owner, self._clock.monotonic_s() + lease_s))
        return True

    async def keep(self, ask: Ask, owner: bytes, answer: bytes, ttl_s: float) -> bool:
        if not self._is_ours(ask, owner):
            return False
        self._put(ask, _Entry(Found(ask.fingerprint, answer), owner, self._clock.monotonic_s() + ttl_s))
        return True

    async def release(self, ask: Ask, owner: bytes) -> None:
        if self._is_ours(ask, owner):
            self._drop(ask.key)

    def _is_ours(self, ask: Ask, owner: bytes) -> bool:
        entry = self._entry(ask)
        return entry is not None and entry.owner == owner and entry.found.answer is None

    def _entry(self, ask: Ask) -> _Entry | None:
        entry = self._entries.get(ask.key)
        if entry is not None and entry.until_s <= self._clock.monotonic_s():
            self._drop(ask.key)
            return None
        return entry

    def _put(self, ask: Ask, entry: _Entry) -> None:
        self._drop(ask.key)
        self._entries[ask.key] = entry
        self.size_bytes += entry.size_bytes
        if entry.found.answer is not None:
            self._finished[ask.key] = None
        while self.size_bytes > self._max and self._finished:
            self._drop(next(iter(self._finished)))

    def _drop(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        self._finished.pop(key, None)
        if entry is not None:
            self.size_bytes -= entry.size_bytes
