"""Runs the texts of many calls through one encoder, together where that helps. One thread computes, the loop waits.

A call that comes alone runs at once. While a run is under way others gather by themselves. Only when several callers
were there the last time, fewer are now, and nothing runs, is the next run held back: they are likely to come again
within the window, and would otherwise be split into a run of one and a run of the rest for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from trunkline_kit.clock import Clock
from trunkline_kit.errors import DeadlineExceeded
from trunkline_kit.lifecycle import background
from trunkline_worker.row_queue import Place, RowQueue, RunConfig
from trunkline_worker.texts import TokenRow

Rows: TypeAlias = NDArray[np.float32]

WINDOW_S = 0.005
"""What a run waits for callers who were there a moment ago, at most."""


class RowModel(Protocol):
    """What computes."""

    def run(self, rows: Sequence[TokenRow]) -> Rows:
        """One row of numbers for each row of tokens. For one thread at a time."""


class _Call:
    """Somebody who waits for rows."""

    def __init__(self, rows: Sequence[TokenRow], deadline_s: float | None, done: asyncio.Future[list[Rows]]) -> None:
        self.rows = rows
        self.deadline_s = deadline_s
        self.done = done
        self.found: list[Rows | None] = [None] * len(rows)

    def take(self, index: int, row: Rows) -> None:
        self.found[index] = row
        made = [one for one in self.found if one is not None]
        if len(made) == len(self.found) and not self.done.done():
            self.done.set_result(made)


class RowRuns:
    """All methods belong to the event loop that opened it."""

    def __init__(self, model: RowModel, executor: ThreadPoolExecutor, config: RunConfig, clock: Clock) -> None:
        self._model = model
        self._executor = executor
        self._clock = clock
        self._queue = RowQueue(config)
        self._calls: dict[int, _Call] = {}
        self._numbers = 0
        self._callers = 1
        """Who was there when the last run began."""
        self._came = asyncio.Event()
        self.runs = 0

    @property
    def waiting(self) -> int:
        """Calls here, those included whose texts run."""
        return len(self._calls)

    async def run(self, rows: Sequence[TokenRow], deadline_s: float | None = None) -> Rows:
        """A row of numbers for each row of ids, in order. Raises DeadlineExceeded, and whatever the model raised."""
        self._numbers += 1
        number, done = self._numbers, asyncio.get_running_loop().create_future()
        self._calls[number] = _Call(rows, deadline_s, done)
        self._queue.push(number, [len(row.ids) for row in rows])
        self._came.set()
        try:
            return np.stack(await done)
        finally:
            self._queue.drop(number)
            del self._calls[number]

    async def serve(self) -> None:
        """Run what waits, for ever."""
        while True:
            idle = not self._queue.calls
            await self._came.wait()
            if idle and self._queue.calls < self._callers:
                await self._hold_back()
            self._expire()
            # Those whose texts have all been taken run now; who is not here yet cannot be counted.
            self._callers = max(1, self._queue.calls)
            places = self._queue.take()
            self._came.clear()
            if places:
                await self._compute(places)
            if self._queue.calls:
                self._came.set()

    async def _hold_back(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(WINDOW_S):
                while self._queue.calls < self._callers:
                    self._came.clear()
                    await self._came.wait()

    def _expire(self) -> None:
        now_s = self._clock.monotonic_s()
        for number, call in self._calls.items():
            if call.deadline_s is not None and call.deadline_s <= now_s and not call.done.done():
                call.done.set_exception(DeadlineExceeded("the time allowed was over before the texts' turn came"))
                self._queue.drop(number)

    async def _compute(self, places: Sequence[Place]) -> None:
        self.runs += 1
        rows = [self._calls[place.call].rows[place.index] for place in places]
        try:
            made = await asyncio.get_running_loop().run_in_executor(self._executor, self._model.run, rows)
        except Exception as error:  # noqa: BLE001 - not swallowed: it goes to those who wait for these texts
            self._fail({place.call for place in places}, error)
            return
        for place, row in zip(places, made, strict=True):
            call = self._calls.get(place.call)
            if call is not None:
                call.take(place.index, row)

    def _fail(self, numbers: set[int], error: Exception) -> None:
        for number in numbers:
            self._queue.drop(number)
            call = self._calls.get(number)
            if call is not None and not call.done.done():
                call.done.set_exception(error)


@asynccontextmanager
async def open_runs(model: RowModel, config: RunConfig, clock: Clock) -> AsyncIterator[RowRuns]:
    """Runs with their thread, for the block; at its end the running one is waited for, others are dropped."""
    executor = ThreadPoolExecutor(1, thread_name_prefix="encoder")
    runs = RowRuns(model, executor, config, clock)
    try:
        async with background(runs.serve()):
            yield runs
    finally:
        await asyncio.to_thread(executor.shutdown, wait=True, cancel_futures=True)
