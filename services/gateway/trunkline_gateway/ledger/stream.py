"""Batches of rows in a Valkey stream: put in by every gateway, taken out by whichever comes first.

An entry stays in the stream until its rows are in Postgres: then it is acknowledged and deleted in one transaction.
What a gateway took and did not finish, because it died, is claimed by another after `CLAIM_AFTER_S`. Delivery is at
least once; the table makes it exactly once.
"""

from collections.abc import Sequence

from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from trunkline_kit.errors import StoreUnavailable
from trunkline_kit.stores.valkey import DOWN

STREAM = "trunkline:{usage}:attempts"
GROUP = "postgres"
FIELD = b"rows"
ENTRIES_PER_READ_MAX = 32
CLAIM_AFTER_S = 30.0
"""Longer than Postgres ever takes for a batch: claiming too early costs work twice, never a row twice."""
BLOCK_S = 1.0
"""How long one read waits for entries."""
FORGET_AFTER_S = 3600.0
"""A consumer that has nothing pending and was not heard of for so long is removed."""


class Entry(Struct, frozen=True):
    """One batch as it is in the stream."""

    entry_id: bytes
    payload: bytes
    """Empty for an entry that is not one of ours."""


class UsageStream:
    """The stream. `reader` waits for entries: it needs a socket timeout above `BLOCK_S`."""

    def __init__(
        self, client: Redis, reader: Redis, consumer: str, limit_entries: int, claim_after_s: float = CLAIM_AFTER_S
    ) -> None:
        self._client = client
        self._reader = reader
        self._consumer = consumer
        self._limit_entries = limit_entries
        self._claim_after_ms = int(claim_after_s * 1000)
        self._has_group = False
        self.entries = 0
        """When last seen."""

    async def put(self, payloads: Sequence[bytes]) -> None:
        """Append batches in one round trip. Raises StoreUnavailable; some may be in the stream all the same."""
        try:
            async with self._client.pipeline(transaction=False) as pipe:
                if self.entries >= self._limit_entries:
                    self.entries = await self._client.xlen(STREAM)
                if self.entries >= self._limit_entries:
                    raise StoreUnavailable(f"{self.entries} usage batches wait in Valkey, which is the limit")
                for payload in payloads:
                    pipe.xadd(STREAM, {FIELD: payload})
                pipe.xlen(STREAM)
                answers = await pipe.execute()
                self.entries = answers[-1]
        except DOWN as error:
            raise _down(error) from error

    async def take(self) -> list[Entry]:
        """New entries; waits up to `BLOCK_S` for some. They are ours until `finish`. Raises StoreUnavailable."""
        try:
            await self._ensure_group()
            found = await self._reader.xreadgroup(
                GROUP, self._consumer, {STREAM: ">"}, count=ENTRIES_PER_READ_MAX, block=int(BLOCK_S * 1000)
            )
        except DOWN as error:
            raise self._lost(error) from error
        listed = found.values() if isinstance(found, dict) else [entries for _, entries in found or ()]
        return [_entry(one) for entries in listed for one in _flat(entries)]

    async def claim(self) -> list[Entry]:
        """Entries that somebody took long ago and never finished. Raises StoreUnavailable."""
        try:
            await self._ensure_group()
            answer = await self._client.xautoclaim(
                STREAM, GROUP, self._consumer, self._claim_after_ms, count=ENTRIES_PER_READ_MAX
            )
        except DOWN as error:
            raise self._lost(error) from error
        return [_entry(one) for one in answer[1] if one[1]]

    async def finish(self, entries: Sequence[Entry]) -> None:
        """They are in Postgres: take them out. Raises StoreUnavailable; then somebody delivers them once more."""
        ids = [entry.entry_id for entry in entries]
        try:
            async with self._client.pipeline(transaction=True) as pipe:
                pipe.xack(STREAM, GROUP, *ids)
                pipe.xdel(STREAM, *ids)
                pipe.xlen(STREAM)
                answers = await pipe.execute()
                self.entries = answers[-1]
        except DOWN as error:
            raise _down(error) from error

    async def forgets_on_restart(self) -> bool:
        """Whether Valkey says that it keeps no append-only file. A managed one may not say. Raises StoreUnavailable."""
        try:
            told = await self._client.config_get("appendonly")
        except ResponseError:
            return False
        except DOWN as error:
            raise _down(error) from error
        return "no" in {value.decode() if isinstance(value, bytes) else value for value in told.values()}

    async def forget_consumers(self) -> None:
        """Remove those of gateways that ended. Never one with entries pending: removing it would lose them."""
        try:
            await self._ensure_group()
            for found in await self._client.xinfo_consumers(STREAM, GROUP):
                if not found["pending"] and found["idle"] > FORGET_AFTER_S * 1000:
                    await self._client.xgroup_delconsumer(STREAM, GROUP, found["name"])
        except DOWN as error:
            raise self._lost(error) from error

    async def _ensure_group(self) -> None:
        if self._has_group:
            return
        try:
            await self._client.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
        self._has_group = True

    def _lost(self, error: Exception) -> StoreUnavailable:
        """After a restart without its data, Valkey has no group either."""
        self._has_group = False
        return _down(error)


def _flat(entries: Sequence[object]) -> Sequence[object]:
    """RESP3 answers carry one list more than RESP2's."""
    if len(entries) == 1 and isinstance(entries[0], list) and (not entries[0] or not isinstance(entries[0][0], bytes)):
        return entries[0]
    return entries


def _entry(found: object) -> Entry:
    entry_id, fields = found  # type: ignore[misc]  # as redis-py gives it
    return Entry(entry_id, fields.get(FIELD, b""))  # type: ignore[has-type]


def _down(error: Exception) -> StoreUnavailable:
    return StoreUnavailable(f"Valkey does not take usage: {type(error).__name__}: {error}")
