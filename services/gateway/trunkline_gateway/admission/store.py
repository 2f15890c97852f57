"""Limits in Valkey or Redis: one function call for many operations."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Protocol

import msgspec
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.driver_info import DriverInfo
from redis.exceptions import RedisError, ResponseError

from trunkline_gateway.admission.wire import Op, Outcome, packed, unpacked
from trunkline_kit.errors import ConfigError, StoreUnavailable

VERSION = 1
"""Of the library; the same number is in its file. A newer one serves older gateways too, so it is never replaced."""
BEAT_TTL_MS = 10_000
"""A gateway that has not been heard of for so long does not count as alive."""

SOCKET_TIMEOUT_S = 1.0
"""Of the connection. Requests wait less: see `batching.Patience`."""

_GATEWAYS = "tl:gateways"
_OURS = ("user_function", "WRONGTYPE", "ERR user_function", "ERR Error running")
"""How errors inside the function begin: on Redis, on Valkey, and for a key that holds something else."""


class OperationsRefused(StoreUnavailable):
    """Raised when the store is there but does not do these operations, and would not the next time either."""


class LimitStore(Protocol):
    """Where limits are kept for all gateways. Raises StoreUnavailable."""

    async def work(self, ops: Sequence[Op]) -> list[Outcome]:
        """Do these in order, each whole or not at all."""

    async def beat(self) -> int:
        """Say that this gateway lives; returns how many do."""


class ValkeyLimits:
    """Loads the library where it is missing: at the first call, and after the store has lost it."""

    def __init__(self, client: Redis, gateway_id: str) -> None:
        self._client = client
        self._gateway_id = gateway_id
        self._code = files(__package__).joinpath("trunkline.lua").read_text()

    async def work(self, ops: Sequence[Op], now_ms: int = 0) -> list[Outcome]:
        """`now_ms` 0 means the store's own clock."""
        keys, blob = packed(list(ops))
        reply = await self._called("trunkline_work", keys, str(now_ms), blob)
        try:
            outcomes = unpacked(reply)
        except msgspec.MsgspecError as error:
            raise OperationsRefused(f"Valkey answered something that is not ours: {error}") from error
        if len(outcomes) != len(ops):
            raise OperationsRefused(f"Valkey answered {len(outcomes)} of {len(ops)} operations")
        return outcomes

    async def beat(self) -> int:
        return int(await self._called("trunkline_beat", [_GATEWAYS], self._gateway_id, str(BEAT_TTL_MS)))

    async def _called(self, function: str, keys: list[str], *args: str | bytes) -> bytes:
        try:
            try:
                return await self._fcall(function, keys, *args)
            except ResponseError as error:
                if str(error).startswith(_OURS):
                    raise OperationsRefused(f"the limits' function failed: {_said(error)}") from error
                if "Function not found" not in str(error):
                    raise
            # Nothing was done, so doing it now is safe.
            await self._load()
            return await self._fcall(function, keys, *args)
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(f"Valkey does not answer: {_said(error)}") from error

    async def _fcall(self, function: str, keys: list[str], *args: str | bytes) -> bytes:
        return await self._command("FCALL", function, len(keys), *keys, *args)

    async def load(self) -> None:
        """Make sure that the library is there, in this version or a newer one. Raises StoreUnavailable."""
        try:
            await self._load()
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(f"Valkey does not take the limits' function: {_said(error)}") from error

    async def _load(self) -> None:
        try:
            loaded = int(await self._command("FCALL", "trunkline_version", 0))
        except ResponseError as error:
            if "Function not found" not in str(error):
                raise
            loaded = 0
        if loaded < VERSION:
            await self._command("FUNCTION", "LOAD", "REPLACE", self._code)

    async def _command(self, *parts: str | int | bytes) -> bytes:
        reply: bytes = await self._client.execute_command(*parts)  # type: ignore[no-untyped-call]
        return reply


@asynccontextmanager
async def open_limit_client(url: str) -> AsyncIterator[Redis]:
    """A client that never repeats a command by itself: a reservation done twice would count twice.

    Raises ConfigError for a URL that makes no sense.
    """
    try:
        client = Redis.from_url(
            url,
            # Left to itself, the library looks for its own version on disk at every new connection.
            driver_info=DriverInfo(name="trunkline", lib_version=None),
            retry=Retry(NoBackoff(), 0),
            max_connections=4,
            socket_timeout=SOCKET_TIMEOUT_S,
            socket_connect_timeout=SOCKET_TIMEOUT_S,
        )
    except ValueError as error:
        raise ConfigError("stores.redis must start with redis://, rediss:// or unix://") from error
    async with client:
        yield client


def _said(error: Exception) -> str:
    """The kind of error and, where the server said something, its first words: no address, no password."""
    if isinstance(error, ResponseError):
        return str(error)[:200]
    return type(error).__name__
