"""Answers in Valkey or Redis, so that a request sent again may come to another gateway.

One value for each request: a letter (`R`, worked on; `K`, kept), 16 bytes of whoever works on it, 32 of the request's
fingerprint, and then the answer. It is only changed by its owner.
"""

import math
from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis.asyncio import Redis

from trunkline_gateway.idempotency.answers import Ask, Found
from trunkline_kit.clock import Clock
from trunkline_kit.errors import StoreUnavailable
from trunkline_kit.stores.valkey import DOWN

REST_S = 1.0
"""After a failure nobody asks again for so long: requests do not wait one after the other for a store that is away."""
_OWNER, _FINGERPRINT = slice(1, 17), slice(17, 49)
_SET_IF_OURS = """
if redis.call('GETRANGE', KEYS[1], 0, 16) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""
_DELETE_IF_OURS = """
if redis.call('GETRANGE', KEYS[1], 0, 16) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""

T = TypeVar("T")


class ValkeyAnswers:
    """Keys are `tl:idempotency:…`."""

    def __init__(self, client: Redis, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._down_until_s = -math.inf

    async def claim(self, ask: Ask, owner: bytes, lease_s: float) -> Found | None:
        name, mine = _name(ask), b"R" + owner + ask.fingerprint
        # The value can be gone between the two: then it is free again.
        for _ in range(3):
            pipe = self._client.pipeline(transaction=False)
            pipe.set(name, mine, px=_ms(lease_s), nx=True)
            pipe.get(name)
            was_set, value = await self._done(pipe.execute)
            # A cluster's client may send both again when a node is lost: then it was there, and is ours all the same.
            if was_set or value == mine:
                return None
            if isinstance(value, bytes) and len(value) >= _FINGERPRINT.stop:
                return Found(value[_FINGERPRINT], value[_FINGERPRINT.stop :] if value[:1] == b"K" else None)
        raise StoreUnavailable("the store of idempotent answers cannot say who works on this request")

    async def renew(self, ask: Ask, owner: bytes, lease_s: float) -> bool:
        return await self._set(ask, owner, b"R" + owner + ask.fingerprint, lease_s)

    async def keep(self, ask: Ask, owner: bytes, answer: bytes, ttl_s: float) -> bool:
        return await self._set(ask, owner, b"K" + owner + ask.fingerprint + answer, ttl_s)

    async def release(self, ask: Ask, owner: bytes) -> None:
        await self._eval(_DELETE_IF_OURS, ask, b"R" + owner)

    async def _set(self, ask: Ask, owner: bytes, value: bytes, for_s: float) -> bool:
        return bool(await self._eval(_SET_IF_OURS, ask, b"R" + owner, value, _ms(for_s)))

    async def _eval(self, script: str, ask: Ask, *arguments: bytes | int) -> int:
        async def run() -> int:
            done: int = await self._client.eval(script, 1, _name(ask), *arguments)
            return done

        return await self._done(run)

    async def _done(self, ask: Callable[[], Awaitable[T]]) -> T:
        if self._clock.monotonic_s() < self._down_until_s:
            raise StoreUnavailable("the store of idempotent answers does not answer", retry_after_s=REST_S)
        try:
            return await ask()
        except DOWN as error:
            self._down_until_s = self._clock.monotonic_s() + REST_S
            text = f"the store of idempotent answers does not answer: {type(error).__name__}"
            raise StoreUnavailable(text, retry_after_s=REST_S) from error


def _name(ask: Ask) -> str:
    return f"tl:idempotency:{ask.key}"


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
