"""A whole answer out of a stream: the same for every cutting, and never one that is not complete."""

import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline_gateway.chunks import MALFORMED, chunk_of
from trunkline_gateway.openai_types import ChatControl
from trunkline_gateway.providers.base import Answer, AttemptFailed, Call
from trunkline_gateway.relay.gathering import PAUSE_S_MAX, Begun, begun_of, gathered
from trunkline_gateway.relay.streaming import Clocks, Started
from trunkline_gateway.surface import Surface
from trunkline_kit.errors import UpstreamError, UpstreamRefused
from trunkline_policy.faults import FailureKind
from trunkline_testkit.upstream import chat_reply, chat_stream

NEVER = "never"


def datas(texts, **more):
    return [event[6:-2] for event in chat_stream(texts, **more).chunks if b"[DONE]" not in event]


class Pieces:
    """A stream whose further events come as they are told to."""

    def __init__(self, *steps):
        self._steps = list(steps)
        self._events = []
        self.pauses = []
        self.released = self.cuts = 0

    async def more(self, pause_s):
        self.pauses.append(pause_s)
        if not self._steps:
            return None
        step = self._steps.pop(0)
        if step is NEVER:
            await asyncio.Event().wait()
        if isinstance(step, Exception):
            raise step
        self._events += step
        return len(self._events)

    def rest(self):
        return self._events

    def translated(self, answer):
        return answer

    async def release(self):
        self.released += 1

    def ending(self):
        return []

    def cut(self):
        self.cuts += 1


async def whole(stream, held=(), n=1, idle_s=5.0):
    call = Call(surface=Surface.CHAT, body=b"{}", control=ChatControl(model="m", messages=[], n=n), request_id="r")
    heard = []
    clocks = Clocks(idle_s=idle_s, deadline_s=asyncio.get_running_loop().time() + 5)
    answer = await gathered(Begun(stream, list(held)), call, "up", clocks, heard.append)
    return answer, heard


@settings(deadline=None)
@given(st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=30), st.data())
def test_every_cutting_makes_the_same_answer(texts, data):
    events = datas(texts)
    borders = sorted(data.draw(st.lists(st.integers(0, len(events)), max_size=4)))
    batches = [events[a:b] for a, b in zip([0, *borders], [*borders, len(events)], strict=True)]
    answer, heard = asyncio.run(whole(Pieces(*batches[1:]), batches[0]))
    expected = json.loads(chat_reply("".join(texts)).chunks[0])
    expected["usage"] = {"prompt_tokens": 3, "completion_tokens": len(texts), "total_tokens": 3 + len(texts)}
    assert json.loads(answer.body) == expected
    assert answer.usage.output_tokens == len(texts)
    assert heard == sorted(heard)


async def test_a_complete_stream_is_released_and_one_that_is_not_is_cut():
    stream = Pieces(datas(["all"]))
    await whole(stream)
    assert stream.released == 1
    broken = Pieces(datas(["half"])[:2])
    with pytest.raises(AttemptFailed, match="without finishing"):
        await whole(broken)
    assert (broken.released, broken.cuts) == (0, 1)


@pytest.mark.parametrize(
    ("ending", "kind"),
    [
        (NEVER, FailureKind.SILENT),
        (UpstreamError("cut off"), FailureKind.BROKEN),
        ([b'{"error":{"message":"full","type":"rate_limit_error"}}'], FailureKind.LIMITED),
        ([b"{nonsense"], FailureKind.BROKEN),
        ([], FailureKind.BROKEN),
    ],
    ids=["silence", "cut", "error", "nonsense", "nothing"],
)
async def test_what_ends_it_early_is_a_failed_attempt(ending, kind):
    stream = Pieces(datas(["half"])[:2], ending)
    with pytest.raises(AttemptFailed) as caught:
        await whole(stream, idle_s=0.01)
    assert caught.value.kind is kind
    assert stream.cuts


async def test_nonsense_anywhere_fails_it_since_nobody_would_see_what_is_missing():
    first, *rest = datas(["a", "b"])
    with pytest.raises(AttemptFailed, match="not OpenAI's JSON"):
        await whole(Pieces([first, b"{nonsense", *rest]))
    held = Started(Pieces(), [chunk_of(first), MALFORMED])
    with pytest.raises(AttemptFailed, match="not OpenAI's JSON"):
        begun_of(held, held.stream, "up")
    assert held.stream.cuts


async def test_a_refusal_is_the_callers():
    with pytest.raises(UpstreamRefused):
        await whole(Pieces([b'{"error":{"message":"no","type":"invalid_request_error"}}']))


@pytest.mark.parametrize("ending", [UpstreamError("cut off"), NEVER])
async def test_an_end_that_is_not_clean_is_no_loss_once_all_is_said(ending):
    stream = Pieces(datas(["all"]), ending)
    answer, _ = await whole(stream, idle_s=0.01)
    assert b'"all"' in answer.body
    assert not stream.released


async def test_every_choice_must_end():
    with pytest.raises(AttemptFailed, match="without finishing"):
        await whole(Pieces(datas(["one"])), n=2)


async def test_halves_of_a_character_find_each_other_or_are_replaced():
    halves = [b'{"choices":[{"index":0,"delta":{"content":"%b"}}]}' % half for half in (rb"\ud83d", rb"\ude00")]
    end = b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'
    answer, _ = await whole(Pieces([*halves, end]))
    assert json.loads(answer.body)["choices"][0]["message"]["content"] == "😀"
    alone, _ = await whole(Pieces([halves[0], end]))
    assert json.loads(alone.body)["choices"][0]["message"]["content"] == "\ufffd"


async def test_an_answer_is_translated_for_its_caller():
    stream = Pieces(datas(["all"]))
    stream.translated = lambda answer: Answer(body=b"translated", usage=answer.usage)
    answer, _ = await whole(stream)
    assert answer.body == b"translated"


async def test_gulps_grow_with_the_time_it_takes_and_are_bounded():
    stream = Pieces(*[[data] for data in datas(["a", "b", "c"])])
    await whole(stream)
    assert stream.pauses[0] == 0.0
    assert all(0 <= pause_s <= PAUSE_S_MAX for pause_s in stream.pauses)


class Chatter(Pieces):
    """Sends for ever, but no events."""

    async def more(self, pause_s):
        await asyncio.sleep(0)
        return len(self._events)


class Uncuttable(Pieces):
    def rest(self):
        raise UpstreamError("an event too long")


async def test_what_makes_no_event_is_no_sign_of_life():
    with pytest.raises(AttemptFailed) as caught:
        await asyncio.wait_for(whole(Chatter(), datas(["half"])[:2], idle_s=0.01), 2)
    assert caught.value.kind is FailureKind.SILENT


async def test_what_cannot_be_cut_into_events_is_a_failed_attempt():
    with pytest.raises(AttemptFailed) as caught:
        await whole(Uncuttable(), datas(["half"])[:2])
    assert caught.value.kind is FailureKind.BROKEN
