"""One call of the `local:` transport: what client and handler share, and how they wait for each other.

Both sides run on one event loop, so plain fields are enough; a `Signal` wakes whoever waits for a change of them.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import grpc
from grpc import StatusCode

EOF: Final[Any] = grpc.aio.EOF  # type: ignore[attr-defined]  # the stubs forget it
"""What `read` returns after the last message."""

MetadataItems = tuple[tuple[str, str | bytes], ...]

WINDOW_BYTES = 64 * 1024
"""A stream's buffer: a writer waits while more than this is unread. HTTP/2's initial window, RFC 9113 §6.9.2."""
WINDOW_MESSAGES = 32
"""The same bound for small messages, counted in messages."""

_CLOCK_RESOLUTION_S = 0.001

_WAITERS_KEPT = 8
"""From this many on, those that were cancelled while waiting are looked for and forgotten."""


class Signal:
    """Wakes everyone who waits. Costs next to nothing while nobody does."""

    __slots__ = ("_waiters",)

    def __init__(self) -> None:
        self._waiters: list[asyncio.Future[None]] = []

    def waiter(self) -> asyncio.Future[None]:
        """Done at the next `wake`. Who awaits it looks again whether its condition holds."""
        if len(self._waiters) >= _WAITERS_KEPT:
            self._waiters = [waiter for waiter in self._waiters if not waiter.done()]
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        return waiter

    def wake(self) -> None:
        """Let every present waiter go on."""
        if not self._waiters:
            return
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


class Pipe:
    """Serialised messages on their way in one direction, within a window of bytes and of messages."""

    __slots__ = ("_messages", "_size_bytes", "ended")

    def __init__(self) -> None:
        self._messages: deque[bytes] = deque()
        self._size_bytes = 0
        self.ended = False

    def __bool__(self) -> bool:
        return bool(self._messages)

    @property
    def full(self) -> bool:
        """Whether a writer has to wait. One message always fits, however long."""
        return self._size_bytes >= WINDOW_BYTES or len(self._messages) >= WINDOW_MESSAGES

    @property
    def half_empty(self) -> bool:
        """Whether it is time to wake a writer: not for each message, which would cost a switch of tasks each."""
        return self._size_bytes * 2 <= WINDOW_BYTES and len(self._messages) * 2 <= WINDOW_MESSAGES

    def push(self, message: bytes) -> None:
        self._messages.append(message)
        self._size_bytes += len(message)

    def pop(self) -> bytes:
        message = self._messages.popleft()
        self._size_bytes -= len(message)
        return message

    def clear(self) -> None:
        self._messages.clear()
        self._size_bytes = 0


class Exchange:
    """The state of one call. Ends exactly once, by `finish`; who ends it first decides the status."""

    __slots__ = (
        "callbacks",
        "code",
        "deadline_s",
        "details",
        "initial",
        "locally_cancelled",
        "loop",
        "max_message_bytes",
        "metadata",
        "on_finish",
        "requests",
        "response",
        "responses",
        "task",
        "to_client",
        "to_server",
        "trailing",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        metadata: MetadataItems,
        timeout_s: float | None,
        max_message_bytes: int,
    ) -> None:
        self.loop = loop
        self.max_message_bytes = max_message_bytes
        self.metadata = metadata
        self.deadline_s = None if timeout_s is None else loop.time() + timeout_s
        """On the loop's clock."""
        self.code: StatusCode | None = None
        """None while the call runs."""
        self.details = ""
        self.initial: MetadataItems | None = None
        self.trailing: MetadataItems = ()
        self.locally_cancelled = False
        self.response: bytes | None = None
        self.requests = Pipe()
        self.responses = Pipe()
        self.to_client = Signal()
        self.to_server = Signal()
        self.task: asyncio.Task[None] | None = None
        self.callbacks: list[Callable[[], None]] = []
        self.on_finish: Callable[[], None] | None = None
        """The server's count of calls that are open."""

    def finish(self, code: StatusCode, details: str = "", trailing: MetadataItems = ()) -> None:
        """End the call. Later calls of it change nothing."""
        if self.code is not None:
            return
        self.code, self.details, self.trailing = code, details, trailing
        if self.initial is None:
            self.initial = ()
        self.to_client.wake()
        self.to_server.wake()
        if self.on_finish is not None:
            self.on_finish()
        if self.callbacks:
            for callback in self.callbacks:
                self.loop.call_soon(callback)
            self.callbacks.clear()

    def cut(self, code: StatusCode, details: str) -> None:
        """End the call from outside its handler: what is buffered is dropped, the handler is cancelled."""
        if self.code is not None:
            return
        self.responses.clear()
        self.requests.clear()
        self.finish(code, details)
        if self.task is not None:
            self.task.cancel()

    def check_size(self, message: bytes) -> None:
        """End the call with RESOURCE_EXHAUSTED, in the gRPC library's own words, if `message` is too long to arrive."""
        if len(message) > self.max_message_bytes:
            limit = f"({len(message)} vs. {self.max_message_bytes})"
            self.cut(StatusCode.RESOURCE_EXHAUSTED, f"Received message larger than max {limit}")

    def time_remaining_s(self) -> float | None:
        """Seconds until the deadline, 0.0 past it, None without one."""
        return None if self.deadline_s is None else max(0.0, self.deadline_s - self.loop.time())

    def on_done(self, callback: Callable[[], None]) -> None:
        """Call back soon after the end; at once if it is over."""
        if self.code is not None:
            self.loop.call_soon(callback)
        else:
            self.callbacks.append(callback)

    def expire(self) -> None:
        """End the call for want of time."""
        self.cut(StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")


class Deadlines:
    """Ends the calls of one server when their time is over, with one timer for all: most calls end long before.

    The timer is set for the earliest deadline and looks through the open calls when it goes off: O(open calls), at
    most once for each deadline that was the earliest when its call began.
    """

    __slots__ = ("_due_s", "_loop", "_open", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._open: set[Exchange] = set()
        self._due_s = float("inf")
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._open)

    def add(self, exchange: Exchange) -> None:
        """Watch `exchange` until it ends."""
        self._open.add(exchange)
        exchange.on_finish = partial(self._open.discard, exchange)
        if exchange.deadline_s is not None and exchange.deadline_s < self._due_s:
            self._set(exchange.deadline_s)

    def close(self) -> None:
        """Stop watching."""
        if self._timer is not None:
            self._timer.cancel()

    def _set(self, due_s: float) -> None:
        self.close()
        self._due_s = due_s
        self._timer = self._loop.call_at(due_s, self._look)

    def _look(self) -> None:
        # The loop may call a little early, by the resolution of its clock.
        now_s = self._loop.time() + _CLOCK_RESOLUTION_S
        self._due_s = float("inf")
        limited = [(exchange.deadline_s, exchange) for exchange in self._open if exchange.deadline_s is not None]
        for deadline_s, exchange in limited:
            if deadline_s <= now_s:
                exchange.expire()
        later = [deadline_s for deadline_s, exchange in limited if exchange.code is None]
        if later:
            self._set(min(later))
