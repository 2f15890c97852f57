"""A provider's events as they come over HTTP: one by one, or kept until the end and taken together."""

import asyncio
from typing import Protocol

import aiohttp

from trunkline_gateway.sse import EVENT_BYTES_MAX
from trunkline_kit.errors import UpstreamError
from trunkline_kit.redaction import REDACTED
from trunkline_kit.secrets import Secret

END_OF_BODY_S = 1.0
"""How long a provider may take to end a body after its last event, while the caller has all of it already."""
PIECES_BYTES_MAX = 64 * 1024 * 1024
"""Of one whole answer, kept until its end."""
GULP_BYTES = 32 * 1024
"""Of one read: a provider that sends so much at once is not waited for, since there is nothing to save."""
_TAIL_BYTES = 32
"""Of what was read last: enough for a short last event and its blank lines."""


class EventParser(Protocol):
    """Cuts a body into the data of its events. May raise UpstreamError for what is none of its kind."""

    def feed(self, data: bytes) -> list[bytes]: ...

    def close(self) -> list[bytes]: ...


class EventReader:
    """The data of a stream's events, as they arrive."""

    __slots__ = (
        "_ended",
        "_events",
        "_gulp_bytes",
        "_key",
        "_long_bytes",
        "_parser",
        "_pieces",
        "_provider",
        "_reply",
        "_size_bytes",
        "_tail",
    )

    def __init__(self, provider: str, reply: aiohttp.ClientResponse, key: Secret, parser: EventParser) -> None:
        self._provider = provider
        self._reply = reply
        self._key = key
        self._parser = parser
        self._ended = False
        self._pieces: list[bytes] = []
        """Read, and not looked at."""
        self._size_bytes = 0
        self._events = 0
        self._gulp_bytes = 0
        """Of the last read."""
        self._long_bytes = 0
        """That came since an event began."""
        self._tail = b""

    async def next(self) -> list[bytes] | None:
        """What has arrived since; None at the end. Raises UpstreamError."""
        while not self._ended:
            piece = await self._read()
            self._ended = not piece
            found = self._parser.feed(piece) if piece else self._parser.close()
            if found:
                return found
        return None

    async def more(self, pause_s: float, ends: tuple[bytes, ...]) -> int | None:
        """Read more and only keep it, after a pause; how many events came so far, None at the end.

        The last event's line is one of `ends`. Raises UpstreamError.
        """
        if self._ended:
            return None
        if pause_s and self._gulp_bytes < GULP_BYTES:
            await self._pause(pause_s)
        piece = await self._read()
        self._measure(piece)
        self._pieces.append(piece)
        self._tail = (self._tail + piece)[-_TAIL_BYTES:]
        self._ended = not piece or self._tail.rstrip(b"\r\n").endswith(ends)
        return self._events

    def _measure(self, piece: bytes) -> None:
        """Raises UpstreamError where all of it, or one event, is longer than any answer is."""
        self._gulp_bytes = len(piece)
        self._size_bytes += len(piece)
        if self._size_bytes > PIECES_BYTES_MAX:
            raise UpstreamError(f"provider {self._provider!r} sent an answer of more than {PIECES_BYTES_MAX} bytes")
        begun = piece.count(b"data:")
        self._events += begun
        self._long_bytes = len(piece) if begun else self._long_bytes + len(piece)
        if self._long_bytes > EVENT_BYTES_MAX and self._long_bytes > self._gulp_bytes:
            raise UpstreamError(f"provider {self._provider!r} sent an event of more than {EVENT_BYTES_MAX} bytes")

    def rest(self) -> list[bytes]:
        """The data of all events that `more` has read."""
        found = self._parser.feed(b"".join(self._pieces))
        self._pieces = []
        # Cut short, the last event would only be half of one.
        return found + self._parser.close() if self._ended else found

    async def _read(self) -> bytes:
        try:
            return await self._reply.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamError(f"provider {self._provider!r} was cut off in mid-stream") from error

    async def _pause(self, pause_s: float) -> None:
        """Let pieces pile up in the socket: each one that is read as it comes costs a turn of the event loop."""
        connection = self._reply.connection
        protocol = connection.protocol if connection is not None else None
        if protocol is None:
            return
        protocol.pause_reading()
        try:
            await asyncio.sleep(pause_s)
        finally:
            protocol.resume_reading()

    def without_key(self, said: bytes) -> bytes:
        """What a provider says of an error, without our key."""
        return without(self._key, said)

    async def release(self) -> None:
        """Only the body's end is left to read, and the connection can serve the next request."""
        content = self._reply.content
        try:
            async with asyncio.timeout(END_OF_BODY_S):
                while not content.at_eof():
                    await content.readany()
        except (TimeoutError, aiohttp.ClientError, OSError):
            self._reply.close()

    def cut(self) -> None:
        self._reply.close()


def without(key: Secret, said: bytes) -> bytes:
    """What a provider says of an error, without our key: some repeat it, and the caller may get to read it."""
    value = key.reveal().encode()
    return said.replace(value, REDACTED.encode()) if value else said
