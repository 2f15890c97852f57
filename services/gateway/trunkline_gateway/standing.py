"""Requests that are under way, and ending those whose key has stopped."""

import asyncio
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from trunkline_gateway.callers import Caller
from trunkline_kit.errors import KeyRevoked, Overloaded

_RETRY_S = 1.0
WhyStopped = Callable[[Caller], str]
"""Why a caller's requests may not go on; empty where they may."""


class Standing:
    """One request that is under way. Used by the task that it belongs to, cut by any other."""

    __slots__ = ("_cancelling", "_depth", "_is_over", "_is_taken_back", "_is_told", "_task", "caller", "cut_because")

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.cut_because = ""
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._depth = 0
        self._is_told = False
        self._is_taken_back = False
        self._is_over = False

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Inside, a cut raises KeyRevoked. May be nested: the innermost one that is open raises it."""
        if not self._depth:
            task = self._task = asyncio.current_task()
            self._cancelling = task.cancelling() if task is not None else 0
        self._depth += 1
        try:
            yield
        except asyncio.CancelledError as error:
            if not self._is_told and self._is_only_cut():
                self._is_told = True
                raise KeyRevoked(self.cut_because) from error
            raise
        finally:
            self._depth -= 1
            if not self._depth:
                self._task = None

    def cut(self, why: str) -> None:
        """End it. Done twice it is done once; done when all was said, nothing."""
        if self._task is not None and not self.cut_because and not self._is_over:
            self.cut_because = why
            self._task.cancel()

    def over(self) -> None:
        """The caller has the whole answer: what is left to do is not cut."""
        self._is_over = True

    def _is_only_cut(self) -> bool:
        """Whether the cancellation is ours alone: a caller who leaves at the same moment goes first."""
        if not self.cut_because or self._task is None:
            return False
        if not self._is_taken_back:
            self._is_taken_back = True
            self._task.uncancel()
        return self._task.cancelling() <= self._cancelling


class OpenRequests:
    """All requests of this gateway that are under way."""

    def __init__(self) -> None:
        self._open: set[Standing] = set()
        self._streams: set[Standing] = set()
        self.streams_max = math.inf
        """May be changed while requests run."""

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def entered(self, standing: Standing) -> Iterator[None]:
        """Count it in for the block, in which a cut raises KeyRevoked."""
        self._open.add(standing)
        try:
            with standing.scope():
                yield
        finally:
            self._open.discard(standing)
            self._streams.discard(standing)

    def stream(self, standing: Standing) -> None:
        """It is going to be a stream. Raises Overloaded where there are as many as may be."""
        if len(self._streams) >= self.streams_max:
            text = f"this gateway is busy with {self.streams_max} streams, its limit; try again"
            raise Overloaded(text, retry_after_s=_RETRY_S)
        self._streams.add(standing)

    def sweep(self, why_stopped: WhyStopped) -> int:
        """Cut those whose key has stopped; returns how many."""
        cut = 0
        for standing in tuple(self._open):
            if not standing.cut_because and (why := why_stopped(standing.caller)):
                standing.cut(why)
                cut += 1
        return cut
