"""Bodies are read within their bounds; silent streams are kept alive; a caller who leaves stops the work."""

import asyncio

import pytest

from trunkline_gateway import reply as module
from trunkline_gateway.edge import Visit
from trunkline_gateway.reply import DROP, HttpSink, Reply, read_body
from trunkline_kit.errors import BodyTooLarge, Cancelled, InvalidRequest, UpstreamError


def receiving(*messages):
    queue = list(messages)

    async def receive():
        return queue.pop(0)

    return receive


def part(body, more=False):
    return {"type": "http.request", "body": body, "more_body": more}


async def test_pieces_are_joined():
    assert await read_body(Visit([]), receiving(part(b"a", more=True), part(b"b")), 10) == b"ab"


@pytest.mark.parametrize("headers", [[(b"content-length", b"11")], []])
async def test_too_much_is_refused(headers):
    with pytest.raises(BodyTooLarge):
        await read_body(Visit(headers), receiving(part(b"x" * 6, more=True), part(b"x" * 6, more=True)), 10)


@pytest.mark.parametrize(
    "header", [(b"content-length", b"-1"), (b"content-type", b"text/html"), (b"content-encoding", b"br")]
)
async def test_heads_that_make_no_sense_are_refused(header):
    with pytest.raises(InvalidRequest):
        await read_body(Visit([header]), receiving(), 10)


async def test_a_connection_that_closes_is_no_body():
    with pytest.raises(InvalidRequest):
        await read_body(Visit([]), receiving(part(b"a", more=True), {"type": "http.disconnect"}), 10)


async def test_a_body_that_never_comes_is_given_up(monkeypatch):
    monkeypatch.setattr(module, "BODY_S", 0.01)
    with pytest.raises(InvalidRequest, match="did not arrive"):
        await read_body(Visit([]), asyncio.Event().wait, 10)


async def test_a_silent_stream_gets_comments_and_ends_truthfully(monkeypatch):
    monkeypatch.setattr(module, "HEARTBEAT_S", 0.01)
    sent, pinged = [], asyncio.Event()

    async def send(message):
        sent.append(message.get("body", b""))
        if sent[-1].startswith(b":"):
            pinged.set()

    async with asyncio.TaskGroup() as group:
        sink = HttpSink(send, group, group.create_task(asyncio.Event().wait()))
        await sink.open([("x-a", "b")])
        await sink.events([b"{}"])
        await asyncio.wait_for(pinged.wait(), 5)
        await sink.broken(UpstreamError("cut"))
    assert sent[1] == b"data: {}\n\n"
    assert b": ping\n\n" in sent
    assert b'"error"' in sent[-1]
    assert not any(b"[DONE]" in body or b"id:" in body.split(b"data:")[0] for body in sent)


class Connection:
    """An ASGI connection that stays open, and what was sent over it."""

    def __init__(self):
        self.sent = []
        self.scope = {"trunkline_visit": Visit([])}
        self._body = [part(b"{}")]

    async def receive(self):
        return self._body.pop() if self._body else await asyncio.Event().wait()

    async def send(self, message):
        self.sent.append(message)


async def stopped(work):
    """What a caller gets when the server cancels the request in the middle of `work`."""
    connection, reached = Connection(), asyncio.Event()

    async def hang(sink, body):
        await work(sink)
        reached.set()
        await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(Reply(hang, 100)(connection.scope, connection.receive, connection.send))
        await reached.wait()
        task.cancel()
    return connection.sent


async def test_a_stop_before_the_answer_is_an_error_like_any_other():
    async def nothing(sink):
        pass

    start, body = await stopped(nothing)
    assert start["status"] == 503
    assert (b"retry-after", b"1") in start["headers"]
    assert b"this gateway is stopping" in body["body"]


async def test_a_stop_in_mid_stream_ends_it_truthfully():
    async def begin(sink):
        await sink.open([])
        await sink.events([b"{}"])

    sent = await stopped(begin)
    assert b'"error"' in sent[-1]["body"]
    assert sent[-1]["more_body"] is False
    assert not any(b"[DONE]" in message.get("body", b"") for message in sent)


class Deaf(Connection):
    """A caller that reads the head of the answer and then nothing more, on a server that insists on order."""

    def __init__(self):
        super().__init__()
        self.scope[DROP] = self.drop
        self.readable = asyncio.Event()
        self.waiting = 0
        self.blocked = asyncio.Semaphore(0)
        self.dropped = asyncio.Event()
        self.complete = False

    async def receive(self):
        if self._body:
            return self._body.pop()
        await self.dropped.wait()
        return {"type": "http.disconnect"}

    def drop(self):
        self.dropped.set()

    async def send(self, message):
        if message["type"] == "http.response.body":
            self.waiting += 1
            self.blocked.release()
            await self.readable.wait()
        assert not self.complete, "sent after the end"
        self.complete = not message.get("more_body", True)
        await super().send(message)


async def test_a_caller_that_does_not_read_gets_one_comment_at_a_time(monkeypatch):
    monkeypatch.setattr(module, "HEARTBEAT_S", 0.0)
    connection = Deaf()

    async with asyncio.TaskGroup() as group:
        sink = HttpSink(connection.send, group, group.create_task(asyncio.Event().wait()))
        await sink.open([])
        await connection.blocked.acquire()
        for _ in range(100):
            await asyncio.sleep(0)
        assert connection.waiting == 1
        sink.close()


async def test_a_comment_that_waits_is_not_sent_after_the_end(monkeypatch):
    monkeypatch.setattr(module, "HEARTBEAT_S", 0.0)
    connection = Deaf()
    async with asyncio.TaskGroup() as group:
        sink = HttpSink(connection.send, group, group.create_task(asyncio.Event().wait()))
        await sink.open([])
        await connection.blocked.acquire()
        ending = group.create_task(sink.done())
        await connection.blocked.acquire()
        connection.readable.set()
        await ending
    assert [message["body"] for message in connection.sent[1:]] == [b"data: [DONE]\n\n"]


async def test_a_comment_due_in_the_same_moment_as_the_end_is_not_sent():
    connection = Deaf()
    connection.readable.set()
    async with asyncio.TaskGroup() as group:
        sink = HttpSink(connection.send, group, group.create_task(asyncio.Event().wait()))
        await sink.open([])
        sink._written_s -= module.HEARTBEAT_S
        sink._beat()
        await sink.done()
    assert [message["body"] for message in connection.sent[1:]] == [b"data: [DONE]\n\n"]


@pytest.mark.parametrize("ending", ["done", "broken"])
async def test_a_caller_that_does_not_read_the_end_is_dropped(monkeypatch, ending):
    monkeypatch.setattr(module, "GOODBYE_S", 0.01)
    connection, raised = Deaf(), []

    async def work(sink, body):
        await sink.open([])
        try:
            await (sink.done() if ending == "done" else sink.broken(UpstreamError("cut")))
        except Cancelled as error:
            raised.append(error)
            raise

    reply = Reply(work, 100)
    await asyncio.wait_for(reply(connection.scope, connection.receive, connection.send), 5)
    assert [error.message for error in raised] == ["the caller stopped reading"]
    assert connection.dropped.is_set()
    assert len(connection.sent) == 1


async def test_a_stop_does_not_wait_for_a_caller_that_does_not_read(monkeypatch):
    monkeypatch.setattr(module, "GOODBYE_S", 0.01)
    connection = Deaf()

    async def work(sink, body):
        await sink.open([])
        await sink.events([b"{}"])

    async with asyncio.TaskGroup() as group:
        task = group.create_task(Reply(work, 100)(connection.scope, connection.receive, connection.send))
        await connection.blocked.acquire()
        task.cancel()
    assert connection.dropped.is_set()
