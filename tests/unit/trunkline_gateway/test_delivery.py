"""What is delivered is noted on the turn, and a stream that is left behind is only kept where somebody pays for it."""

import asyncio
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry

from trunkline_gateway.beside.drains import Drains
from trunkline_gateway.chunks import chunk_of
from trunkline_gateway.delivery import Delivery, over, replayed
from trunkline_gateway.openai_types import ChatControl
from trunkline_gateway.plan import Target
from trunkline_gateway.prices.pricing import Pricing
from trunkline_gateway.providers.base import Answer, Call
from trunkline_gateway.relay.streaming import Clocks, Started
from trunkline_gateway.standing import Standing
from trunkline_gateway.surface import Surface
from trunkline_gateway.telemetry import Meters
from trunkline_gateway.usage import usage_of
from trunkline_kit.clock import ManualClock
from trunkline_kit.lifecycle import background

TEXT = b'{"choices":[{"index":0,"delta":{"content":"a"}}]}'
END = b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'
USAGE = b'{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}}'
TARGET = Target("m", "up", "x")


class Stream:
    """Waits for `go` before all but its first event."""

    def __init__(self):
        self.go, self.left, self.cuts = asyncio.Event(), [[chunk_of(END)], [chunk_of(USAGE)]], 0

    async def next(self):
        await self.go.wait()
        return self.left.pop(0) if self.left else None

    def ending(self):
        return []

    async def release(self):
        pass

    def cut(self):
        self.cuts += 1


class Sink:
    def __init__(self):
        self.body, self.chunks, self.ending = None, [], None

    async def whole(self, body, headers):
        self.body = body

    async def open(self, headers):
        pass

    async def events(self, chunks):
        self.chunks += chunks

    async def done(self):
        self.ending = "done"

    async def broken(self, error):
        self.ending = error


class Attempts:
    def __init__(self, result):
        self.result = result

    async def run(self, turn, offer, plan, deadline_s, job):
        turn.target = TARGET
        return self.result


@pytest.fixture
async def drains():
    made = Drains(1)
    async with background(made.crew.working()):
        await asyncio.sleep(0)
        yield made


@pytest.fixture
def delivery(drains):
    def made(result):
        return Delivery(
            analyst=None,
            attempts=Attempts(result),
            bookkeeper=SimpleNamespace(price=lambda *_: None),
            drains=drains,
            meters=Meters(CollectorRegistry()),
            clock=ManualClock(),
        )

    return made


@pytest.fixture
def turn():
    return SimpleNamespace(
        target=None,
        standing=Standing(None),
        started_s=0.0,
        flight=None,
        usage=None,
        unread=None,
        headers=list,
        stream=True,
        cache="hit",
        outcome="",
    )


def errand(*bills):
    control = ChatControl(model="m", messages=[], stream=True)
    return SimpleNamespace(
        call=Call(surface=Surface.CHAT, body=b"", control=control, request_id="r"),
        clocks=Clocks(idle_s=5, deadline_s=asyncio.get_running_loop().time() + 5),
        offer=None,
        plan=None,
        deadline_s=0.0,
        slot=None,
        slot_for=lambda _: None,
        pricing=Pricing(),
        bills=frozenset(bills),
        may_bill=False,
        progress=lambda: None,
    )


async def test_a_whole_answer(delivery, turn):
    sink = Sink()
    await delivery(Answer(body=b"{}", usage=usage_of(1, 2))).whole(turn, errand(), sink)
    assert (sink.body, turn.outcome, turn.status, turn.usage) == (b"{}", "ok", 200, usage_of(1, 2))


async def test_a_stream(delivery, turn):
    sink, stream = Sink(), Stream()
    stream.go.set()
    await delivery(Started(stream, [chunk_of(TEXT)])).stream(turn, errand(), sink)
    assert (sink.chunks, sink.ending, turn.outcome, turn.pieces) == ([TEXT, END], "done", "ok", 2)
    assert turn.usage == usage_of(3, 1) or turn.usage.input_tokens == 3


async def _left(delivery, turn, asked):
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.002):
            await delivery.stream(turn, asked, Sink())


async def test_a_stream_that_is_left_is_cut(delivery, turn):
    stream = Stream()
    await _left(delivery(Started(stream, [chunk_of(TEXT)])), turn, errand())
    assert stream.cuts
    assert turn.unread is None


async def test_or_read_on_where_it_is_charged_for(delivery, turn):
    stream = Stream()
    await _left(delivery(Started(stream, [chunk_of(TEXT)])), turn, errand("up"))
    assert not stream.cuts
    assert turn.pieces == 1
    stream.go.set()
    await turn.unread()
    assert turn.usage.input_tokens == 3
    assert stream.cuts


async def test_a_cached_answer_comes_in_the_form_that_was_asked_for(turn):
    body = b'{"id":"x","choices":[{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}]}'
    sink, call = Sink(), errand().call
    assert await replayed(turn, call, body, sink)
    assert (turn.outcome, sink.ending, bool(sink.chunks)) == ("cached", "done", True)
    turn.stream = False
    assert await replayed(turn, call, body, sink)
    assert sink.body == body
    over(turn)
