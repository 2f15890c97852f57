"""Uvicorn inside our own event loop: our socket, our signals, our shape of errors."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import uvicorn
from litestar.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from trunkline_gateway.http_errors import problem
from trunkline_gateway.reply import DROP
from trunkline_kit.errors import ConfigError, Conflict, HeadTooLarge, InvalidRequest, TrunklineError
from trunkline_kit.lifecycle import background

KEEP_ALIVE_S = 75
"""Longer than the 60 s that common proxies keep an idle connection, so that they close it, not we."""
BACKLOG = 2048
HEAD_BYTES_MAX = 64 * 1024
"""URL and headers of one request, and what comes of the trailers; checked at each read, of which one may be more."""
HEAD_S = 15.0
"""From a connection, or the first byte of a further request on it, to the end of the head."""
LINGER_S = 2.0
"""How long a refused caller may read why. Closing on what it still sends would take the answer away from it."""


class Protocol(HttpToolsProtocol):
    """Bounds what a caller may make us hold before the application sees a request, in bytes and in time.

    Answers what is not even HTTP in the shape of every other error.
    """

    _held_bytes = 0
    """Received since the parser last passed something on: it keeps, or at least waits for, what comes after them."""
    _timer: asyncio.TimerHandle | None = None
    _fault: HeadTooLarge | None = None
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in the parent
        super().connection_made(transport)
        self._arm(HEAD_S, self.shutdown)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._held_bytes += len(data)
        super().data_received(data)
        if not self._refused and (self._held_bytes or self.cycle.response_complete):
            self._bound()

    def on_headers_complete(self) -> None:
        if self._held_bytes > HEAD_BYTES_MAX and self._head_bytes() > HEAD_BYTES_MAX:
            self._fault = _head_too_large()
            raise self._fault
        self._passed_on()
        self._disarm()
        self.scope[DROP] = self.transport.abort  # type: ignore[literal-required]  # our own key
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._passed_on()
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._passed_on()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(self._fault or InvalidRequest(f"this is not a valid HTTP request: {msg}"))

    def _passed_on(self) -> None:
        self._held_bytes = 0

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers)

    def _bound(self) -> None:
        """After a read that did not end with a request under way."""
        if self._held_bytes > HEAD_BYTES_MAX:
            self._refuse(_head_too_large())
        elif not self._held_bytes:
            # The rest of a body whose answer was given early: the parent has stopped its timer for it.
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        elif self._timer is None and (self.cycle.response_complete or not self.cycle.more_body):
            # The parent's handler for a stop closes an idle connection, and a busy one after its answer.
            self._arm(HEAD_S, self.shutdown)

    def _refuse(self, error: TrunklineError) -> None:
        """Answer and close, and take no more. Behind an answer under way there is no room for one: only close then."""
        self._refused = True
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if self.pipeline or cycle.response_started or not cycle.more_body:
                cycle.keep_alive = False
                return
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.write(_answer(error))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._arm(LINGER_S, self.transport.abort)

    def _arm(self, after_s: float, then: Callable[[], None]) -> None:
        self._disarm()
        self._timer = self.loop.call_later(after_s, then)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _head_too_large() -> HeadTooLarge:
    text = f"URL and headers are larger than {HEAD_BYTES_MAX} bytes together; send what is long in the body"
    return HeadTooLarge(text)


def _answer(error: TrunklineError) -> bytes:
    """The last bytes of a connection."""
    found = problem(error)
    lines = [STATUS_LINE[found.status]]
    for name, value in found.headers:
        lines += [name, b": ", value, b"\r\n"]
    return b"".join([*lines, b"connection: close\r\n\r\n", found.body])


class Server(uvicorn.Server):
    """Leaves the process's signals alone, and says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    def end_requests(self) -> None:
        """Cancel what is in flight and wait for nothing more."""
        self.force_exit = True
        for task in self.server_state.tasks:
            task.cancel()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen_on(address: str, *, share_port: bool = False) -> socket.socket:
    """A bound socket for `host:port`; port 0 takes any free one. `share_port` lets several processes listen on one.

    Raises Conflict for a port that is taken, ConfigError for a host that is not ours.
    """
    host, _, port = address.rpartition(":")
    host = host.strip("[]") or "0.0.0.0"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, int(port)))
    except OSError as error:
        listener.close()
        raise _cannot_listen(address, error) from error
    listener.setblocking(False)
    return listener


def _cannot_listen(address: str, error: OSError) -> Exception:
    reason = error.strerror or str(error)
    if isinstance(error, PermissionError):
        return ConfigError(f"listen.http: may not listen on {address} ({reason}); choose a port from 1024 up")
    if isinstance(error, socket.gaierror) or error.errno is None:
        return ConfigError(f"listen.http: {address} is not an address of this machine ({reason})")
    return Conflict(f"cannot listen on {address}: {reason}; stop what is there, or choose another --port")


def url_of(listener: socket.socket) -> str:
    """Where clients on this machine reach it."""
    host, port = listener.getsockname()[:2]
    if host in {"0.0.0.0", "::"}:
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@asynccontextmanager
async def serving(app: ASGIApp, listener: socket.socket, grace_s: float) -> AsyncIterator[None]:
    """Serve until the block ends; then requests in flight have `grace_s` seconds before they are cancelled."""
    config = uvicorn.Config(
        app,
        loop="none",
        http=Protocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, round(grace_s)),
    )
    server = Server(config)
    async with background(_serve(server, listener)) as task:
        await server.listening.wait()
        try:
            yield
        finally:
            server.should_exit = True
            try:
                await asyncio.shield(task)
            except asyncio.CancelledError:
                # A second stop signal, while requests had their grace.
                server.end_requests()
                await task
                raise


async def _serve(server: Server, listener: socket.socket) -> None:
    await server.serve(sockets=[listener])
