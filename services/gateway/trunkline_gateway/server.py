"""Uvicorn inside our own event loop: our socket, our signals, our shape of errors."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import uvicorn
from litestar.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from trunkline_gateway.http_errors import problem
from trunkline_kit.errors import ConfigError, Conflict, InvalidRequest
from trunkline_kit.lifecycle import background

KEEP_ALIVE_S = 75
"""Longer than the 60 s that common proxies keep an idle connection, so that they close it, not we."""
BACKLOG = 2048
HEAD_BYTES_MAX = 64 * 1024


class Protocol(HttpToolsProtocol):
    """Answers what is not even HTTP in the shape of every other error."""

    def send_400_response(self, msg: str) -> None:
        found = problem(InvalidRequest(f"this is not a valid HTTP request: {msg}"))
        lines = [STATUS_LINE[found.status]]
        for name, value in found.headers:
            lines += [name, b": ", value, b"\r\n"]
        lines += [b"connection: close\r\n\r\n", found.body]
        self.transport.write(b"".join(lines))
        self.transport.close()


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
