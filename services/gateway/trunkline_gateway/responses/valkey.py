"""Responses in Valkey or Redis, shared by all gateways and still there when they start again."""

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from redis.asyncio import Redis

from trunkline_kit.clock import Clock
from trunkline_kit.errors import StoreUnavailable
from trunkline_kit.stores.valkey import DOWN

REST_S = 1.0
"""After a failure nobody asks again for so long: requests do not wait one after the other for a store that is away."""

T = TypeVar("T")


class ValkeyStates:
    """Keys are `tl:responses:{owner}:name`. In a cluster the braces keep what is one team's on one node."""

    def __init__(self, client: Redis, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._down_until_s = -math.inf

    async def put(self, owner: str, entries: Mapping[str, bytes], ttl_s: float, used: Sequence[str] = ()) -> None:
        ttl_ms = max(1, round(ttl_s * 1000))
        pipeline = self._client.pipeline()
        for name, data in entries.items():
            pipeline.set(_key(owner, name), data, px=ttl_ms)
        for name in used:
            pipeline.pexpire(_key(owner, name), ttl_ms)
        await self._done(pipeline.execute)

    async def get(self, owner: str, names: Sequence[str]) -> list[bytes | None]:
        if not names:
            return []
        keys = [_key(owner, name) for name in names]
        found = await self._done(lambda: self._client.mget(keys))
        return [one if isinstance(one, bytes) else None for one in found]

    async def delete(self, owner: str, names: Sequence[str]) -> int:
        keys = [_key(owner, name) for name in names]
        gone: int = await self._done(lambda: self._client.delete(*keys))
        return gone

    async def check(self) -> None:
        await self._done(lambda: self._client.exists(_key("check", "check")))

    async def _done(self, ask: Callable[[], Awaitable[T]]) -> T:
        if self._clock.monotonic_s() < self._down_until_s:
            raise StoreUnavailable("the store of responses does not answer", retry_after_s=REST_S)
        try:
            return await ask()
        except DOWN as error:
            self._down_until_s = self._clock.monotonic_s() + REST_S
            text = f"the store of responses does not answer: {type(error).__name__}"
            raise StoreUnavailable(text, retry_after_s=REST_S) from error


def _key(owner: str, name: str) -> str:
    return f"tl:responses:{{{owner}}}:{name}"
