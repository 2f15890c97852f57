"""Tasks that belong to no request: started by one, ended with the gateway at the latest."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, NoReturn

log = logging.getLogger(__name__)


class Crew:
    """Works as long as `working` runs. Before and after that nothing can be started."""

    def __init__(self, does: str) -> None:
        self._does = does
        """For the log."""
        self._group: asyncio.TaskGroup | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """Tasks under way."""
        return len(self._tasks)

    @property
    def is_working(self) -> bool:
        return self._group is not None

    async def working(self) -> NoReturn:
        """Runs until it is cancelled, and so are all tasks then; returns when the last one has ended."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                await asyncio.Event().wait()
            finally:
                self._group = None
        raise AssertionError("an event that nobody has was set")

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do this beside everything else. Only while it `is_working`."""
        if self._group is None:
            work.close()
            raise AssertionError("nothing can be started before the gateway is up, or when it ends")
        task = self._group.create_task(self._done(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # Cancelled before its first step, the task would never have got to it.
        task.add_done_callback(lambda _: work.close())
        return task

    async def _done(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:
            # Nobody waits for it, and the others must not end because of it.
            log.exception("%s failed unforeseen", self._does)
