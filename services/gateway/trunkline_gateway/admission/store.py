"""Limits in Valkey or Redis: one function call for many operations."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Protocol

import msgspec
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.driver_info import DriverInfo
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)

from trunkline_gateway.admission.complaints import Complaints
from trunkline_gateway.admission.slots import slot_of
from trunkline_gateway.admission.wire import (
    FAILED,
    Admit,
    Op,
    Outcome,
    Query,
    packed,
    packed_queries,
    unpacked,
    unpacked_uses,
)
from trunkline_kit.errors import ConfigError, StoreUnavailable
from trunkline_kit.stores.valkey_url import WRONG_SCHEME, plain_url

log = logging.getLogger(__name__)

VERSION = 3
"""Of the library; the same number is in its file. A newer one serves older gateways too, so it is never replaced."""
BEAT_TTL_MS = 10_000
"""A gateway that has not been heard of for so long does not count as alive."""

SOCKET_TIMEOUT_S = 1.0
"""Of the connection. Requests wait less: see `batching.Patience`."""

GATEWAYS = "tl:gateways"
_WORK, _PEEK, _BEAT = "trunkline_work_3", "trunkline_peek", "trunkline_beat"
_OURS = "user_function"
"""In errors inside the function, somewhere: servers word them differently."""
_OURS_BEGIN = ("WRONGTYPE", "Error running", "ERR Error running")
"""How others of them begin: a key holds something else, or an older server says so."""
_STATES = (OutOfMemoryError, ReadOnlyError, ClusterDownError)
"""What a server says of itself, also from inside a function."""
_STATES_BEGIN = ("MISCONF", "NOREPLICAS", "READONLY", "OOM")
_NOT_HERE = (AskError, TryAgainError)
"""Of a node that does not have these keys, or not all of them any more. A MovedError is an AskError."""
_A_CLUSTER = "it is a cluster: add ?cluster=true to stores.redis"


class OperationsRefused(StoreUnavailable):
    """Raised when the store is there but does not do these operations, and would not the next time either."""

    done = False
    """Whether they may have been done all the same."""


class OutcomesUnknown(OperationsRefused):
    """Raised when the store has done operations and what it says about them is not understood."""

    done = True


class Elsewhere(msgspec.Struct, frozen=True):
    """In place of an outcome: not done here, nor anywhere."""

    address: str = ""
    """Who has these keys now, as `host:port`, without the host where it is the same; empty while they are moved."""


Done = Outcome | Elsewhere | None
"""None: refused for good, as `OperationsRefused`."""


class LimitStore(Protocol):
    """Where limits are kept for all gateways. Raises StoreUnavailable."""

    async def work(self, ops: Sequence[Op]) -> Sequence[Done]:
        """Do these in order, each whole or not at all. Raises OperationsRefused where none was done."""

    async def beat(self) -> int:
        """Say that this gateway lives; returns how many do."""

    async def peek(self, queries: Sequence[Query]) -> list[tuple[int, int]]:
        """Of each: what is used, and in how many ms it is not any more. Changes nothing."""


class ValkeyLimits:
    """One server. Loads the library where it is missing: at the first call, and after the server has lost it."""

    def __init__(self, client: Redis, gateway_id: str, code: str = "") -> None:
        self._client = client
        self._gateway_id = gateway_id
        self._code = code or library_code()
        self.gateways_key = GATEWAYS
        """Of a node in a cluster it must be in one of its slots."""
        self._gateways = 1
        self._complaints = Complaints(log)

    async def work(self, ops: Sequence[Op], now_ms: int = 0) -> list[Done]:
        """`now_ms` 0 means the store's own clock."""
        keys, blob = _packed(ops)
        return self._told(_outcomes(await self._called(_WORK, keys, str(now_ms), blob), len(ops)))

    async def beat(self) -> int:
        self._gateways = int(await self._called(_BEAT, [self.gateways_key], self._gateway_id, str(BEAT_TTL_MS)))
        return self._gateways

    async def peek(self, queries: Sequence[Query], now_ms: int = 0) -> list[tuple[int, int]]:
        keys, blob = packed_queries(queries)
        try:
            return unpacked_uses(await self._called(_PEEK, keys, str(now_ms), blob))
        except msgspec.MsgspecError as error:
            raise OperationsRefused(f"Valkey answered something that is not ours: {error}") from error

    async def load(self) -> None:
        """Make sure that the library is there, in this version or a newer one. Raises StoreUnavailable."""
        try:
            await self._load()
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(f"Valkey does not take the limits' function: {_said(error)}") from error

    def _told(self, outcomes: Sequence[Outcome]) -> list[Done]:
        """Without those that failed, each by itself."""
        failed = [outcome.said for outcome in outcomes if outcome.refused == FAILED]
        if failed:
            self._complain(len(failed), failed[0])
        return [None if outcome.refused == FAILED else outcome for outcome in outcomes]

    def _complain(self, count: int, said: object) -> None:
        now_s = asyncio.get_running_loop().time()
        self._complaints.say(f"the limits' function failed for {count} operations", str(said), now_s)

    async def _called(self, function: str, keys: list[str], *args: str | bytes) -> bytes:
        try:
            try:
                return await self._fcall(function, keys, *args)
            except ResponseError as error:
                if is_refusal(error):
                    raise OperationsRefused(f"the limits' function failed: {_said(error)}") from error
                if not is_missing(error):
                    raise
            # Nothing was done, so doing it now is safe.
            await self._load()
            return await self._fcall(function, keys, *args)
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(f"Valkey does not answer: {_said(error)}") from error

    async def _fcall(self, function: str, keys: list[str], *args: str | bytes) -> bytes:
        return await self._command("FCALL", function, len(keys), *keys, *args)

    async def _load(self) -> None:
        try:
            loaded = int(await self._command("FCALL", "trunkline_version", 0))
        except ResponseError as error:
            if not is_missing(error):
                raise
            loaded = 0
        if loaded < VERSION:
            await self._command("FUNCTION", "LOAD", "REPLACE", self._code)

    async def _command(self, *parts: str | int | bytes) -> bytes:
        reply: bytes = await self._client.execute_command(*parts)  # type: ignore[no-untyped-call]
        return reply


class NodeLimits(ValkeyLimits):
    """One primary of a cluster. Operations of one slot are one call, the calls of a batch one round trip."""

    async def work(self, ops: Sequence[Op], now_ms: int = 0) -> list[Done]:
        places: dict[int, list[int]] = {}
        for place, op in enumerate(ops):
            places.setdefault(slot_of(some_key(op)), []).append(place)
        found: list[Done] = [None] * len(ops)
        try:
            replies = await self._each(list(places.values()), ops, now_ms)
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(f"Valkey does not answer: {_said(error)}") from error
        for group, reply in zip(places.values(), replies, strict=True):
            outcomes = self._read(reply, len(group))
            for place, outcome in zip(group, outcomes, strict=True):
                found[place] = outcome
        return found

    async def beat(self) -> int:
        try:
            return await super().beat()
        except StoreUnavailable as error:
            if isinstance(error.__cause__, AskError):
                # The slot of that one key has moved; the node is there all the same.
                return self._gateways
            raise

    async def _each(self, groups: list[list[int]], ops: Sequence[Op], now_ms: int) -> list[object]:
        """A reply or a ResponseError for each group. Raises what is wrong with the connection or the whole server."""
        calls = [_packed([ops[place] for place in group]) for group in groups]
        replies = await self._pipelined(calls, now_ms)
        again = [number for number, reply in enumerate(replies) if is_missing(reply)]
        if again:
            await self._load()
            for number, reply in zip(
                again, await self._pipelined([calls[number] for number in again], now_ms), strict=True
            ):
                replies[number] = reply
        for reply in replies:
            if isinstance(reply, ResponseError) and not isinstance(reply, _NOT_HERE) and not is_refusal(reply):
                raise reply
        return replies

    def _read(self, reply: object, count: int) -> Sequence[Done]:
        """What a node says to the operations of one slot."""
        if isinstance(reply, MovedError):
            return [Elsewhere(f"{reply.host}:{reply.port}")] * count
        if isinstance(reply, _NOT_HERE):
            return [Elsewhere()] * count
        try:
            return self._told(_outcomes(reply if isinstance(reply, bytes) else b"", count))
        except OperationsRefused as error:
            self._complain(count, reply if isinstance(reply, ResponseError) else error)
            return [None] * count

    async def _pipelined(self, calls: list[tuple[list[str], bytes]], now_ms: int) -> list[object]:
        if len(calls) == 1:
            keys, blob = calls[0]
            try:
                return [await self._fcall(_WORK, keys, str(now_ms), blob)]
            except ResponseError as error:
                return [error]
        async with self._client.pipeline(transaction=False) as pipe:
            for keys, blob in calls:
                pipe.execute_command("FCALL", _WORK, len(keys), *keys, str(now_ms), blob)
            return list(await pipe.execute(raise_on_error=False))


def some_key(op: Op) -> str:
    """All keys of one operation are in one slot."""
    if op.lease_key:
        return op.lease_key
    return op.claims[0].key if isinstance(op, Admit) and op.claims else ""


def _packed(ops: Sequence[Op]) -> tuple[list[str], bytes]:
    try:
        return packed(ops)
    except OverflowError as error:
        raise OperationsRefused(f"they cannot be sent: {error}") from error


def _outcomes(reply: bytes, count: int) -> list[Outcome]:
    try:
        outcomes = unpacked(reply)
    except msgspec.MsgspecError as error:
        raise OutcomesUnknown(f"Valkey answered something that is not ours: {error}") from error
    if len(outcomes) != count:
        raise OutcomesUnknown(f"Valkey answered {len(outcomes)} of {count} operations")
    return outcomes


def is_missing(error: object) -> bool:
    """Whether the server does not know the function."""
    return isinstance(error, ResponseError) and "Function not found" in str(error)


def is_refusal(error: ResponseError) -> bool:
    """Whether the function itself has failed, not the server."""
    text = str(error)
    if isinstance(error, _STATES) or text.startswith(_STATES_BEGIN):
        return False
    return _OURS in text or text.startswith(_OURS_BEGIN)


def library_code() -> str:
    """Reads a file of this package."""
    return files(__package__).joinpath("trunkline.lua").read_text()


def limit_client(url: str) -> Redis:
    """A client of one server that never repeats a command by itself: a reservation done twice would count twice.

    Raises ConfigError for a URL that makes no sense.
    """
    try:
        return Redis.from_url(
            plain_url(url),
            # Left to itself, the library looks for its own version on disk at every new connection.
            driver_info=DriverInfo(name="trunkline", lib_version=None),
            retry=Retry(NoBackoff(), 0),
            max_connections=4,
            socket_timeout=SOCKET_TIMEOUT_S,
            socket_connect_timeout=SOCKET_TIMEOUT_S,
        )
    except ValueError as error:
        raise ConfigError(WRONG_SCHEME) from error


@asynccontextmanager
async def open_limit_client(url: str) -> AsyncIterator[Redis]:
    """The same, closed at the end."""
    async with limit_client(url) as client:
        yield client


def _said(error: Exception) -> str:
    """The kind of error and, where the server said something, its first words: no address, no password."""
    if isinstance(error, MovedError):
        return _A_CLUSTER
    if isinstance(error, ResponseError):
        return str(error)[:200]
    return type(error).__name__
