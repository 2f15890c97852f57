"""The two ways to carry a request out."""

import asyncio
from types import SimpleNamespace

import pytest

from trunkline_gateway.chunks import chunk_of
from trunkline_gateway.errands import Errand, StreamJob, WholeJob
from trunkline_gateway.legs import Legs
from trunkline_gateway.openai_types import ChatControl
from trunkline_gateway.plan import Target
from trunkline_gateway.prices.pricing import Pricing
from trunkline_gateway.providers.base import Answer, Call, Terms
from trunkline_gateway.relay.gathering import Begun
from trunkline_gateway.surface import Surface
from trunkline_gateway.turn import Tried
from trunkline_kit.settings import Timeouts

TARGET, TERMS = Target("m", "up", "x"), Terms(connect_s=1, total_s=1)
TEXT = b'{"choices":[{"index":0,"delta":{"content":"hi"}}]}'
END = b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'


class Giving:
    """A provider whose answers are a stream of pieces, or whole."""

    def __init__(self, *, streams):
        self.streams = streams
        self.cuts = 0
        self._more = [1]

    def streams_whole(self, call, target):
        return self.streams

    async def whole(self, call, target, terms):
        return self if self.streams else Answer(body=b"whole")

    async def stream(self, call, target, terms):
        return self

    async def next(self):
        return [chunk_of(TEXT)]

    async def more(self, pause_s):
        return self._more.pop() if self._more else None

    def rest(self):
        return [END]

    def translated(self, answer):
        return answer

    async def release(self):
        pass

    def ending(self):
        return []

    def cut(self):
        self.cuts += 1


@pytest.fixture
def heard():
    return []


@pytest.fixture
def errand(heard):
    def made(provider):
        call = Call(surface=Surface.CHAT, body=b"{}", control=ChatControl(model="m", messages=[]), request_id="r")
        return Errand(
            call=call,
            offer=SimpleNamespace(timeouts=Timeouts(), targets=(TARGET,)),
            plan=None,
            providers={"up": provider},
            slot="slot",
            pricing=Pricing(),
            deadline_s=asyncio.get_running_loop().time() + 5,
            opened=lambda: heard.append("opened"),
            progress=lambda: lambda pieces, now_s: heard.append(pieces),
        )

    return made


async def test_a_whole_answer_is_put_together_and_its_pieces_are_counted(errand, heard):
    provider = Giving(streams=True)
    job, turn = WholeJob(errand(provider)), SimpleNamespace(final=Tried(target=TARGET, started_s=0.0), pieces=0)
    begun = await job.begin(TARGET, TERMS)
    assert isinstance(begun, Begun)
    answer = await job.finish(turn, begun)
    assert b'"hi"' in answer.body
    assert heard == ["opened", 2]
    assert turn.pieces == turn.final.pieces == 2
    assert job.is_prompt(TARGET)
    job.discard(begun)
    assert provider.cuts == 2


async def test_one_that_comes_whole_is_passed_on(errand):
    job = WholeJob(errand(Giving(streams=False)))
    begun = await job.begin(TARGET, TERMS)
    assert await job.finish(None, begun) is begun
    assert not job.is_prompt(TARGET)
    job.discard(begun)


async def test_a_stream_is_begun_and_left_to_the_relay(errand, heard):
    provider = Giving(streams=True)
    job = StreamJob(errand(provider))
    started = await job.begin(TARGET, TERMS)
    assert await job.finish(None, started) is started
    assert job.is_prompt(TARGET)
    job.discard(started)
    assert (provider.cuts, heard) == (1, ["opened"])


async def test_answers_of_fallbacks_are_not_cached(errand):
    made = errand(Giving(streams=False))
    assert made.slot_for(SimpleNamespace(target=TARGET)) == "slot"
    assert made.slot_for(SimpleNamespace(target=Target("n", "up", "y"))) is None
    assert made.clocks.idle_s == Timeouts().idle_s
    assert Legs.__doc__
