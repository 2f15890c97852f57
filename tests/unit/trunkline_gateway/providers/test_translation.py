"""Between two dialects, piece by piece: what is passed on, what it means, and when it is complete."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway import body as bodies
from trunkline_gateway.chunks import MALFORMED
from trunkline_gateway.plan import FailureKind, Target
from trunkline_gateway.providers.base import AttemptFailed, Call
from trunkline_gateway.providers.translation import Translation
from trunkline_gateway.surface import CONTROL_DECODERS, Surface
from trunkline_kit.errors import Unsupported
from trunkline_kit.profiles import Profile

TARGET = Target("m", "up", "real", 1.0)
ASKED = {
    Surface.CHAT: {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True},
    Surface.MESSAGES: {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], "stream": True},
}


def call(surface, **more):
    body = json.dumps({**ASKED[surface], **more}).encode()
    control = bodies.decode(body, CONTROL_DECODERS[surface])
    return Call(surface=surface, body=body, control=control, request_id="r")


def chat_chunks(*texts):
    """The data of a stream of OpenAI's."""
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "real"}
    deltas = [
        ({"role": "assistant", "content": ""}, None),
        *(({"content": text}, None) for text in texts),
        ({}, "stop"),
    ]
    found = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": end}]} for delta, end in deltas]
    used = {**head, "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}
    return [json.dumps(one).encode() for one in (*found, used)]


def run(stream, datas):
    return [*stream.feed(datas), *stream.close()]


def test_a_request_is_made_for_the_target():
    sent = json.loads(Translation(call(Surface.MESSAGES), "openai", 1).request(TARGET))
    assert (sent["model"], sent["stream"]) == ("real", True)
    with pytest.raises(Unsupported) as caught:
        Translation(call(Surface.CHAT, n=2), "anthropic", 1).request(TARGET)
    assert caught.value.param == "n"


def test_what_a_models_profile_says_counts_over_its_protocol():
    able = msgspec.structs.replace(TARGET, profile=Profile(output_tokens_max=77))
    assert json.loads(Translation(call(Surface.CHAT), "anthropic", 1).request(able))["max_tokens"] == 77
    unable = msgspec.structs.replace(TARGET, profile=Profile(sampling=False))
    neutral = Translation(call(Surface.CHAT, temperature=1), "anthropic", 1)
    assert "temperature" not in json.loads(neutral.request(unable))
    with pytest.raises(Unsupported) as caught:
        Translation(call(Surface.CHAT, temperature=0.5), "anthropic", 1).request(unable)
    assert caught.value.param == "temperature"


@given(st.lists(st.text(min_size=1), min_size=1, max_size=5), st.data())
def test_however_events_arrive_the_same_goes_out(texts, data):
    datas = chat_chunks(*texts)
    at = data.draw(st.integers(0, len(datas)))
    translation = Translation(call(Surface.MESSAGES), "openai", 1)
    together, apart = translation.stream(), translation.stream()
    cut = [*apart.feed(datas[:at]), *run(apart, datas[at:])]
    whole = run(together, datas)
    assert b"".join(chunk.data for chunk in cut) == b"".join(chunk.data for chunk in whole)
    said = "".join(
        event["delta"]["text"]
        for block in b"".join(chunk.data for chunk in whole).decode().split("\n\n")
        if "text_delta" in block
        for event in [json.loads(block.partition("data: ")[2])]
    )
    assert said == "".join(texts)


def test_what_it_means_is_told_with_it():
    chunks = run(Translation(call(Surface.MESSAGES), "openai", 1).stream(), chat_chunks("one"))
    assert [chunk.finished for chunk in chunks if chunk.finished] == [(0,)]
    [usage] = [chunk.usage for chunk in chunks if chunk.usage]
    assert (usage.input_tokens, usage.output_tokens) == (3, 2)
    assert chunks[0].meaningful is False, "the beginning says nothing yet"
    assert chunks[-1].data.endswith(b'data: {"type":"message_stop"}\n\n')


def test_a_stream_that_breaks_off_has_no_end_of_its_own():
    chunks = run(Translation(call(Surface.MESSAGES), "openai", 1).stream(), chat_chunks("one")[:2])
    assert b"message_stop" not in b"".join(chunk.data for chunk in chunks)
    assert not any(chunk.finished for chunk in chunks)


def test_errors_and_nonsense_are_told_apart():
    stream = Translation(call(Surface.MESSAGES), "openai", 1).stream()
    [failure] = stream.feed([b'{"error":{"message":"full","type":"overloaded"}}'])
    assert json.loads(failure.error)["message"] == "full"
    assert stream.feed([b"nonsense"]) == [MALFORMED]
    assert stream.malformed == 1


def test_usage_goes_to_callers_of_openais_dialect_who_asked_for_it():
    events = [
        {
            "type": "message_start",
            "message": {
                "id": "m",
                "model": "c",
                "role": "assistant",
                "content": [],
                "usage": {"input_tokens": 4, "output_tokens": 1},
            },
        },
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
        {"type": "message_stop"},
    ]
    datas = [msgspec.json.encode(event) for event in events]
    chunks = run(Translation(call(Surface.CHAT), "anthropic", 1).stream(), datas)
    [last] = [chunk for chunk in chunks if chunk.usage]
    assert (last.bare_usage, json.loads(last.data)["usage"]["completion_tokens"]) == (True, 3)
    assert b"[DONE]" not in b"".join(chunk.data for chunk in chunks), "the sink says it"


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (b'{"promptFeedback":{"blockReason":"SAFETY"}}', FailureKind.POLICY),
        (b'{"candidates":[{"finishReason":"MALFORMED_FUNCTION_CALL"}]}', FailureKind.BROKEN),
    ],
)
def test_a_whole_answer_that_says_an_error_is_judged_as_one_in_a_stream(said, kind):
    with pytest.raises(AttemptFailed) as failed:
        Translation(call(Surface.CHAT), "gemini", 1).answer(said, "up")
    assert failed.value.kind is kind


def test_an_answer_that_is_none_is_a_failed_attempt():
    with pytest.raises(AttemptFailed):
        Translation(call(Surface.MESSAGES), "openai", 1).answer(b"<html>", "up")


@pytest.mark.parametrize(("surface", "named"), [(Surface.CHAT, "chatcmpl-r"), (Surface.MESSAGES, "msg_r")])
def test_an_answer_without_an_id_gets_one_whole_and_in_pieces(surface, named):
    message = {"role": "assistant", "content": [{"text": "a"}]}
    used = {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}
    whole = {"output": {"message": message}, "stopReason": "end_turn", "usage": used}
    translation = Translation(call(surface), "bedrock", 1)
    assert json.loads(translation.answer(json.dumps(whole).encode(), "up").body)["id"] == named
    nameless = [data.replace(b'"id": "c"', b'"id": ""') for data in chat_chunks("a")]
    data = b"".join([chunk.data for chunk in run(Translation(call(surface), "openai", 1).stream(), nameless)])
    assert b'"id":"' + named.encode() in data
