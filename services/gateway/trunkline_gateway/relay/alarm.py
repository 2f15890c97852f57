"""A time limit that moves with every event of a stream, for the price of an attribute.

`asyncio.timeout` makes and cancels a timer at each move, which was a tenth of what passing an event on costs. Here a
timer that is due looks whether the limit has moved on, and if it has, is set again: once per limit, not per event.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Alarm:
    """Of one task. Times are those of the loop's clock."""

    __slots__ = ("_armed_s", "_clock", "_due_s", "_loop", "_rang", "_timer")

    def __init__(self, clock: asyncio.Timeout, due_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._clock = clock
        self._rang = False
        self._due_s = due_s
        self._arm()

    def move(self, due_s: float) -> None:
        """From now on it is then, earlier or later."""
        self._due_s = due_s
        if self._rang:
            # What it waited for came in the same turn of the loop.
            self._rang = False
            self._clock.reschedule(None)
            self._arm()
        elif due_s < self._armed_s:
            self._timer.cancel()
            self._arm()

    def close(self) -> None:
        self._timer.cancel()

    def _arm(self) -> None:
        self._armed_s = self._due_s
        self._timer = self._loop.call_at(self._due_s, self._look)

    def _look(self) -> None:
        if self._due_s > self._armed_s:
            self._arm()
            return
        self._rang = True
        self._clock.reschedule(self._loop.time())


@asynccontextmanager
async def alarm(due_s: float) -> AsyncIterator[Alarm]:
    """Raises TimeoutError in the block when the alarm's time has come, as `asyncio.timeout_at` does."""
    async with asyncio.timeout(None) as clock:
        found = Alarm(clock, due_s)
        try:
            yield found
        finally:
            found.close()
