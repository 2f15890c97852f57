"""An answer over HTTP: reads the body, runs the pipeline while watching the connection, writes what comes."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import cast

from litestar.response.base import ASGIResponse
from litestar.types import HTTPRequestEvent, Receive, Scope, Send

from trunkline_gateway.body_room import BodyRoom, Held
from trunkline_gateway.edge import Visit, visit_of
from trunkline_gateway.http_errors import send_problem
from trunkline_gateway.manners import OPENAI, Manner
from trunkline_gateway.sink import Headers
from trunkline_kit.errors import BodyTooLarge, Cancelled, InvalidRequest, TrunklineError, Unavailable

BODY_S = 60.0
"""How long a request's body may take to arrive."""
HEARTBEAT_S = 15.0
"""After this much silence a stream gets a comment, so that proxies on the way keep it open."""
GOODBYE_S = 5.0
"""How long the last words of an answer may wait for a caller that does not read before the connection is dropped."""
DROP = "trunkline_drop"
"""In the scope, where the server has it: a function that closes the connection without sending what is buffered."""

_JSON = [(b"content-type", b"application/json")]
_EVENT_STREAM = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]

_STOPPING = "this gateway is stopping and had to end the request; send it again"
_STOPPED_RETRY_S = 1.0

Work = Callable[["HttpSink", bytes], Awaitable[None]]


class ClientGone(Exception):
    """The connection was closed by the caller. Only ever seen inside this module."""


class Reply(ASGIResponse):
    """What the POST handlers return. Litestar calls it like any other response; it does all the work then.

    The work runs in the request's own task, with one more that waits for the connection to close: when it does, the
    work is cancelled wherever it is, before the first token as well as in mid-stream.
    """

    def __init__(self, work: Work, limit_bytes: int, manner: Manner = OPENAI, held: Held | None = None) -> None:
        # Not calling the parent's: it would build headers for a body that does not exist yet.
        self._work = work
        self._held = held or BodyRoom(limit_bytes).held()
        self._limit_bytes = limit_bytes
        self._manner = manner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await read_body(visit_of(scope), receive, self._limit_bytes, self._held)
            await self._answer(body, scope, receive, send)
        finally:
            self._held.release()

    async def _answer(self, body: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        sink: HttpSink | None = None
        try:
            async with asyncio.TaskGroup() as group:
                watcher = group.create_task(_until_gone(receive))
                sink = HttpSink(send, group, watcher, self._manner)
                try:
                    await self._work(sink, body)
                except asyncio.CancelledError:
                    if sink.caller_left:
                        raise
                    # The gateway stops and the grace is over; the caller is still there and hears why.
                    await sink.give_up(Unavailable(_STOPPING, retry_after_s=_STOPPED_RETRY_S))
                finally:
                    sink.close()
        except BaseExceptionGroup as failed:
            if sink is not None and sink.stalled:
                await _drop(scope, receive)
            elif (error := _other_than_gone(failed)) is not None:
                raise error from error.__cause__


def _other_than_gone(failed: BaseExceptionGroup[BaseException]) -> BaseException | None:
    """What went wrong, plainly; None where the caller has left and nobody is there to hear it."""
    if any(isinstance(error, ClientGone) for error in failed.exceptions):
        return None
    return failed.exceptions[0]


async def _drop(scope: Scope, receive: Receive) -> None:
    """Close the connection now, and return when the server knows: it takes the answer for incomplete before that.

    A plain close would wait until the caller has read what is buffered, which is what it does not do.
    """
    abort = cast("Callable[[], None] | None", scope.get(DROP))
    if abort is not None:
        abort()
        with contextlib.suppress(ClientGone):
            await _until_gone(receive)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    raise ClientGone


async def read_body(visit: Visit, receive: Receive, limit_bytes: int, held: Held | None = None) -> bytes:
    """The whole body, `held` as it comes.

    Raises BodyTooLarge as soon as that is known, Overloaded where there is no room for it, InvalidRequest for one that
    cannot be read.
    """
    held = held or BodyRoom(limit_bytes).held()
    held.expect(_announced(visit, limit_bytes))
    try:
        async with asyncio.timeout(BODY_S):
            return await _body(receive, limit_bytes, held)
    except TimeoutError as error:
        raise InvalidRequest(f"the body did not arrive within {BODY_S:g} s") from error


def _announced(visit: Visit, limit_bytes: int) -> int:
    """The length in the head; 0 where there is none."""
    length = visit.header(b"content-length")
    if length and (not length.isdigit() or len(length) > 18):
        raise InvalidRequest("content-length is not a number")
    if length and int(length) > limit_bytes:
        raise _too_large(limit_bytes)
    kind = visit.header(b"content-type").lower()
    if kind and not kind.startswith(b"application/json") and b"json" not in kind:
        raise InvalidRequest("the body must be JSON: send content-type: application/json")
    encoding = visit.header(b"content-encoding")
    if encoding and encoding != b"identity":
        raise InvalidRequest("compressed bodies are not supported: send it without content-encoding")
    return int(length or 0)


async def _body(receive: Receive, limit_bytes: int, held: Held) -> bytes:
    pieces: list[bytes] = []
    size_bytes = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidRequest("the connection closed before the body was complete")
        piece = cast("HTTPRequestEvent", message)["body"]
        size_bytes += len(piece)
        if size_bytes > limit_bytes:
            raise _too_large(limit_bytes)
        held.grow(size_bytes)
        pieces.append(piece)
        if not message.get("more_body", False):
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _too_large(limit_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body is larger than {limit_bytes} bytes, the limit of this gateway")


class HttpSink:
    """Writes one answer. Keeps a silent stream alive with comments."""

    def __init__(
        self, send: Send, group: asyncio.TaskGroup, watcher: asyncio.Task[None], manner: Manner = OPENAI
    ) -> None:
        self._send = send
        self._manner = manner
        self._group = group
        self._watcher = watcher
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._pinging: asyncio.Task[None] | None = None
        self._written_s = 0.0
        self._began = False
        self._streams = False
        self.stalled = False
        """The caller did not read, so that the answer could not be ended."""

    @property
    def caller_left(self) -> bool:
        """Whether the connection was closed from the other side."""
        return self._watcher.done() and not self._watcher.cancelled()

    async def give_up(self, error: TrunklineError) -> None:
        """End the answer wherever it is: as an error if it has not begun, as a broken stream if it is one.

        Raises Cancelled where the caller does not read.
        """
        if self._streams:
            await self.broken(error)
        elif not self._began:
            self._began = True
            await self._bounded(send_problem(self._manner.problem(error), self._send))

    async def whole(self, body: bytes, headers: Headers) -> None:
        self._watcher.cancel()
        length = (b"content-length", b"%d" % len(body))
        await self._start([*_JSON, length, *_raw(headers)])
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def open(self, headers: Headers) -> None:
        await self._start([*_EVENT_STREAM, *_raw(headers)])
        self._streams = True
        self._written_s = self._loop.time()
        self._arm(HEARTBEAT_S)

    async def events(self, chunks: list[bytes]) -> None:
        self._written_s = self._loop.time()
        await self._write(self._manner.joined(chunks))

    async def done(self) -> None:
        await self._last(self._manner.end)

    async def broken(self, error: TrunklineError) -> None:
        await self._last(self._manner.broken(error))

    def close(self) -> None:
        """Stop watching and pinging."""
        self._watcher.cancel()
        if self._timer is not None:
            self._timer.cancel()
        if self._pinging is not None:
            self._pinging.cancel()

    async def _start(self, headers: list[tuple[bytes, bytes]]) -> None:
        self._began = True
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def _write(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def _last(self, data: bytes) -> None:
        """From here on a closed connection is no reason to stop: everything has been said. Raises Cancelled."""
        self.close()
        self._streams = False
        await self._bounded(self._send({"type": "http.response.body", "body": data, "more_body": False}))

    async def _bounded(self, goodbye: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(GOODBYE_S):
                await goodbye
        except TimeoutError as error:
            self.stalled = True
            raise Cancelled("the caller stopped reading") from error

    def _arm(self, after_s: float) -> None:
        self._timer = self._loop.call_later(after_s, self._beat)

    def _beat(self) -> None:
        silent_s = self._loop.time() - self._written_s
        if silent_s >= HEARTBEAT_S:
            self._written_s = self._loop.time()
            if self._pinging is None or self._pinging.done():
                self._pinging = self._group.create_task(self._ping())
            silent_s = 0.0
        self._arm(HEARTBEAT_S - silent_s)

    async def _ping(self) -> None:
        if self._streams:
            await self._write(self._manner.ping)


def _raw(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers]
