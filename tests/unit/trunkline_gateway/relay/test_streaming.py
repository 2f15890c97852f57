"""A stream is passed on as it comes and ends truthfully."""

import asyncio

import pytest

from trunkline_gateway.chunks import Chunk, chunk_of
from trunkline_gateway.openai_types import ChatControl, StreamOptions
from trunkline_gateway.plan import FailureKind, Target
from trunkline_gateway.providers.base import AttemptFailed, Call, Terms
from trunkline_gateway.relay.streaming import HELD_CHUNKS_MAX, Clocks, Relay, begin
from trunkline_gateway.surface import Surface
from trunkline_kit.errors import DeadlineExceeded, UpstreamError, UpstreamRefused

ROLE = chunk_of(b'{"choices":[{"delta":{"role":"assistant","content":""}}]}')
TEXT = chunk_of(b'{"choices":[{"delta":{"content":"a"}}]}')
END = chunk_of(b'{"choices":[{"delta":{},"finish_reason":"stop"}]}')
OTHER_END = chunk_of(b'{"choices":[{"index":1,"delta":{},"finish_reason":"stop"}]}')
USAGE = chunk_of(b'{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}')
ERROR = chunk_of(b'{"error":{"message":"it burns","type":"server_error"}}')
REFUSAL = chunk_of(b'{"error":{"message":"bad words","type":"invalid_request_error"}}')
GARBAGE = chunk_of(b"{nope")
TARGET = Target("m", "up", "x")
TERMS = Terms(connect_s=1, total_s=1)
NEVER = "never"


class Scripted:
    """A provider and its stream: gives what it was told, in order."""

    kind = "scripted"

    def __init__(self, *steps):
        self._steps = list(steps)
        self.cuts = 0
        self.released = 0

    async def stream(self, call, target, terms):
        return self

    async def next(self):
        if not self._steps:
            return None
        step = self._steps.pop(0)
        if step is NEVER:
            await asyncio.Event().wait()
        if isinstance(step, Exception):
            raise step
        return step

    async def release(self):
        self.released += 1

    def ending(self):
        return []

    def cut(self):
        self.cuts += 1


class Kept:
    """A sink that remembers."""

    def __init__(self):
        self.chunks, self.ending = [], None

    async def events(self, chunks):
        self.chunks += chunks

    async def done(self):
        self.ending = "done"

    async def broken(self, error):
        self.ending = error


def call(n=1, usage=None):
    control = ChatControl(model="m", messages=[], stream=True, n=n, stream_options=StreamOptions(usage))
    return Call(surface=Surface.CHAT, body=b"", control=control, request_id="r")


async def relayed(*steps, asked=None, idle_s=5.0, keep=False, kind=Scripted):
    stream, sink = kind(*steps), Kept()
    asked = asked or call()
    clocks = Clocks(idle_s=idle_s, deadline_s=asyncio.get_running_loop().time() + 5)
    relay = Relay(asked, "up", clocks, keep=keep)
    await relay.run(await begin(stream, asked, TARGET, TERMS), sink)
    return sink, relay.relayed, stream


async def test_everything_is_passed_on_and_the_usage_is_kept_back():
    sink, seen, stream = await relayed([ROLE], [TEXT, TEXT], [END], [USAGE])
    assert sink.chunks == [ROLE.data, TEXT.data, TEXT.data, END.data]
    assert sink.ending == "done"
    assert seen.complete
    assert seen.usage.output_tokens == 1
    assert stream.released == 1


async def test_what_is_passed_on_is_counted_before_the_caller_has_it():
    stream, sink, told = Scripted([ROLE], [TEXT, TEXT], [END]), Kept(), []
    loop = asyncio.get_running_loop()
    relay = Relay(call(), "up", Clocks(idle_s=5, deadline_s=loop.time() + 5), keep=False)

    def progress(pieces, now_s):
        told.append((pieces, len(sink.chunks)))
        assert abs(now_s - loop.time()) < 1

    relay.progress = progress
    await relay.run(await begin(stream, call(), TARGET, TERMS), sink)
    assert told == [(3, 0), (4, 3)]


async def test_the_usage_is_passed_on_when_asked_for():
    sink, _, _ = await relayed([TEXT, END, USAGE], asked=call(usage=True))
    assert sink.chunks[-1] == USAGE.data


@pytest.mark.parametrize("bad", [[TEXT, ERROR], [TEXT, *[GARBAGE] * 9], UpstreamError("cut off"), None])
async def test_what_came_before_a_break_is_passed_on_and_nothing_after(bad):
    steps = [[TEXT]] if bad is None else [[TEXT], bad, [TEXT, END]]
    sink, seen, stream = await relayed(*steps)
    assert sink.chunks[:1] == [TEXT.data]
    assert END.data not in sink.chunks
    assert isinstance(sink.ending, UpstreamError)
    assert not seen.complete
    assert stream.cuts
    assert not stream.released


async def test_an_event_that_makes_no_sense_is_left_out_and_counted():
    sink, seen, _ = await relayed([ROLE, GARBAGE], [TEXT, GARBAGE, TEXT], [END])
    assert sink.chunks == [ROLE.data, TEXT.data, TEXT.data, END.data]
    assert (sink.ending, seen.complete, seen.malformed) == ("done", True, 2)


async def test_what_makes_no_sense_is_no_beginning():
    started = await begin(Scripted([ROLE], [GARBAGE], [TEXT]), call(), TARGET, TERMS)
    assert [chunk.data for chunk in started.held] == [ROLE.data, b"", TEXT.data]
    with pytest.raises(AttemptFailed, match="before it said anything"):
        await begin(Scripted([GARBAGE], None), call(), TARGET, TERMS)


async def test_the_providers_words_are_in_the_error():
    sink, _, _ = await relayed([TEXT], [ERROR])
    assert "it burns" in sink.ending.message


async def test_silence_in_mid_stream_is_a_timeout():
    sink, _, stream = await relayed([TEXT], NEVER, idle_s=0.01)
    assert isinstance(sink.ending, DeadlineExceeded)
    assert stream.cuts


@pytest.mark.parametrize("ending", [UpstreamError("cut off"), NEVER, [ERROR]])
async def test_nothing_is_lost_after_the_last_finish_reason(ending):
    sink, seen, _ = await relayed([TEXT, END], ending, idle_s=0.01)
    assert sink.ending == "done"
    assert seen.complete


async def test_every_choice_has_to_finish():
    sink, _, _ = await relayed([TEXT, END], asked=call(n=2))
    assert isinstance(sink.ending, UpstreamError)
    sink, _, _ = await relayed([TEXT, END], [END], asked=call(n=2))
    assert isinstance(sink.ending, UpstreamError)
    sink, _, _ = await relayed([TEXT, END], [OTHER_END], asked=call(n=2))
    assert sink.ending == "done"


async def test_what_was_said_can_be_kept():
    _, seen, _ = await relayed([ROLE, TEXT], [END, USAGE], keep=True)
    assert seen.chunks == [ROLE.data, TEXT.data, END.data, USAGE.data]


async def test_a_relay_that_is_cancelled_cuts_the_stream():
    stream = Scripted([TEXT], NEVER)
    asked = call()
    started = await begin(stream, asked, TARGET, TERMS)
    relay = Relay(asked, "up", Clocks(idle_s=5, deadline_s=asyncio.get_running_loop().time() + 5), keep=False)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(relay.run(started, Kept()))
        await asyncio.sleep(0)
        task.cancel()
    assert stream.cuts


@pytest.mark.parametrize(
    "steps", [[[ROLE]], [[ROLE], [ERROR]], [[ROLE, TEXT, ERROR]], [[GARBAGE]], [UpstreamError("cut")], []]
)
async def test_before_the_first_meaning_another_attempt_may_do_better(steps):
    stream = Scripted(*steps)
    with pytest.raises(AttemptFailed) as caught:
        await begin(stream, call(), TARGET, TERMS)
    assert caught.value.kind is FailureKind.BROKEN
    assert stream.cuts


async def test_a_refusal_inside_a_stream_is_the_callers():
    with pytest.raises(UpstreamRefused, match="bad words"):
        await begin(Scripted([ROLE], [REFUSAL]), call(), TARGET, TERMS)


async def test_chatter_is_held_back_only_so_long():
    stream = Scripted(*[[ROLE]] * (HELD_CHUNKS_MAX * 2))
    started = await begin(stream, call(), TARGET, TERMS)
    assert len(started.held) == HELD_CHUNKS_MAX + 1


class Unfinished(Scripted):
    """Of a dialect that has something to say at its end."""

    def ending(self):
        return [Chunk(b"the end")]


@pytest.mark.parametrize("last", [UpstreamError("cut off"), NEVER, [ERROR]], ids=["cut", "silent", "error"])
async def test_what_belongs_to_a_complete_answer_is_said_whatever_came_after_its_last_word(last):
    sink, seen, _ = await relayed([TEXT, END], last, idle_s=0.01, kind=Unfinished)
    assert (sink.chunks[-1], sink.ending, seen.complete) == (b"the end", "done", True)
    sink, seen, _ = await relayed([TEXT], last, idle_s=0.01, kind=Unfinished)
    assert b"the end" not in sink.chunks
    assert not seen.complete
