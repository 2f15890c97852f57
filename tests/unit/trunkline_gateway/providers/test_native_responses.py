"""OpenAI's Responses as they pass through: what is left as it came, and what is read in them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway import body as bodies
from trunkline_gateway.chunks import error_of, is_meaningful
from trunkline_gateway.dialects.frames import Frame, wire
from trunkline_gateway.plan import Target
from trunkline_gateway.providers.base import AttemptFailed, Call
from trunkline_gateway.providers.native_responses import NativeEvents, answer_of, body_of, is_last
from trunkline_gateway.sse import DONE
from trunkline_gateway.surface import CONTROL_DECODERS, Surface
from trunkline_kit.errors import UpstreamError, UpstreamRateLimited
from trunkline_policy.faults import FailureKind

TARGET = Target("m", "up", "real")
USED = {
    "input_tokens": 9,
    "output_tokens": 5,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens_details": {"reasoning_tokens": 2},
}


def body(**asked):
    data = json.dumps({"model": "m", "input": "hi", **asked}).encode()
    control = bodies.decode(data, CONTROL_DECODERS[Surface.RESPONSES])
    return json.loads(body_of(Call(surface=Surface.RESPONSES, body=data, control=control, request_id="r"), TARGET))


def event(kind, **rest):
    return json.dumps({"type": kind, "sequence_number": 1, **rest}).encode()


def whole(**rest):
    return json.dumps({"id": "resp_1", "object": "response", "status": "completed", "output": [], **rest}).encode()


def same(data):
    return data


def test_a_request_keeps_everything_but_its_model():
    asked = {"stream": True, "store": False, "previous_response_id": "resp_1", "of_the_future": [1, {"a": None}]}
    assert body(**asked) == {"model": "real", "input": "hi", **asked}


def test_thoughts_of_other_providers_models_stay_here():
    own = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
    other = {**own, "encrypted_content": "trunkline.anthropic.signature.x"}
    said = {"role": "user", "content": 'what is "trunkline.anthropic"?'}
    assert body(input=[own, other, said])["input"] == [own, said]
    assert body(input='"trunkline.')["input"] == '"trunkline.'
    assert body(input=[said])["input"] == [said]


def test_a_whole_answer_is_passed_on_and_counted():
    data = whole(usage=USED)
    found = answer_of("up", data, same)
    assert found.body is data
    usage = found.usage
    assert (usage.input_tokens, usage.cached_tokens, usage.output_tokens, usage.reasoning_tokens) == (9, 4, 5, 2)
    assert answer_of("up", whole(), same).usage is None
    assert answer_of("up", whole(usage={"input_tokens": "many"}), same).usage is None


@pytest.mark.parametrize(
    "data", [b"nonsense", b"{}", b'{"object": "error"}', whole(status="failed")], ids=["text", "{}", "other", "failed"]
)
def test_what_is_no_answer_may_come_from_elsewhere(data):
    with pytest.raises(AttemptFailed) as caught:
        answer_of("up", data, same)
    assert caught.value.kind is FailureKind.BROKEN


def test_a_failure_in_a_200_is_judged_without_our_key():
    limited = whole(status="failed", error={"code": "rate_limit_exceeded", "message": "slow"})
    with pytest.raises(AttemptFailed) as caught:
        answer_of("up", limited, same)
    assert isinstance(caught.value.error, UpstreamRateLimited)
    secret = whole(status="failed", error={"code": "server_error", "message": "sk-1 broke"})
    with pytest.raises(AttemptFailed) as shown:
        answer_of("up", secret, lambda said: said.replace(b"sk-1", b"***"))
    assert isinstance(shown.value.error, UpstreamError)
    assert "*** broke" in str(shown.value.error)


def test_events_are_passed_on_as_they_came():
    datas = [event("response.created", response={"id": 1}), event("response.output_text.delta", delta="hi"), DONE]
    chunks = NativeEvents().feed(datas)
    names = ("response.created", "response.output_text.delta")
    assert [chunk.data for chunk in chunks] == [
        wire([Frame(data, name)]) for data, name in zip(datas, names, strict=False)
    ]
    assert [is_meaningful(chunk) for chunk in chunks] == [False, True]
    assert NativeEvents().close() == []


@pytest.mark.parametrize("kind", ["response.completed", "response.incomplete"])
def test_the_last_event_ends_and_counts(kind):
    data = event(kind, response={"id": "resp_1", "status": "x", "usage": USED})
    [chunk] = NativeEvents().feed([data])
    assert (chunk.finished, chunk.usage.output_tokens, chunk.bare_usage) == ((0,), 5, False)
    assert is_last(data)
    assert is_last(DONE)
    assert not is_last(event("response.output_text.done"))
    assert not is_last(b"nonsense")


@pytest.mark.parametrize(
    "data",
    [
        event("error", code="server_error", message="oh"),
        event("error", error={"code": "server_error", "message": "oh"}),
        event("response.failed", response={"status": "failed", "error": {"code": "server_error", "message": "oh"}}),
    ],
    ids=["error", "nested error", "failed"],
)
def test_errors_inside_a_stream_are_judged_and_not_passed_on(data):
    [chunk] = NativeEvents().feed([data])
    assert chunk.data == b""
    assert (error_of(chunk.error).code, error_of(chunk.error).message) == ("server_error", "oh")


@given(st.binary(max_size=40).filter(lambda data: data != DONE and b"type" not in data))
def test_nonsense_is_counted_and_left_out(data):
    [chunk] = NativeEvents().feed([data])
    assert chunk.malformed
    assert not chunk.data
