"""Our socket: any free port, one clear line when there is none. What a caller may send before it is anybody."""

import asyncio
import socket

import pytest
import uvicorn
from uvicorn.server import ServerState

from trunkline_gateway import server as module
from trunkline_gateway.server import HEAD_BYTES_MAX, Protocol, listen_on, url_of
from trunkline_kit.errors import ConfigError, Conflict


def test_port_zero_is_any_and_the_url_says_which():
    with listen_on("127.0.0.1:0") as listener:
        assert url_of(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"
    with listen_on("0.0.0.0:0") as listener:
        assert url_of(listener).startswith("http://127.0.0.1:")


def test_a_taken_port_says_what_to_do():
    with listen_on("127.0.0.1:0") as listener:
        listener.listen()
        with pytest.raises(Conflict, match="choose another --port"):
            listen_on(f"127.0.0.1:{listener.getsockname()[1]}")


def test_several_processes_may_share_a_port_when_told_to():
    with listen_on("127.0.0.1:0", share_port=True) as listener:
        listener.listen()
        listen_on(f"127.0.0.1:{listener.getsockname()[1]}", share_port=True).close()


def test_a_host_that_is_not_ours():
    with pytest.raises((ConfigError, Conflict), match=r"192\.0\.2\.1"):
        listen_on("192.0.2.1:0")
    with pytest.raises(ConfigError, match="not an address of this machine"):
        listen_on("no.such.host.invalid:0")


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 on this machine")
def test_ipv6():
    with listen_on("[::1]:0") as listener:
        assert url_of(listener).startswith("http://[::1]:")


class Wire(asyncio.Transport):
    """A transport that remembers, and tells when it was closed."""

    def __init__(self):
        super().__init__()
        self.written = b""
        self.closed = asyncio.Event()

    def write(self, data):
        self.written += data

    def can_write_eof(self):
        return True

    def write_eof(self):
        pass

    def close(self):
        self.closed.set()

    def abort(self):
        self.closed.set()

    def is_closing(self):
        return self.closed.is_set()

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass


class Site:
    """An application that answers when told to."""

    def __init__(self):
        self.asked = asyncio.Semaphore(0)
        self.answer = asyncio.Event()
        self.answered = asyncio.Semaphore(0)

    async def __call__(self, scope, receive, send):
        self.asked.release()
        await self.answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok", "more_body": False})
        self.answered.release()


@pytest.fixture
async def site():
    return Site()


@pytest.fixture
async def protocol(site):
    config = uvicorn.Config(site, http=Protocol, ws="none", lifespan="off", interface="asgi3", log_config=None)
    opened = Protocol(config, ServerState(), {})
    opened.connection_made(Wire())
    yield opened
    opened.connection_lost(None)


GET = b"GET / HTTP/1.1\r\nhost: x\r\n"
KIB = b"x" * 1024


@pytest.mark.parametrize("begin", [b"GET /", GET + b"a: ", GET + b"a: b\r\n"], ids=["url", "header", "headers"])
async def test_a_head_without_an_end_is_refused(protocol, begin):
    protocol.data_received(begin)
    piece = b"b: " + KIB[:-5] + b"\r\n" if begin.endswith(b"\n") else KIB
    for _ in range(HEAD_BYTES_MAX // 1024 - 1):
        protocol.data_received(piece)
    assert not protocol.transport.written
    for _ in range(1000):
        protocol.data_received(piece)
    assert protocol.transport.written.startswith(b"HTTP/1.1 431 ")
    assert b'"code":"head_too_large"' in protocol.transport.written
    assert b"connection: close\r\n" in protocol.transport.written
    assert protocol.transport.written.count(b"HTTP/1.1") == 1
    assert len(protocol.url) + sum(len(value) for _, value in protocol.headers) <= HEAD_BYTES_MAX + 1024


@pytest.mark.parametrize(("size_bytes", "refused"), [(HEAD_BYTES_MAX - 100, False), (HEAD_BYTES_MAX, True)])
async def test_a_head_that_comes_at_once_is_measured_without_its_body(protocol, site, size_bytes, refused):
    head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\na: " + b"x" * size_bytes
    protocol.data_received(head + b"\r\n\r\n" + b"y" * 100_000)
    assert protocol.transport.written.startswith(b"HTTP/1.1 431 ") is refused
    if not refused:
        await site.asked.acquire()


async def test_trailers_are_bounded_like_a_head(protocol, site):
    protocol.data_received(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
    site.answer.set()
    await site.answered.acquire()
    protocol.data_received(b"1\r\nx\r\n0\r\n")
    for _ in range(1000):
        protocol.data_received(b"b: " + KIB + b"\r\n")
    assert b"HTTP/1.1 431 " in protocol.transport.written
    assert len(protocol.headers) < 70


async def test_a_head_that_does_not_come_closes_the_connection(monkeypatch, site):
    monkeypatch.setattr(module, "HEAD_S", 0.01)
    config = uvicorn.Config(site, http=Protocol, ws="none", lifespan="off", interface="asgi3", log_config=None)
    opened = Protocol(config, ServerState(), {})
    opened.connection_made(Wire())
    await asyncio.wait_for(opened.transport.closed.wait(), 5)
    opened.connection_lost(None)


@pytest.mark.parametrize("begin", [b"GET / HT", b"\r\n"])
async def test_so_does_the_head_of_a_further_request(protocol, site, monkeypatch, begin):
    monkeypatch.setattr(module, "HEAD_S", 0.01)
    site.answer.set()
    protocol.data_received(GET + b"\r\n")
    await site.answered.acquire()
    protocol.data_received(begin)
    await asyncio.wait_for(protocol.transport.closed.wait(), 5)


async def test_a_request_under_way_has_no_head_timer_and_an_idle_connection_has_its_own(protocol, site):
    protocol.data_received(GET)
    assert protocol._timer is not None
    protocol.data_received(b"\r\n")
    assert protocol._timer is None
    site.answer.set()
    await site.answered.acquire()
    assert protocol._timer is None
    assert protocol.timeout_keep_alive_task is not None


async def test_a_body_that_outlasts_its_answer_leaves_an_idle_connection(protocol, site):
    protocol.data_received(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n")
    site.answer.set()
    await site.answered.acquire()
    protocol.data_received(b"ab")
    assert protocol.timeout_keep_alive_task is not None


async def test_nonsense_behind_a_request_does_not_spoil_its_answer(protocol, site):
    protocol.data_received(GET + b"\r\n")
    await site.asked.acquire()
    protocol.data_received(b"GARBAGE\r\n\r\n")
    site.answer.set()
    await site.answered.acquire()
    assert protocol.transport.written.startswith(b"HTTP/1.1 200 ")
    assert protocol.transport.written.endswith(b"ok")
    assert protocol.transport.closed.is_set()


async def test_nonsense_inside_a_body_is_answered_at_once(protocol, site):
    protocol.data_received(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
    await site.asked.acquire()
    protocol.data_received(b"zz\r\n")
    site.answer.set()
    await site.answered.acquire()
    assert protocol.transport.written.startswith(b"HTTP/1.1 400 ")
    assert b"HTTP/1.1 200 " not in protocol.transport.written


async def test_a_url_that_cannot_be_read_is_refused(protocol):
    protocol.data_received(b"GET http:///x HTTP/1.1\r\n\r\n")
    assert protocol.transport.written.startswith(b"HTTP/1.1 400 ")
