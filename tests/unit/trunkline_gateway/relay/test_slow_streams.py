"""Streams that only trickle are ended; a caller who reads slowly is no reason."""

import asyncio

import pytest

from trunkline_gateway.chunks import chunk_of
from trunkline_gateway.openai_types import ChatControl
from trunkline_gateway.providers.base import AttemptFailed, Call
from trunkline_gateway.relay.gathering import Begun, gathered
from trunkline_gateway.relay.streaming import Clocks, Nowhere, Relay, Started
from trunkline_gateway.surface import Surface
from trunkline_kit.errors import DeadlineExceeded
from trunkline_policy.faults import FailureKind

TEXT = b'{"choices":[{"index":0,"delta":{"content":"a"}}]}'
END = b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'
EVERY_S = 0.01


class Trickle:
    """A provider that says a word now and then, `every_s` seconds, and ends after `count`."""

    def __init__(self, count, every_s):
        self.left, self.every_s, self.said = count, every_s, 0
        self.cuts = 0

    async def _one(self):
        if not self.left:
            return None
        await asyncio.sleep(self.every_s)
        self.left, self.said = self.left - 1, self.said + 1
        return TEXT if self.left else END

    async def next(self):
        data = await self._one()
        return None if data is None else [chunk_of(data)]

    async def more(self, pause_s):
        return None if await self._one() is None else self.said

    def rest(self):
        return [TEXT] * (self.said - 1) + [END] * (not self.left)

    def ending(self):
        return []

    def translated(self, answer):
        return answer

    async def release(self):
        pass

    def cut(self):
        self.cuts += 1


class Reader:
    """A caller who takes its time over each write."""

    def __init__(self, takes_s=0.0):
        self.takes_s, self.ending = takes_s, None

    async def events(self, chunks):
        await asyncio.sleep(self.takes_s)

    async def done(self):
        self.ending = "done"

    async def broken(self, error):
        self.ending = error


@pytest.fixture
def call():
    control = ChatControl(model="m", messages=[], stream=True)
    return Call(surface=Surface.CHAT, body=b"", control=control, request_id="r")


def clocks(rate, pace_s):
    return Clocks(idle_s=5, deadline_s=asyncio.get_running_loop().time() + 5, events_per_s_min=rate, pace_s=pace_s)


async def test_a_stream_that_trickles_is_broken_and_cut(call):
    stream, reader = Trickle(100, EVERY_S), Reader()
    relay = Relay(call, "up", clocks(1000, 0.03), keep=False)
    await relay.run(Started(stream, [chunk_of(TEXT)]), reader)
    assert isinstance(reader.ending, DeadlineExceeded)
    assert "'up' was too slow in mid-stream: fewer than 1000 events/s came over 0.03 s" in reader.ending.message
    assert stream.left > 90
    assert stream.cuts
    assert relay.relayed.outcome == "broken"


async def test_a_reader_who_is_slow_makes_no_stream_slow(call):
    stream, reader = Trickle(5, 0), Reader(takes_s=0.02)
    await Relay(call, "up", clocks(1000, 0.03), keep=False).run(Started(stream, [chunk_of(TEXT)]), reader)
    assert reader.ending == "done"


async def test_nothing_is_too_slow_where_there_is_no_bound(call):
    stream, reader = Trickle(5, EVERY_S), Reader()
    await Relay(call, "up", clocks(0, 0.001), keep=False).run(Started(stream, [chunk_of(TEXT)]), reader)
    assert reader.ending == "done"


async def test_nothing_was_sent_of_a_whole_answer_so_it_fails_over(call):
    stream = Trickle(100, EVERY_S)
    with pytest.raises(AttemptFailed, match="too slow in mid-stream") as failed:
        await gathered(Begun(stream, [TEXT]), call, "up", clocks(1000, 0.03), lambda _: None)
    assert failed.value.kind is FailureKind.SILENT
    assert stream.cuts


async def test_a_whole_answer_at_its_pace_is_put_together(call):
    stream = Trickle(5, EVERY_S)
    answer = await gathered(Begun(stream, [TEXT]), call, "up", clocks(20, 1), lambda _: None)
    assert b'"aaaaa"' in answer.body


async def test_what_is_read_for_nobody_has_the_same_clocks(call):
    stream = Trickle(100, EVERY_S)
    relay = Relay(call, "up", clocks(1000, 0.03), keep=True)
    await relay.drain(Started(stream, []))
    assert stream.cuts
    assert stream.left > 90
    assert relay.relayed.chunks is None
    await Nowhere().events([TEXT])


async def test_a_cancelled_relay_leaves_the_stream_open_where_it_is_told_to(call):
    stream = Trickle(3, EVERY_S)
    relay = Relay(call, "up", clocks(0, 1), keep=False)
    relay.keeps_open = True
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(EVERY_S / 2):
            await relay.run(Started(stream, [chunk_of(TEXT)]), Reader())
    assert relay.unread is stream
    assert not stream.cuts
    await relay.drain(Started(stream, []))
    assert not stream.left
    assert relay.relayed.finished == {0}
