"""Everybody who reads an answer gets all of it, whenever they came."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline_gateway.idempotency import recording as module
from trunkline_gateway.idempotency.answers import Answered
from trunkline_gateway.idempotency.recording import AHEAD_BYTES_MAX, REPLAYED, Recording
from trunkline_kit.errors import DeadlineExceeded, IdempotencyKeyInUse, UpstreamError

HEADERS = [("x-trunkline-model", "m")]


class Kept:
    """A caller's sink that remembers, and waits where it is told to."""

    def __init__(self, go=None):
        self.go, self.headers, self.chunks, self.ending, self.body = go, None, [], None, None

    async def whole(self, body, headers):
        self.body, self.headers = body, headers

    async def open(self, headers):
        self.headers = headers

    async def events(self, chunks):
        if self.go is not None:
            await self.go.wait()
        self.chunks += chunks

    async def done(self):
        self.ending = "done"

    async def broken(self, error):
        self.ending = error


async def test_a_whole_answer():
    recording, first, later = Recording(), Kept(), Kept()
    async with asyncio.TaskGroup() as group:
        group.create_task(recording.play(first, is_replay=False))
        await asyncio.sleep(0)
        await recording.whole(b"body", HEADERS)
    await recording.play(later, is_replay=True)
    assert (first.body, first.headers) == (b"body", HEADERS)
    assert (later.body, later.headers) == (b"body", [*HEADERS, REPLAYED])
    assert recording.answered == Answered(False, HEADERS, [b"body"])


@settings(max_examples=40)
@given(batches=st.lists(st.lists(st.binary(min_size=1, max_size=3), min_size=1, max_size=4), max_size=8), at=st.data())
def test_a_stream_is_the_same_for_all_whenever_they_come(batches, at):
    joins = at.draw(st.lists(st.integers(0, len(batches)), min_size=1, max_size=4))

    async def scenario():
        recording, sinks = Recording(), [Kept() for _ in joins]
        async with asyncio.TaskGroup() as group:
            for number in range(len(batches) + 1):
                for sink, join in zip(sinks, joins, strict=True):
                    if join == number:
                        group.create_task(recording.play(sink, is_replay=False))
                await asyncio.sleep(0)
                if number == 0:
                    await recording.open(HEADERS)
                if number < len(batches):
                    await recording.events(batches[number])
            await recording.done()
        wanted = [chunk for batch in batches for chunk in batch]
        assert all((sink.chunks, sink.ending) == (wanted, "done") for sink in sinks)
        assert recording.answered == Answered(True, HEADERS, wanted)

    asyncio.run(scenario())


async def test_a_stream_that_breaks_is_broken_for_all_and_is_no_answer():
    recording, sink, error = Recording(), Kept(), UpstreamError("broke")
    await recording.open(HEADERS)
    await recording.events([b"a"])
    await recording.broken(error)
    recording.fail(UpstreamError("later"))
    await recording.play(sink, is_replay=False)
    assert (sink.chunks, sink.ending, recording.answered) == ([b"a"], error, None)


async def test_an_error_before_the_answer_is_raised():
    recording = Recording()
    recording.fail(UpstreamError("broke"))
    with pytest.raises(UpstreamError):
        await recording.play(Kept(), is_replay=False)


async def test_one_that_was_finished_before_says_so():
    recording, sink = Recording(), Kept()
    recording.load(Answered(False, HEADERS, [b"body"]))
    await recording.play(sink, is_replay=False)
    assert sink.headers == [*HEADERS, REPLAYED]


async def test_the_provider_waits_for_a_reader_who_is_far_behind_but_not_for_nobody():
    go = asyncio.Event()
    recording, sink = Recording(), Kept(go)
    await recording.open(HEADERS)
    await recording.events([b"x" * (2 * AHEAD_BYTES_MAX)])
    async with asyncio.TaskGroup() as group:
        group.create_task(recording.play(sink, is_replay=False))
        await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.002):
                await recording.events([b"y"])
        go.set()
        await recording.events([b"z"])
        await recording.done()
    assert sink.chunks[1:] == [b"y", b"z"]


async def test_a_reader_who_does_not_read_is_told_so_and_the_others_go_on(monkeypatch):
    monkeypatch.setattr(module, "WRITE_S", 0.01)
    recording, deaf, other = Recording(), Kept(asyncio.Event()), Kept()
    await recording.open(HEADERS)
    async with asyncio.TaskGroup() as group:
        stalled = group.create_task(recording.play(deaf, is_replay=False))
        group.create_task(recording.play(other, is_replay=False))
        await asyncio.sleep(0)
        await recording.events([b"x" * (AHEAD_BYTES_MAX + 1)])
        await recording.events([b"y"])
        await stalled
        await recording.done()
    assert isinstance(deaf.ending, DeadlineExceeded)
    assert ([chunk[:1] for chunk in other.chunks], other.ending) == ([b"x", b"y"], "done")


async def test_a_reader_is_given_little_at_a_time():
    recording, given = Recording(), []

    class Counting(Kept):
        async def events(self, chunks):
            given.append(len(chunks))

    recording.load(Answered(True, HEADERS, [b"x" * 40_000] * 5))
    await recording.play(Counting(), is_replay=True)
    assert given == [2, 2, 1]


async def test_what_is_too_long_to_be_kept_is_dropped_as_it_is_read():
    recording, reader, late = Recording(10, pytest.fail), Kept(), Kept()
    await recording.open(HEADERS)
    async with asyncio.TaskGroup() as group:
        group.create_task(recording.play(reader, is_replay=False))
        for number in range(100):
            await recording.events([b"%05d" % number])
            await asyncio.sleep(0)
            assert len(recording._chunks) <= 3
        with pytest.raises(IdempotencyKeyInUse):
            await recording.play(late, is_replay=True)
        await recording.done()
    assert (reader.chunks, reader.ending) == ([b"%05d" % number for number in range(100)], "done")
    assert recording.answered is None
    assert late.headers is None


async def test_what_is_too_long_to_be_kept_and_has_no_reader_is_abandoned():
    times = []
    recording = Recording(10, lambda: times.append(1))
    await recording.open(HEADERS)
    await recording.events([b"x" * 10])
    assert not times
    await recording.events([b"x"])
    assert times


async def test_the_last_reader_of_what_is_too_long_takes_it_with_them():
    times, sink = [], Kept(asyncio.Event())
    recording = Recording(10, lambda: times.append(1))
    await recording.open(HEADERS)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(recording.play(sink, is_replay=False))
        await asyncio.sleep(0)
        await recording.events([b"x" * 11])
        assert not times
        reading.cancel()
    assert times == [1]
    await recording.done()
    await recording.play(Kept(), is_replay=False)
    assert times == [1], "once it has ended there is nothing to give up"
