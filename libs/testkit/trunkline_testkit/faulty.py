"""A provider that misbehaves on command, byte by byte: no HTTP library stands between a test and the socket."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec

_HEAD_END = b"\r\n\r\n"
_TLS_HANDSHAKE = b"\x16"
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: closing sends RST instead of FIN."""


class Send(msgspec.Struct, frozen=True):
    """These bytes, so often."""

    data: bytes
    times: int = 1


class Drip(msgspec.Struct, frozen=True):
    """These bytes again and again, with a pause after each time, until the client has left."""

    data: bytes
    pause_s: float = 0.01


class Hold(msgspec.Struct, frozen=True):
    """Nothing, until the client has left."""


class Pause(msgspec.Struct, frozen=True):
    """Nothing for a while."""

    seconds: float


class Reset(msgspec.Struct, frozen=True):
    """The connection is thrown away, with RST."""


Step = Send | Drip | Hold | Pause | Reset
Play = tuple[Step, ...]
"""What happens to one request, in order. The connection is closed after it."""


class Asked(msgspec.Struct, frozen=True):
    """One request as it came."""

    path: str
    body: bytes
    at_s: float
    """On the loop's clock."""

    @property
    def name(self) -> str:
        """The first segment of its path: base URLs begin with one, to tell tests apart."""
        return self.path.split("/", 2)[1]

    @property
    def wants_stream(self) -> bool:
        return b'"stream":true' in self.body.replace(b" ", b"")


class FaultyProvider:
    """What `open_faulty_provider` yields."""

    def __init__(self, play_of: Callable[[Asked], Play]) -> None:
        self._play_of = play_of
        self.address = ""
        """Host and port."""
        self.asked: list[Asked] = []
        self.left_s: dict[str, float] = {}
        """By the name of a request, when its client was found to have left; on the loop's clock."""
        self.changed = asyncio.Condition()
        """Notified when a client has asked or has left."""
        self._writers: set[asyncio.StreamWriter] = set()

    def times_asked(self, name: str) -> int:
        """How often a request of this name came."""
        return sum(asked.name == name for asked in self.asked)

    async def wait_until_asked(self, name: str, times: int = 1) -> None:
        """Return when so many requests of this name have come."""
        async with self.changed:
            await self.changed.wait_for(lambda: self.times_asked(name) >= times)

    async def wait_until_left(self, name: str) -> float:
        """When the client of this name left, on the loop's clock, once it has."""
        async with self.changed:
            await self.changed.wait_for(lambda: name in self.left_s)
        return self.left_s[name]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Play for one connection: one request."""
        self._writers.add(writer)
        try:
            asked = await _request(reader)
            if asked is not None:
                await self._noted(asked)
                await self._played(asked, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            # A client that leaves is what some tests are about.
            pass
        finally:
            self._writers.discard(writer)
            with contextlib.suppress(ConnectionError):
                writer.close()
                await writer.wait_closed()

    def stop(self) -> None:
        """Let go of every connection."""
        for writer in self._writers:
            writer.transport.abort()

    async def _noted(self, asked: Asked) -> None:
        async with self.changed:
            self.asked.append(asked)
            self.changed.notify_all()

    async def _played(self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for step in self._play_of(asked):
                await _act(step, reader, writer)
        except ConnectionError:
            async with self.changed:
                self.left_s[asked.name] = asyncio.get_running_loop().time()
                self.changed.notify_all()
            raise


async def _request(reader: asyncio.StreamReader) -> Asked | None:
    """None for what is no HTTP request, such as the beginning of TLS."""
    first = await reader.readexactly(1)
    if first == _TLS_HANDSHAKE:
        return None
    request, *lines = (first + await reader.readuntil(_HEAD_END)).decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines if ": " in line)
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Asked(request.split(" ")[1], body, asyncio.get_running_loop().time())


async def _act(step: Step, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Raises ConnectionError when the client has left."""
    match step:
        case Send(data, times):
            for _ in range(times):
                writer.write(data)
                await writer.drain()
        case Drip(data, pause_s):
            while True:
                writer.write(data)
                await writer.drain()
                await _left_within(reader, pause_s)
        case Hold():
            await _left_within(reader, None)
        case Pause(seconds):
            await _left_within(reader, seconds)
        case Reset():
            connection = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()


async def _left_within(reader: asyncio.StreamReader, seconds: float | None) -> None:
    """Return when the time is over. Raises ConnectionError as soon as the client has left."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while await reader.read(1024):
                pass
            raise ConnectionResetError("the client has left")


@asynccontextmanager
async def open_faulty_provider(play_of: Callable[[Asked], Play]) -> AsyncIterator[FaultyProvider]:
    """Serve on a free port until the block ends; `play_of` says what happens to each request."""
    provider = FaultyProvider(play_of)
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0)
    try:
        host, port = server.sockets[0].getsockname()[:2]
        provider.address = f"{host}:{port}"
        yield provider
    finally:
        server.close()
        provider.stop()
        await server.wait_closed()
