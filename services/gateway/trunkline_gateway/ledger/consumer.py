"""Takes batches out of the stream and writes them to Postgres, as long as it takes."""

import asyncio
import logging
from collections.abc import Sequence

from trunkline_gateway.ledger.loops import forever
from trunkline_gateway.ledger.meters import LedgerMeters
from trunkline_gateway.ledger.postgres import UsageStore
from trunkline_gateway.ledger.rows import AttemptRow, decode_rows
from trunkline_gateway.ledger.stream import Entry, UsageStream
from trunkline_kit.errors import StoreUnavailable

log = logging.getLogger(__name__)

WAIT_S_MIN, WAIT_S_MAX = 0.1, 2.0
"""Between two tries at a store that is away."""


class Writer:
    """Writes batches to Postgres and counts what came of them."""

    path = "direct"
    store = "postgres"

    def __init__(self, store: UsageStore, meters: LedgerMeters) -> None:
        self._usage = store
        self._meters = meters

    async def put(self, payloads: Sequence[bytes]) -> None:
        """Returns when all rows are in the table. Raises StoreUnavailable."""
        rows: list[AttemptRow] = []
        for payload in payloads:
            try:
                rows += decode_rows(payload)
            except ValueError as error:
                # Nobody can make rows of it, now or later; keeping it would stop everything behind it.
                self._meters.written("unreadable", 1)
                log.error("usage ledger: a batch of %d bytes is not readable: %s", len(payload), error)  # noqa: TRY400
        if not rows:
            return
        try:
            inserted = await self._usage.insert(rows)
        except StoreUnavailable:
            self._meters.up("postgres", is_up=False)
            raise
        self._meters.up("postgres", is_up=True)
        self._meters.written("new", inserted.new)
        self._meters.written("known", inserted.known)
        self._meters.written("unfit", len(inserted.unfit))


class Consumer:
    """One member of the consumer group."""

    def __init__(self, stream: UsageStream, writer: Writer, meters: LedgerMeters) -> None:
        self._stream = stream
        self._writer = writer
        self._meters = meters

    async def run(self) -> None:
        """Consume for ever. Entries in hand when it is cancelled are claimed by another gateway, or the next run."""
        await forever("consuming", self._steps)

    async def _steps(self) -> None:
        """Until something fails that is not a store's being away."""
        wait_s = WAIT_S_MIN
        while True:
            try:
                await self.step()
                wait_s = WAIT_S_MIN
            except StoreUnavailable as error:
                log.warning("usage ledger: consuming pauses: %s", error.message)
                await asyncio.sleep(wait_s)
                wait_s = min(WAIT_S_MAX, wait_s * 2)

    async def step(self) -> int:
        """Write what others left, else what is new; returns how many entries. Raises StoreUnavailable."""
        entries = await self._stream.claim() or await self._stream.take()
        if entries:
            await self._write(entries)
        self._meters.stream_entries.set(self._stream.entries)
        return len(entries)

    async def _write(self, entries: Sequence[Entry]) -> None:
        """Once taken, entries are held until Postgres has them: giving them back would only have them claimed later."""
        wait_s = WAIT_S_MIN
        while True:
            try:
                await self._writer.put([entry.payload for entry in entries])
                break
            except StoreUnavailable as error:
                log.warning("usage ledger: %s; %d batches wait in Valkey", error.message, len(entries))
                await asyncio.sleep(wait_s)
                wait_s = min(WAIT_S_MAX, wait_s * 2)
        await self._stream.finish(entries)
