"""Answers whose callers have left, read on to their end because the provider charges for them anyway.

What they used is known then as the provider reports it, instead of estimated. Whoever hangs up keeps what it holds
until then, such as its place under a limit of requests at once: the provider still works for it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge

from trunkline_gateway.beside.crew import Crew
from trunkline_gateway.body_room import Held

T = TypeVar("T")
READ, REFUSED = "read", "refused"
RESULTS = (READ, REFUSED)
Rest = Callable[[], Awaitable[None]]
"""Reads what is left of an answer, and notes what it used."""


class Drains:
    """Of one gateway process. At most `limit` answers at once; a caller who leaves when there are as many cancels."""

    def __init__(self, limit: int = 0, registry: CollectorRegistry | None = None) -> None:
        self.limit = limit
        """May be changed while answers are read."""
        self.crew = Crew("reading on for a caller who has left")
        self._rests = 0
        self._drained = Counter(
            "trunkline_gateway_drained_answers",
            "Answers that are charged for though their callers have left: read on, or refused for want of room.",
            ("result",),
            registry=registry,
        )
        self._busy = Gauge("trunkline_gateway_draining_answers", "Answers that are read on now.", registry=registry)

    def take(self) -> bool:
        """Whether one more answer may be read on. If so, `read` must follow."""
        has_room = self.crew.is_working and self._rests < self.limit
        self._drained.labels(READ if has_room else REFUSED).inc()
        return has_room

    def read(self, rest: Rest, settle: Callable[[], None], held: Held | None = None) -> None:
        """Read on, and settle the request then, whatever comes of it. Its body stays `held` until then."""
        self._rests += 1
        if held is not None:
            settle = _and_release(settle, held.keep())
        self._busy.inc()
        if self.crew.is_working:
            self.crew.start(self._read(rest, settle))
        else:
            self._over(settle)

    async def _read(self, rest: Rest, settle: Callable[[], None]) -> None:
        try:
            await rest()
        finally:
            self._over(settle)

    def _over(self, settle: Callable[[], None]) -> None:
        self._rests -= 1
        self._busy.dec()
        settle()


def _and_release(settle: Callable[[], None], held: Held) -> Callable[[], None]:
    def settled() -> None:
        try:
            settle()
        finally:
            held.release()

    return settled


class Undisturbed(Generic[T]):
    """Work in a task of its own, which a caller who leaves may leave behind."""

    def __init__(self, crew: Crew, work: Coroutine[Any, Any, T]) -> None:
        self._result: T | None = None
        self._raised: Exception | None = None
        self._task = crew.start(self._run(work))
        self._task.add_done_callback(lambda _: work.close())

    async def result(self) -> T:
        """What it comes to. Cancelled, it leaves the work under way: for `end`, or for another `result`."""
        await asyncio.shield(self._task)
        if self._raised is not None:
            raise self._raised
        if self._result is None:
            raise asyncio.CancelledError
        return self._result

    async def end(self) -> T | None:
        """Cancel it; returns when it has ended, with the result if there was one already."""
        self._task.cancel()
        await asyncio.wait({self._task})
        return self._result

    async def _run(self, work: Coroutine[Any, Any, T]) -> None:
        try:
            self._result = await work
        except Exception as error:  # noqa: BLE001 - raised again by whoever waits
            self._raised = error
