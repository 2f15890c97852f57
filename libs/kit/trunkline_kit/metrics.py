"""Metrics of one process: its own registry, and the page that Prometheus reads."""

import asyncio
import platform
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol

from prometheus_client import CollectorRegistry, Info
from prometheus_client.exposition import choose_encoder
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from trunkline_kit.errors import Conflict
from trunkline_kit.rpc.address import parse_tcp

_REQUEST_BYTES_MAX = 8192
_REQUEST_TIMEOUT_S = 5.0


class Metrics:
    """The registry of one process. Services put their own metrics into it; names start with `trunkline_`."""

    def __init__(self, service: str) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        build = Info("trunkline_build", "What runs here.", registry=self.registry)
        build.info({"service": service, "version": _version(), "python": platform.python_version()})

    def page(self, accept: str = "") -> tuple[bytes, str]:
        """The exposition and its content type, as `accept` asks for."""
        return page_of(self.registry, accept)


def page_of(registry: CollectorRegistry, accept: str = "") -> tuple[bytes, str]:
    """The exposition of a registry and its content type, as `accept` asks for. Reads files: not on an event loop."""
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def _version() -> str:
    try:
        return version("trunkline")
    except PackageNotFoundError:
        return "unknown"


class Page(Protocol):
    """What serves a page of text."""

    def page(self, accept: str = "") -> tuple[bytes, str]:
        """Body and content type."""


@asynccontextmanager
async def open_metrics(listen: str, metrics: Page) -> AsyncIterator[str]:
    """Serve `GET /metrics` at `listen` (HOST:PORT) until the block ends; yields the address that was taken.

    Raises Conflict if the port is taken. One request a connection: a scrape comes every few seconds.
    """
    address = parse_tcp(listen)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_TIMEOUT_S):
                request = await reader.readuntil(b"\r\n\r\n")
                # On a thread: process metrics are read from /proc, and a long page takes its time.
                writer.write(await asyncio.to_thread(_response, request, metrics))
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            # A scraper that is slow, gone or no scraper at all: nobody to answer.
            return
        finally:
            writer.close()

    try:
        server = await asyncio.start_server(answer, address.host or None, address.port, limit=_REQUEST_BYTES_MAX)
    except OSError as error:
        raise Conflict(f"cannot serve metrics on {listen}: {error.strerror or error}") from error
    async with server:
        yield address.dial_text(server.sockets[0].getsockname()[1])


def _response(request: bytes, metrics: Page) -> bytes:
    """The whole answer to one HTTP request."""
    head, *lines = request.decode("latin-1").split("\r\n")
    method, path, *_ = (*head.split(" "), "", "")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if path.partition("?")[0] != "/metrics":
        return _http("404 Not Found", "text/plain; charset=utf-8", b"only /metrics is here\n", method)
    if method not in {"GET", "HEAD"}:
        return _http("405 Method Not Allowed", "text/plain; charset=utf-8", b"use GET\n", method)
    body, content_type = metrics.page(headers.get("accept", ""))
    return _http("200 OK", content_type, body, method)


def _http(status: str, content_type: str, body: bytes, method: str) -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (b"" if method == "HEAD" else body)
