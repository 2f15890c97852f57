import json

import pytest
from msgspec import Raw

from trunkline_gateway.dialects.assembly import Answer, Choice
from trunkline_gateway.dialects.canonical import Audio, Citation, Reasoning, Refusal, Text, ToolCall
from trunkline_gateway.dialects.events import FinishReason, Usage
from trunkline_gateway.dialects.frames import Head
from trunkline_gateway.dialects.messages_answers import (
    STOP_REASONS,
    citation_out,
    encode_answer,
    encode_error,
    error_status,
    stop_reason,
)
from trunkline_kit import errors


def message_of(*parts, finish=FinishReason.STOP, **fields):
    answer = Answer(id="c", model="p", choices=(Choice(parts=parts, finish=finish, **fields),))
    return json.loads(encode_answer(answer, Head(id="msg_1", model="m")))


@pytest.mark.parametrize(
    ("message", "param", "said"),
    [
        ("images are not supported", "messages[0].content[1]", "messages.0.content.1: images are not supported"),
        ("top_k is not supported", "top_k", "top_k is not supported"),
        ("messages.0.role is wrong", "messages[0].role", "messages.0.role is wrong"),
        ("no", None, "no"),
    ],
)
def test_an_error_says_where(message, param, said):
    error = errors.Unsupported(message, param=param)
    assert json.loads(encode_error(error))["error"]["message"] == said


def test_the_least_there_is():
    assert message_of() == {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 0,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 0,
        },
    }
    assert json.loads(encode_answer(Answer(), Head()))["stop_reason"] is None


def test_blocks():
    blocks = message_of(
        Reasoning(text="t"),
        Reasoning(text="t", signature="s", origin="gemini"),
        Reasoning(encrypted="d", origin="anthropic"),
        Text(text="a", citations=(Citation(url="u"), Citation(title="no url"))),
        ToolCall(id="i", name="f", arguments=' {"a":1}'),
        ToolCall(id="j", name="f", arguments=""),
        Audio(transcript="hi"),
        Audio(data="AA"),
    )["content"]
    assert blocks[:3] == [
        {"type": "thinking", "thinking": "t", "signature": ""},
        {"type": "thinking", "thinking": "t", "signature": "trunkline.gemini.signature.s"},
        {"type": "redacted_thinking", "data": "d"},
    ]
    assert [cited["type"] for cited in blocks[3]["citations"]] == ["web_search_result_location"]
    assert [block.get("input") for block in blocks[4:6]] == [{"a": 1}, {}]
    assert blocks[6:] == [{"type": "text", "text": "hi", "citations": None}]


def test_a_refusal_is_text_and_a_reason():
    message = message_of(Refusal(text="no"))
    assert (message["content"][0]["text"], message["stop_reason"]) == ("no", "refusal")
    assert stop_reason(FinishReason.TOOL_CALLS, refused=True) == "tool_use"


def test_a_call_that_was_cut_off():
    """Its beginning cannot be said; the reason says that it is not to be made."""
    half = ToolCall(id="i", name="f", arguments='{"a":')
    message = message_of(half, finish=FinishReason.LENGTH)
    assert (message["content"][0]["input"], message["stop_reason"]) == ({}, "max_tokens")
    with pytest.raises(errors.UpstreamError):
        message_of(half, finish=FinishReason.TOOL_CALLS)


def test_usage_by_class():
    used = Usage(input_tokens=1, cache_read_tokens=2, cache_write_tokens=3, output_tokens=4, reasoning_tokens=2)
    answer = Answer(usage=used, choices=(Choice(finish=FinishReason.STOP_SEQUENCE, stop_sequence="X"),))
    message = json.loads(encode_answer(answer, Head()))
    assert message["usage"] == {
        "input_tokens": 1,
        "cache_creation_input_tokens": 3,
        "cache_read_input_tokens": 2,
        "output_tokens": 4,
    }
    assert (message["stop_reason"], message["stop_sequence"]) == ("stop_sequence", "X")


def test_citations():
    own = Citation(url="u", native=Raw(b'{"type":"x"}'), origin="anthropic")
    assert bytes(citation_out(own)) == b'{"type":"x"}'
    assert citation_out(Citation(title="t")) is None


@pytest.mark.parametrize("finish", FinishReason)
def test_every_end_has_a_word(finish):
    assert STOP_REASONS[finish]


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (errors.InvalidRequest("m"), 400, "invalid_request_error"),
        (errors.Unauthenticated("m"), 401, "authentication_error"),
        (errors.PermissionDenied("m"), 403, "permission_error"),
        (errors.ModelNotFound("m"), 404, "not_found_error"),
        (errors.BodyTooLarge("m"), 413, "request_too_large"),
        (errors.RateLimited("m"), 429, "rate_limit_error"),
        (errors.Overloaded("m"), 529, "overloaded_error"),
        (errors.Unavailable("m"), 503, "api_error"),
        (errors.UpstreamError("m"), 502, "api_error"),
        (errors.DeadlineExceeded("m"), 504, "timeout_error"),
    ],
)
def test_errors_as_anthropic_says_them(error, status, kind):
    assert error_status(error) == status
    assert json.loads(encode_error(error, "req_1")) == {
        "type": "error",
        "error": {"type": kind, "message": "m"},
        "request_id": "req_1",
    }
    assert "request_id" not in json.loads(encode_error(error))


def test_a_thread_that_cannot_be_kept_is_said_so_that_the_sdk_goes_on_without():
    """Its tool runner asks for one by itself, and sends everything again when it hears this."""
    said = json.loads(encode_error(errors.Unsupported("no", param="thread")))
    assert said["error"]["details"] == {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
    assert "details" not in json.loads(encode_error(errors.Unsupported("no", param="top_k")))["error"]
