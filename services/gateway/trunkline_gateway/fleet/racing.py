"""Two attempts of which the first one to say something wins; the other is ended."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from trunkline_gateway.providers.base import AttemptFailed

T = TypeVar("T")
Start = Callable[[], Awaitable[T]]


class Lane(Generic[T]):
    """One attempt: under way, or what came of it."""

    __slots__ = ("failed", "raised", "result", "task", "won")

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.result: T | None = None
        self.won = False
        self.failed: AttemptFailed | None = None
        self.raised: BaseException | None = None
        """What ends the request, whatever the other one does."""

    async def run(self, start: Start[T]) -> None:
        """Never raises but for a cancellation: the other attempt must not hear of it."""
        try:
            self.result = await start()
            self.won = True
        except AttemptFailed as failed:
            self.failed = failed
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
            self.raised = error

    @property
    def over(self) -> bool:
        return self.won or self.failed is not None or self.raised is not None


async def race(first: Start[T], after_s: float, second: Callable[[], Start[T] | None]) -> T:
    """What the first to succeed says. `second` is asked for another attempt once `after_s` have passed in silence.

    An attempt that fails leaves the race to the other one. Raises AttemptFailed, the last one, when both have failed;
    anything else that one raises at once. The loser is cancelled, and is over when this returns; should both succeed at
    one moment, it is for the caller to know what the second one has left open.
    """
    lanes: list[Lane[T]] = [Lane()]
    async with asyncio.TaskGroup() as group:
        lanes[0].task = group.create_task(lanes[0].run(first))
        done, _ = await asyncio.wait({lanes[0].task}, timeout=after_s)
        if not done and (start := second()) is not None:
            lanes.append(Lane())
            lanes[1].task = group.create_task(lanes[1].run(start))
        await _settled(lanes)
        for lane in lanes:
            if lane.task is not None and not lane.over:
                lane.task.cancel()
    for lane in lanes:
        if lane.won and lane.result is not None:
            return lane.result
    for lane in lanes:
        if lane.raised is not None:
            raise lane.raised
    raise lanes[-1].failed or AssertionError("a race without an end")


async def _settled(lanes: "list[Lane[T]]") -> None:
    """Until one has won, or ends the request, or all have failed."""
    while not any(lane.won or lane.raised for lane in lanes):
        running = {lane.task for lane in lanes if lane.task is not None and not lane.over}
        if not running:
            return
        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
