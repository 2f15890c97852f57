"""Operations of one event-loop turn go to the store together, and what comes meanwhile goes next: one call at a time.

That keeps their order, so what a request gave back is there for the one after it. When the store does not answer in
time, everybody waiting is told so at once and nobody waits again until it is back. It is asked again and again: at
once, then at growing intervals. What was to be settled meanwhile is kept and settled then.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import msgspec

from trunkline_gateway.admission.meters import AdmissionMeters
from trunkline_gateway.admission.store import LimitStore, OperationsRefused
from trunkline_gateway.admission.wire import Admit, Outcome, Settle
from trunkline_kit.errors import StoreUnavailable
from trunkline_kit.lifecycle import background

log = logging.getLogger(__name__)

T = TypeVar("T")

BATCH_MAX = 64
"""Operations in one call: the store does nothing else meanwhile, about 50 µs each."""
PROBES_S = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Pauses before the store is asked again; the last one repeats."""
BEAT_S = 2.0
CLOSING_S = 1.0
_NOT_ASKED = "not asked yet"


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long the store may take, and how much is remembered for it."""

    timeout_s: float = 0.05
    grace_s: float = 0.02
    """On top, for a reply that is there but not read yet because this process was busy."""
    backlog_max: int = 50_000
    """Settlements kept while the store is down; the oldest go first."""


class Waiting(msgspec.Struct, frozen=True):
    """A request that waits for its decision."""

    op: Admit
    reply: "asyncio.Future[Outcome | None]"


class Batcher:
    """Talks to the store for a whole gateway."""

    def __init__(self, store: LimitStore, meters: AdmissionMeters, patience: Patience) -> None:
        self._store = store
        self._meters = meters
        self._patience = patience
        self._queue: deque[Waiting | Settle] = deque()
        self._settles = 0
        self._wake = asyncio.Event()
        self._fell = asyncio.Event()
        self._closing = asyncio.Event()
        self.up = False
        self.gateways = 1
        """How many were alive when the store last said."""
        self.why_down = _NOT_ASKED
        self.falls = 0
        """How often the store went down."""

    async def admit(self, op: Admit) -> Outcome | None:
        """The store's decision; None when it is down."""
        if not self.up:
            return None
        waiting = Waiting(op, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._wake.set()
        return await waiting.reply

    def settle(self, op: Settle) -> None:
        """Takes effect after everything asked before it. Never waits."""
        if self._settles >= self._patience.backlog_max:
            self._forget_oldest()
        self._queue.append(op)
        self._settles += 1
        self._wake.set()

    async def send(self) -> None:
        """Send what is queued, call by call, until closed."""
        while not self._closing.is_set():
            await self._wake.wait()
            # One more turn: requests that arrived together get here one after the other.
            await asyncio.sleep(0)
            self._wake.clear()
            await self.flush()

    def close(self) -> None:
        """Let `send` and `watch` end. A cancellation alone may be lost where it meets a reply that has just come."""
        self._closing.set()
        self._wake.set()
        self._fell.set()

    async def flush(self) -> None:
        """Send what is queued, while the store answers."""
        while self.up and self._queue:
            await self._send_batch()

    async def watch(self) -> None:
        """Beat while the store is up, probe while it is down, until closed."""
        while not self._closing.is_set():
            attempt = 0
            while not await self.beat(self._patience.timeout_s):
                if self._closing.is_set():
                    return
                attempt += 1
                await asyncio.sleep(PROBES_S[min(attempt, len(PROBES_S) - 1)])
            try:
                async with asyncio.timeout(BEAT_S):
                    await self._fell.wait()
            except TimeoutError:
                continue

    async def beat(self, timeout_s: float) -> bool:
        """Whether the store is up."""
        try:
            self.gateways = max(1, await self._in_time(self._store.beat(), timeout_s))
        except StoreUnavailable as error:
            self._down(error)
            return False
        except Exception as error:
            # An edge: nobody above could do better than to ask again.
            log.exception("asking whether the store of limits is there failed")
            self._down(StoreUnavailable(f"{type(error).__name__} while it was asked"))
            return False
        if not self.up:
            log.info("the store of limits answers", extra={"gateways": self.gateways})
        self.up, self.why_down = True, ""
        self._fell.clear()
        self._wake.set()
        self._meters.store_up(up=True)
        return True

    async def _send_batch(self) -> None:
        batch = [self._queue.popleft() for _ in range(min(BATCH_MAX, len(self._queue)))]
        settles = [item for item in batch if isinstance(item, Settle)]
        self._settles -= len(settles)
        self._meters.backlog.set(self._settles)
        self._meters.batches.observe(len(batch))
        outcomes: Sequence[Outcome | None] = [None] * len(batch)
        done = False
        try:
            ops = [item.op if isinstance(item, Waiting) else item for item in batch]
            outcomes = await self._in_time(self._store.work(ops), self._patience.timeout_s)
            done = True
        except OperationsRefused as error:
            # The same again every time: what was to be settled is given up, its reservations run out.
            log.error("the store refused a batch: %s", error, extra={"operations": len(batch)})  # noqa: TRY400
            self._meters.lost.inc(len(settles))
            done = True
        except StoreUnavailable as error:
            self._down(error)
        except Exception:
            # An edge: one batch that cannot be sent must not stop all that come after it, nor the gateway.
            log.exception("a batch for the store of limits is given up", extra={"operations": len(batch)})
            self._meters.lost.inc(len(settles))
            done = True
        finally:
            if not done:
                # Whether the store did them is unknown. Done twice, they count once.
                self._queue.extendleft(reversed(settles))
                self._settles += len(settles)
            _answer(batch, outcomes)

    async def _in_time(self, work: Awaitable[T], timeout_s: float) -> T:
        """Raises StoreUnavailable when it takes too long."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(None) as clock:
                # When this process was busy the reply may be there already: it gets a chance to be read.
                timer = loop.call_later(timeout_s, lambda: clock.reschedule(loop.time() + self._patience.grace_s))
                try:
                    return await work
                finally:
                    timer.cancel()
        except TimeoutError as error:
            raise StoreUnavailable(f"no answer within {timeout_s * 1000:.0f} ms") from error

    def _down(self, error: StoreUnavailable) -> None:
        if self.up or self.why_down == _NOT_ASKED:
            self.falls += 1
            log.warning("the store of limits is down: %s", error)
        self.up, self.why_down = False, str(error)
        self._meters.store_up(up=False)
        waiting = [item for item in self._queue if isinstance(item, Waiting)]
        self._queue = deque(item for item in self._queue if isinstance(item, Settle))
        _answer(waiting, [None] * len(waiting))
        self._fell.set()

    def _forget_oldest(self) -> None:
        for position, item in enumerate(self._queue):
            if isinstance(item, Settle):
                del self._queue[position]
                self._settles -= 1
                self._meters.lost.inc()
                return


def _answer(batch: Sequence[Waiting | Settle], outcomes: Sequence[Outcome | None]) -> None:
    for item, outcome in zip(batch, outcomes, strict=True):
        if isinstance(item, Waiting) and not item.reply.done():
            item.reply.set_result(outcome)


@asynccontextmanager
async def open_batcher(
    store: LimitStore, meters: AdmissionMeters, patience: Patience | None = None, gateways: int = 1
) -> AsyncIterator[Batcher]:
    """Asks the store once, then serves whether it is up or not. Sends what is left to settle at the end."""
    batcher = Batcher(store, meters, patience or Patience())
    batcher.gateways = gateways
    await batcher.beat(CLOSING_S)
    async with background(batcher.watch()), background(batcher.send()):
        try:
            yield batcher
        finally:
            batcher.close()
    # Bounded: each call has its clock, and the first that fails is the last.
    await batcher.flush()
