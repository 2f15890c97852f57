"""Anthropic's dialect over a provider of OpenAI's, which knows nothing of it."""

import json

import pytest

from trunkline_gateway import body as bodies
from trunkline_gateway.chunks import Chunk, chunk_of
from trunkline_gateway.dialects.openai_chat_requests import Quirks
from trunkline_gateway.plan import Target
from trunkline_gateway.providers.base import Answer, Call, Terms
from trunkline_gateway.providers.over_chat import OverChat
from trunkline_gateway.surface import CONTROL_DECODERS, Surface
from trunkline_gateway.usage import usage_of
from trunkline_kit.clock import ManualClock

TARGET, TERMS = Target("m", "up", "real", 1.0), Terms(connect_s=1, total_s=1)
BODIES = {
    Surface.CHAT: b'{"model":"m","messages":[{"role":"user","content":"hi"}]}',
    Surface.MESSAGES: b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}',
}
ANSWER = (
    b'{"id":"c","object":"chat.completion","created":1,"model":"real","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"one"},"finish_reason":"stop"}]}'
)


def call(surface):
    control = bodies.decode(BODIES[surface], CONTROL_DECODERS[surface])
    return Call(surface=surface, body=BODIES[surface], control=control, request_id="r")


class Stream:
    def __init__(self, batches):
        self._batches = list(batches)
        self.released = self.was_cut = False

    async def next(self):
        return self._batches.pop(0) if self._batches else None

    async def release(self):
        self.released = True

    def ending(self):
        return []

    def cut(self):
        self.was_cut = True


class Chatting:
    """Speaks OpenAI's dialect and remembers what it was asked."""

    kind = "chatting"

    def __init__(self, batches=()):
        self.asked = []
        self.given = Stream(batches)

    async def whole(self, call, target, terms):
        self.asked.append(call)
        return Answer(body=ANSWER, usage=usage_of(3, 1))

    async def stream(self, call, target, terms):
        self.asked.append(call)
        return self.given

    async def check(self, provider_model):
        return f"asked for {provider_model}"


@pytest.fixture
def chatting():
    return Chatting(
        [[chunk_of(b'{"choices":[{"index":0,"delta":{"content":"one"}}]}')], [Chunk(b"", error=b'{"message":"full"}')]]
    )


@pytest.fixture
def over(chatting):
    return OverChat(chatting, ManualClock())


async def test_a_chat_goes_through_as_it_is(over, chatting):
    asked = call(Surface.CHAT)
    assert (await over.whole(asked, TARGET, TERMS)).body is ANSWER
    assert chatting.asked == [asked]
    assert await over.stream(asked, TARGET, TERMS) is chatting.given
    assert await over.check("real") == "asked for real"
    assert over.kind == "chatting"


async def test_a_message_is_asked_as_a_chat_and_answered_as_a_message(over, chatting):
    answer = await over.whole(call(Surface.MESSAGES), TARGET, TERMS)
    assert [block["text"] for block in json.loads(answer.body)["content"]] == ["one"]
    assert answer.usage.input_tokens == 3
    [asked] = chatting.asked
    assert asked.surface is Surface.CHAT
    assert asked.control.messages


async def test_a_stream_is_translated_and_its_errors_are_not(over, chatting):
    stream = await over.stream(call(Surface.MESSAGES), TARGET, TERMS)
    said = b"".join(chunk.data for chunk in await stream.next())
    assert b"event: message_start" in said
    assert b'"text":"one"' in said
    [failure] = await stream.next()
    assert failure.error == b'{"message":"full"}'
    assert await stream.next() is None
    stream.cut()
    await stream.release()
    assert (chatting.given.was_cut, chatting.given.released) == (True, True)


async def test_a_server_with_habits_is_asked_its_own_way(chatting):
    quirks = Quirks(output_limit_field="max_tokens", developer_role=False, reasoning_field="reasoning")
    await OverChat(chatting, ManualClock(), quirks).whole(call(Surface.MESSAGES), TARGET, TERMS)
    await OverChat(chatting, ManualClock()).whole(call(Surface.MESSAGES), TARGET, TERMS)
    own, usual = (json.loads(asked.body) for asked in chatting.asked)
    assert (own["max_tokens"], usual["max_completion_tokens"]) == (9, 9)
