"""One call of the `local:` transport: what client and handler share, and how they wait for each other.

Both sides run on one event loop, so plain fields are enough; a `Signal` wakes whoever waits for a change of them.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from grpc import StatusCode

MetadataItems = tuple[tuple[str, str | bytes], ...]

WINDOW_BYTES = 64 * 1024
"""A stream's buffer: a writer waits while more than this is unread. HTTP/2's initial window, RFC 9113 §6.9.2."""
WINDOW_MESSAGES = 32
"""The same bound for small messages, counted in messages."""


class Signal:
    """Wakes everyone who waits. Costs next to nothing while nobody does."""

    __slots__ = ("_waiters",)

    def __init__(self) -> None:
        self._waiters: list[asyncio.Future[None]] = []

    async def wait(self) -> None:
        """Return at the next `wake`. The caller looks again whether its condition holds."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            raise

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
        "_deadline_timer",
        "callbacks",
        "code",
        "deadline_s",
        "details",
        "initial",
        "locally_cancelled",
        "loop",
        "metadata",
        "requests",
        "response",
        "responses",
        "task",
        "to_client",
        "to_server",
        "trailing",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, metadata: MetadataItems, timeout_s: float | None) -> None:
        self.loop = loop
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
        self._deadline_timer = None if timeout_s is None else loop.call_later(max(0.0, timeout_s), self._expire)

    def finish(self, code: StatusCode, details: str = "", trailing: MetadataItems = ()) -> None:
        """End the call. Later calls of it change nothing."""
        if self.code is not None:
            return
        self.code, self.details, self.trailing = code, details, trailing
        if self.initial is None:
            self.initial = ()
        if self._deadline_timer is not None:
            self._deadline_timer.cancel()
        self.to_client.wake()
        self.to_server.wake()
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

    def time_remaining_s(self) -> float | None:
        """Seconds until the deadline, 0.0 past it, None without one."""
        return None if self.deadline_s is None else max(0.0, self.deadline_s - self.loop.time())

    def on_done(self, callback: Callable[[], None]) -> None:
        """Call back soon after the end; at once if it is over."""
        if self.code is not None:
            self.loop.call_soon(callback)
        else:
            self.callbacks.append(callback)

    def _expire(self) -> None:
        self.cut(StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
