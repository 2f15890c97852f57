"""Takes rows at once and sends them on afterwards: to Valkey or Postgres, or to the spool while they are away."""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from trunkline_gateway.ledger.journal import Journal
from trunkline_gateway.ledger.loops import forever
from trunkline_gateway.ledger.meters import LedgerMeters
from trunkline_gateway.ledger.rows import AttemptRow, batches, decode_rows, fits
from trunkline_gateway.ledger.slots import NO_SLOT, Progress
from trunkline_gateway.ledger.spool import Spool
from trunkline_kit.clock import Clock
from trunkline_kit.errors import StoreUnavailable

log = logging.getLogger(__name__)

Kept = tuple[AttemptRow, int]
"""A row and its slot in the journal."""

ROWS_PER_TURN_MAX = 4096
"""Taken from memory at once."""
ROWS_IN_MEMORY_MAX = 100_000
"""Only reached when the disk hangs as well: some 60 MB."""
BATCHES_PER_REPLAY = 16
"""In one call: little enough for Postgres to take within its time."""
RETRY_AFTER_S = 1.0
"""How long a store that failed is not asked again: meanwhile rows go to the spool without waiting for a timeout."""
NEARLY_FULL = 0.8
"""Of the spool's bound: from here on it is in the log."""
ALARM_EVERY_S = 60.0


class Delivery(Protocol):
    """Where batches go first."""

    path: str
    """Its label in metrics."""
    store: str

    async def put(self, payloads: Sequence[bytes]) -> None:
        """Returns when they are safe there. Raises StoreUnavailable; delivering them again does no harm."""


class Books:
    """The ledger of one process. `record` never waits and never fails."""

    enabled = True

    def __init__(
        self, delivery: Delivery, spool: Spool, meters: LedgerMeters, clock: Clock, journal: Journal | None = None
    ) -> None:
        self._delivery = delivery
        self._spool = spool
        self._meters = meters
        self._clock = clock
        self._journal = journal
        self._rows: deque[Kept] = deque()
        self._arrived = asyncio.Event()
        self._asked_again_s = 0.0
        self._alarmed_s = -ALARM_EVERY_S
        meters.spool_limit_bytes.set(spool.limit_bytes)

    @property
    def folder(self) -> Path:
        """Where spool and journals are."""
        return self._spool.folder

    def begin(self, row: AttemptRow) -> int:
        """Keep an attempt in flight where a SIGKILL leaves it; returns its slot, for `progress` and `record`."""
        return NO_SLOT if self._journal is None else self._journal.begin(row)

    def progress(self, slot: int, started_s: float) -> Progress | None:
        """Counts the stream of the attempt in `slot`, which began at `started_s`."""
        return None if self._journal is None else self._journal.progress(slot, started_s)

    def record(self, row: AttemptRow, slot: int = NO_SLOT) -> None:
        """Take the row of the attempt in `slot`. It leaves memory with all others of this turn of the event loop."""
        if self._journal is not None:
            slot = self._journal.settle(slot, row)
        if len(self._rows) >= ROWS_IN_MEMORY_MAX:
            self._lose(1, "memory is full")
            self._forget([slot])
            return
        self._rows.append((row, slot))
        self._arrived.set()

    async def run(self) -> None:
        """Bring rows on their way, for ever. Cancelled, it has lost none: `flush` takes what it had in hand."""
        await forever("sending rows", self._turn)

    async def _turn(self) -> None:
        await self._arrived.wait()
        self._arrived.clear()
        await self.flush()

    async def flush(self) -> None:
        """Bring everything that was taken on its way. What fails for a reason that nobody foresaw is lost, aloud."""
        while self._rows:
            taken = [self._rows.popleft() for _ in range(min(len(self._rows), ROWS_PER_TURN_MAX))]
            self._meters.waiting_rows.set(len(taken) + len(self._rows))
            try:
                if left := await self._deliver([row for row, _ in taken]):
                    self._lose(left, "the spool is full or cannot be written")
            except Exception:
                # The same rows would fail again, and keep all that come after them.
                log.exception("usage ledger: rows could not be brought on their way")
                self._lose(len(taken), "neither does the spool")
            except BaseException:
                # Some may be on their way already; twice does no harm.
                self._rows.extendleft(reversed(taken))
                raise
            self._forget([slot for _, slot in taken])
        self._meters.waiting_rows.set(0)

    async def check(self) -> str:
        """For readiness. Raises StoreUnavailable while rows wait on disk."""
        if self._is_resting() or not await asyncio.to_thread(lambda: self._spool.is_empty):
            raise StoreUnavailable(f"{self._delivery.store} does not take usage; rows wait in {self._spool.folder}")
        return f"usage goes to {self._delivery.store}"

    async def close(self) -> None:
        """Flush, and let go of spool and journal, so that another process may take what is left in them."""
        try:
            await self.flush()
        finally:
            await asyncio.to_thread(self._let_go)

    async def bring(self, rows: Sequence[AttemptRow]) -> bool:
        """Deliver rows of somebody else's; whether all of them are in a store or on disk now."""
        for start in range(0, len(rows), ROWS_PER_TURN_MAX):
            if await self._deliver(rows[start : start + ROWS_PER_TURN_MAX]):
                return False
        return True

    async def replay(self) -> int:
        """Deliver what the spool holds, segment by segment; returns how many batches. Stops where the store is away.

        A segment that fails for another reason stays and does not keep the others; the last such failure is raised.
        """
        if self._is_resting() or await asyncio.to_thread(lambda: self._spool.is_empty):
            return 0
        delivered = 0
        failed: Exception | None = None
        for path in await asyncio.to_thread(self._spool.waiting):
            try:
                delivered += await self._replay_segment(path)
            except StoreUnavailable as error:
                self._rest(error)
                break
            except Exception as error:  # noqa: BLE001 - raised below, after the others had their turn
                failed = error
        self._meters.replayed.inc(delivered)
        await self._measure_spool()
        if delivered:
            log.info("usage ledger: %d batches replayed from the spool", delivered)
        if failed is not None:
            raise failed
        return delivered

    async def _replay_segment(self, path: Path) -> int:
        claim = await asyncio.to_thread(self._spool.claim, path)
        if claim is None:
            return 0
        try:
            payloads = claim.payloads
            for start in range(0, len(payloads), BATCHES_PER_REPLAY):
                await self._delivery.put(payloads[start : start + BATCHES_PER_REPLAY])
            await asyncio.to_thread(claim.finish)
        finally:
            claim.close()
        return len(payloads)

    async def _deliver(self, rows: Sequence[AttemptRow]) -> int:
        """To the store, else to the spool; returns how many of them neither takes."""
        rows, payloads = self._encoded(rows)
        if not payloads:
            return 0
        if not self._is_resting() and await self._put(payloads):
            self._meters.taken(self._delivery.path, len(rows))
            return 0
        kept = await asyncio.to_thread(self._spool.append, payloads)
        left = sum(len(decode_rows(payload)) for payload in payloads[kept:])
        self._meters.taken("spool", len(rows) - left)
        await self._measure_spool()
        return left

    def _let_go(self) -> None:
        self._spool.close()
        if self._journal is not None:
            self._journal.close()

    def _forget(self, slots: Sequence[int]) -> None:
        if self._journal is not None:
            self._journal.free(slots)

    def _encoded(self, rows: Sequence[AttemptRow]) -> tuple[Sequence[AttemptRow], list[bytes]]:
        """Those that can be encoded, and what they are then."""
        try:
            return rows, list(batches(rows))
        except (OverflowError, ValueError):
            fit = [row for row in rows if fits(row)]
            self._lose(len(rows) - len(fit), "nothing can encode them")
            return fit, list(batches(fit))

    async def _put(self, payloads: Sequence[bytes]) -> bool:
        """Whether the store has taken them."""
        try:
            await self._delivery.put(payloads)
        except StoreUnavailable as error:
            self._rest(error)
            return False
        except Exception as error:
            # An edge: whatever it is, the rows are safe on disk.
            log.exception("usage ledger: %s could not be given rows", self._delivery.store)
            self._rest(StoreUnavailable(f"{type(error).__name__} in place of an answer"))
            return False
        self._meters.up(self._delivery.store, is_up=True)
        return True

    def _is_resting(self) -> bool:
        return self._clock.monotonic_s() < self._asked_again_s

    def _rest(self, error: StoreUnavailable) -> None:
        self._meters.up(self._delivery.store, is_up=False)
        now_s = self._clock.monotonic_s()
        self._asked_again_s = now_s + RETRY_AFTER_S
        log.warning("usage ledger: rows go to the spool in %s: %s", self._spool.folder, error.message)

    def _lose(self, rows: int, why: str) -> None:
        self._meters.taken("lost", rows)
        log.error("usage ledger: %d rows are lost, since no store takes them and %s", rows, why)

    async def _measure_spool(self) -> None:
        try:
            size_bytes = await asyncio.to_thread(lambda: self._spool.size_bytes)
        except OSError as error:
            log.warning("usage ledger: the spool %s cannot be measured: %s", self._spool.folder, error)
            return
        self._meters.spool_bytes.set(size_bytes)
        now_s = self._clock.monotonic_s()
        if size_bytes > NEARLY_FULL * self._spool.limit_bytes and now_s - self._alarmed_s >= ALARM_EVERY_S:
            self._alarmed_s = now_s
            text = (
                "usage ledger: the spool %s holds %d of %d bytes; bring Valkey and Postgres back or rows will be lost"
            )
            log.error(text, self._spool.folder, size_bytes, self._spool.limit_bytes)
