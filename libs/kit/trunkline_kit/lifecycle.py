"""Start and stop of a process: signals, work beside a block, and draining what is under way."""

import asyncio
import gc
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

_CANCEL_AGAIN_S = 2.0
"""Longer than any work of ours takes to end when it was told to."""

COLLECT_AFTER = (10_000, 10, 10)
"""Garbage collector's thresholds; the first is how many objects more than before there have to be. Python's is 700."""

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@asynccontextmanager
async def background(work: Coroutine[Any, Any, T]) -> AsyncIterator[asyncio.Task[T]]:
    """Run `work` beside the block and cancel it at the block's end. If it fails, the block is cancelled and it raises.

    A task group, but with the plain exception instead of a group of one.
    """
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(work)
            try:
                yield task
            finally:
                await _ended(task)
    except BaseExceptionGroup as failed:
        if len(failed.exceptions) > 1:
            raise
        raise failed.exceptions[0] from failed.exceptions[0].__cause__


async def _ended(task: asyncio.Task[Any]) -> None:
    """Cancel until it has ended.

    Once is not enough: on Python 3.11 `asyncio.wait_for`, which redis-py sends with, swallows a cancellation that comes
    in the moment its work is done (python/cpython issue 86296).
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_CANCEL_AGAIN_S)


class StopSignal:
    """Set by the first SIGTERM or SIGINT. The second one cancels the task that asked for signals: no more grace."""

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self._task = task
        self._set = asyncio.Event()
        self.name = ""
        """Of the signal that came, e.g. SIGTERM."""

    @property
    def is_set(self) -> bool:
        return self._set.is_set()

    async def wait(self) -> None:
        """Return when the process is asked to stop."""
        await self._set.wait()

    def receive(self, number: signal.Signals) -> None:
        """What the signal handlers call; also the way to stop from inside."""
        if self._set.is_set():
            self._task.cancel()
            return
        self.name = number.name
        self._set.set()


@contextmanager
def stop_signals() -> Iterator[StopSignal]:
    """Take over SIGTERM and SIGINT for the block; for the main thread's loop. Raises RuntimeError outside a task."""
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("stop_signals needs a task to cancel")
    loop = asyncio.get_running_loop()
    stop = StopSignal(task)
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop.receive, number)
    try:
        yield stop
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)


class Drain:
    """Counts work under way, so that a stopping process can let it finish, and cancel what does not."""

    def __init__(self) -> None:
        self._tasks: dict[asyncio.Task[Any], int] = {}
        self._idle: asyncio.Event | None = None
        self.draining = False
        """Set by `finish`: whoever accepts work looks at it and refuses."""
        self.cancelling = False
        """Set when the grace is over: a cancelled task sees from it that the process stops."""

    @property
    def in_flight(self) -> int:
        """Pieces of work under way."""
        return sum(self._tasks.values())

    @asynccontextmanager
    async def track(self) -> AsyncIterator[None]:
        """Count the block as work under way; its task is the one cancelled when the grace is over."""
        task = self.begin()
        try:
            yield
        finally:
            self.end(task)

    def begin(self) -> asyncio.Task[Any]:
        """`track` without a block, for where every microsecond counts. Pass what it returns to `end`."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("only a task can be drained")
        self._tasks[task] = self._tasks.get(task, 0) + 1
        return task

    def end(self, task: asyncio.Task[Any]) -> None:
        """The piece of work that `begin` returned is done."""
        pieces = self._tasks[task] - 1
        if pieces:
            self._tasks[task] = pieces
            return
        del self._tasks[task]
        if not self._tasks and self._idle is not None:
            self._idle.set()

    async def finish(self, grace_s: float) -> int:
        """Wait for what is under way, at most `grace_s` seconds, then cancel it and wait for its end.

        Returns how many tasks had to be cancelled.
        """
        self.draining = True
        try:
            async with asyncio.timeout(grace_s):
                await self._wait_idle()
        except TimeoutError:
            self.cancelling = True
            cancelled = list(self._tasks)
            for task in cancelled:
                task.cancel()
            await self._wait_idle()
            return len(cancelled)
        return 0

    async def _wait_idle(self) -> None:
        while self._tasks:
            self._idle = asyncio.Event()
            await self._idle.wait()


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run `main` to its end on uvloop where it is installed, else on asyncio's own loop."""
    try:
        from uvloop import new_event_loop  # noqa: PLC0415 - optional: not there on every platform
    except ImportError:
        factory = None
    else:
        factory = new_event_loop
    with long_lived_is_left_alone(), asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main())


@contextmanager
def long_lived_is_left_alone() -> Iterator[None]:
    """The garbage collector passes by what is there now, above all modules, and looks at the rest less often.

    By default it goes over everything again and again while many streams are open: a seventh of the CPU of 512 of them.
    """
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
