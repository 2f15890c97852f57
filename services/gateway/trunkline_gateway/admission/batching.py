"""Operations of one event-loop turn go to the store together, and what comes meanwhile goes next: one call at a time.

That keeps their order, so what a request gave back is there for the one after it. When the store does not answer in
time, everybody waiting is told so at once and nobody waits again until it is back. It is asked again and again: at
once, then at growing intervals, also where it says each time that it is there and then does not do what it is asked.
What was to be settled meanwhile is kept and settled then.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import msgspec

from trunkline_gateway.admission.complaints import Complaints
from trunkline_gateway.admission.memory import MemoryLimits
from trunkline_gateway.admission.meters import AdmissionMeters
from trunkline_gateway.admission.store import Done, Elsewhere, LimitStore, OperationsRefused
from trunkline_gateway.admission.wire import Admit, Op, Outcome, Query, Renew, Settle
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
PEEK_S = 0.5
"""For reading: somebody looks at a list, no request waits."""
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
    hops: int = 0
    """From how many nodes of a cluster it was sent away."""


Item = Waiting | Settle | Renew
Astray = Callable[[Item, str], None]
"""Takes what a node of a cluster does not have the keys for, and who has them."""


class Batcher:
    """Talks to the store, or to one node of it, for a whole gateway."""

    def __init__(self, store: LimitStore, meters: AdmissionMeters, patience: Patience, name: str = "") -> None:
        self._store = store
        self._meters = meters
        self._patience = patience
        self._name = name
        self._queue: deque[Item] = deque()
        self._settles = 0
        self._wake = asyncio.Event()
        self._fell = asyncio.Event()
        self._closing = asyncio.Event()
        self._retired = False
        self.up = False
        self.gateways = 1
        """How many were alive when the store last said."""
        self.why_down = _NOT_ASKED
        self.local = MemoryLimits()
        """What is counted here while the store is down. Forgotten when it goes down the next time: until then it has
        been settled there."""
        self._complaints = Complaints(log)
        self.on_fall: Callable[[], None] | None = None
        self.on_stray: Astray | None = None

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

    def renew(self, op: Renew) -> None:
        """Forgotten while the store is down: there will be another one."""
        if self.up:
            self._queue.append(op)
            self._wake.set()

    def take_over(self, item: Item) -> None:
        """What another node of the cluster was asked first."""
        if isinstance(item, Settle):
            self.settle(item)
        else:
            self._queue.append(item)
            self._wake.set()

    async def peek(self, queries: Sequence[Query]) -> list[tuple[int, int]]:
        """Of each counter: what is used, and in how many ms it is not any more. Raises StoreUnavailable."""
        if not self.up:
            raise StoreUnavailable(self.why_down)
        return await self._in_time(self._store.peek(queries), PEEK_S)

    async def serve(self) -> None:
        """Until closed; then send what is left."""
        async with background(self.watch()), background(self.send()):
            await self._closing.wait()
        # Bounded: each call has its clock, and the first that fails is the last.
        await self.flush()

    def unsent(self) -> list[Item]:
        """What is queued, taken out of the queue."""
        left, self._queue, self._settles = list(self._queue), deque(), 0
        return left

    def retire(self) -> list[Item]:
        """Close, because this node has left the cluster; returns what was never sent."""
        left = self.unsent()
        self.up, self._retired = False, True
        self.close()
        return left

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
        falls = 0
        while not self._closing.is_set():
            attempt = falls
            while not await self.beat(self._patience.timeout_s):
                if self._closing.is_set():
                    return
                attempt += 1
                await asyncio.sleep(PROBES_S[min(attempt, len(PROBES_S) - 1)])
            try:
                async with asyncio.timeout(BEAT_S):
                    await self._fell.wait()
            except TimeoutError:
                falls = 0
                continue
            # The first time at once; one that falls again each time that it has answered is given pauses.
            await asyncio.sleep(PROBES_S[min(falls, len(PROBES_S) - 1)])
            falls += 1

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
        self._meters.store_up(up=True, lane=self._name)
        return True

    async def _send_batch(self) -> None:
        batch = [self._queue.popleft() for _ in range(min(BATCH_MAX, len(self._queue)))]
        settles = [item for item in batch if isinstance(item, Settle)]
        self._settles -= len(settles)
        self._meters.settlements_wait(self._settles, self._name)
        self._meters.batches.observe(len(batch))
        outcomes: Sequence[Done] = [None] * len(batch)
        done = False
        try:
            ops = [item.op if isinstance(item, Waiting) else item for item in batch]
            outcomes = await self._worked(ops)
            done = True
        except StoreUnavailable as error:
            self._down(error)
        except Exception:
            # An edge: one batch that cannot be sent must not stop all that come after it, nor the gateway.
            log.exception("a batch for the store of limits is given up", extra={"operations": len(batch)})
            done = True
        finally:
            if not done:
                self._keep(settles)
            self._hand_out(batch, outcomes, done=done)

    async def _worked(self, ops: Sequence[Op]) -> Sequence[Done]:
        """Where the store does none of several, each by itself: one that it will never do must not keep others out.

        What is refused alone is given up. Its reservations run out.
        """
        try:
            return await self._in_time(self._store.work(ops), self._patience.timeout_s)
        except OperationsRefused as error:
            now_s = asyncio.get_running_loop().time()
            self._complaints.say(f"the store of limits refused {len(ops)} operations", str(error), now_s)
            if len(ops) == 1 or error.done:
                return [None] * len(ops)
        return [one for op in ops for one in await self._worked([op])]

    def _keep(self, settles: Sequence[Settle]) -> None:
        """Whether the store did them is unknown. Done twice, they count once."""
        if self._retired and self.on_stray is not None:
            for item in settles:
                self.on_stray(item, "")
            return
        self._queue.extendleft(reversed(settles))
        self._settles += len(settles)

    def _hand_out(self, batch: Sequence[Item], outcomes: Sequence[Done], *, done: bool) -> None:
        """Everybody gets their answer. What the store did not do because it is another node's goes there."""
        for item, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, Elsewhere):
                if self.on_stray is not None:
                    self.on_stray(item, outcome.address)
                    continue
                outcome = None  # noqa: PLW2901 - nobody knows where else
            if isinstance(item, Waiting):
                if not item.reply.done():
                    item.reply.set_result(outcome)
            elif done and outcome is None and isinstance(item, Settle):
                self._meters.lost.inc()

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
            self.local.clear()
            log.warning("the store of limits is down: %s", error, extra={"node": self._name})
        self.up, self.why_down = False, str(error)
        self._meters.store_up(up=False, lane=self._name)
        waiting = [item for item in self._queue if isinstance(item, Waiting)]
        self._queue = deque(item for item in self._queue if isinstance(item, Settle))
        self._hand_out(waiting, [None] * len(waiting), done=False)
        self._fell.set()
        if self.on_fall is not None:
            self.on_fall()

    def _forget_oldest(self) -> None:
        for position, item in enumerate(self._queue):
            if isinstance(item, Settle):
                del self._queue[position]
                self._settles -= 1
                self._meters.lost.inc()
                return


@asynccontextmanager
async def open_batcher(
    store: LimitStore, meters: AdmissionMeters, patience: Patience | None = None, gateways: int = 1
) -> AsyncIterator[Batcher]:
    """Asks the store once, then serves whether it is up or not. Sends what is left to settle at the end."""
    batcher = Batcher(store, meters, patience or Patience())
    batcher.gateways = gateways
    await batcher.beat(CLOSING_S)
    async with background(batcher.serve()) as served:
        try:
            yield batcher
        finally:
            batcher.close()
            await asyncio.wait({served})
