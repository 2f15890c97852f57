import json

import pytest

from trunkline_gateway.dialects.assembly import assemble
from trunkline_gateway.dialects.canonical import Audio, Reasoning, Refusal, Text, ToolCall
from trunkline_gateway.dialects.events import (
    MALFORMED,
    Begin,
    ErrorEvent,
    Finish,
    FinishReason,
    LogprobsEvent,
    Other,
    TextDelta,
    TokenLogprob,
    TopLogprob,
    Usage,
)
from trunkline_gateway.dialects.openai_chat_answers import CALLS_MAX, StreamDecoder, decode_answer
from trunkline_gateway.sse import DONE
from trunkline_kit.errors import UpstreamError


def fed(*chunks):
    decoder = StreamDecoder()
    return [event for chunk in chunks for event in decoder.feed(json.dumps(chunk).encode())] + decoder.close()


def chunk(delta=None, finish=None, index=0, **fields):
    return {"id": "i", "choices": [{"index": index, "delta": delta or {}, "finish_reason": finish}], **fields}


def calls(*fragments):
    return chunk({"tool_calls": [*fragments]})


def whole(message, finish="stop", **fields):
    body = {"id": "i", "choices": [{"message": message, "finish_reason": finish}], **fields}
    return decode_answer(json.dumps(body).encode())


def test_begin_once_end_once_usage_once():
    """Whatever servers repeat."""
    used = {"prompt_tokens": 5, "completion_tokens": 1}
    events = fed(
        chunk({"role": "assistant", "content": ""}, usage=used),
        chunk({"content": "a"}, usage=used),
        chunk({}, "stop", usage={**used, "completion_tokens": 2}),
        chunk({}, "stop"),
    )
    assert events == [
        Begin(id="i"),
        TextDelta("a", 0, 1),
        Finish(FinishReason.STOP, 0, "stop"),
        Usage(input_tokens=5, output_tokens=2),
    ]


def test_done_ends_it():
    decoder = StreamDecoder()
    decoder.feed(json.dumps(chunk(usage={"prompt_tokens": 1})).encode())
    assert decoder.feed(DONE) == [Usage(input_tokens=1)]
    assert decoder.close() == []


def test_what_is_not_of_this_dialect_is_skipped():
    decoder = StreamDecoder()
    for odd in (b"{", b"[]", b'{"choices":7}', b"\xff"):
        (found,) = decoder.feed(odd)
        assert isinstance(found, Other)
        assert found.type == MALFORMED
    assert decoder.feed(json.dumps(chunk({"content": "a"})).encode())[1:] == [TextDelta("a", 0, 1)]


def test_half_characters():
    decoder = StreamDecoder()
    high, low = (
        decoder.feed(b'{"id":"i","choices":[{"delta":{"content":"%b"}}]}' % half) for half in (b"\\ud83d", b"\\ude00")
    )
    assert high == [Begin(id="i")]
    assert low == [TextDelta("\U0001f600", 0, 1)]


def test_choices_side_by_side():
    answer = assemble(
        fed(chunk({"content": "b"}, index=1), chunk({"content": "a"}), chunk({}, "stop", index=1), chunk({}, "length"))
    )
    assert [(choice.text, choice.finish) for choice in answer.choices] == [
        ("a", FinishReason.LENGTH),
        ("b", FinishReason.STOP),
    ]


@pytest.mark.parametrize(
    "fragments",
    [
        [
            {"index": 0, "id": "c", "function": {"name": "f", "arguments": ""}},
            {"index": 0, "function": {"arguments": "{}"}},
        ],
        [
            {"index": 0, "id": "c"},
            {"index": 0, "function": {"name": "f"}},
            {"index": 0, "function": {"arguments": "{}"}},
        ],
        [{"id": "c", "function": {"name": "f", "arguments": "{"}}, {"id": "c", "function": {"arguments": "}"}}],
        [{"id": "c", "function": {"name": "f", "arguments": "{"}}, {"function": {"arguments": "}"}}],
        [{"index": 0, "id": "c", "function": {"name": "f"}}],
    ],
)
def test_calls_as_servers_send_them(fragments):
    answer = assemble(fed(*map(calls, fragments), chunk({}, "stop")))
    assert answer.choices[0].parts == (ToolCall(id="c", name="f", arguments="{}"),)
    assert answer.choices[0].finish is FinishReason.TOOL_CALLS


def test_calls_without_indexes_and_ids():
    two = [
        {"id": "a", "function": {"name": "f", "arguments": "1"}},
        {"id": "b", "function": {"name": "g", "arguments": "2"}},
    ]
    assert [call.id for call in assemble(fed(*map(calls, two))).choices[0].tool_calls] == ["a", "b"]
    nameless = {"function": {"name": "f", "arguments": "{}"}}
    assert assemble(fed(calls(nameless))).choices[0].tool_calls[0].id == "call_i_0"
    same = {"id": "a", "function": {"name": "f", "arguments": "{}"}}
    assert len(whole({"tool_calls": [same, same]}).choices[0].tool_calls) == 2


def test_the_old_way_to_call():
    answer = assemble(
        fed(
            chunk({"function_call": {"name": "f", "arguments": "{"}}),
            chunk({"function_call": {"arguments": "}"}}),
            chunk({}, "function_call"),
        )
    )
    assert answer == whole({"function_call": {"name": "f", "arguments": "{}"}}, "function_call")
    assert answer.choices[0].tool_calls[0].arguments == "{}"


def test_numbers_beyond_reason():
    assert fed(calls({"index": CALLS_MAX, "id": "c", "function": {"name": "f"}}), calls({"index": -1, "id": "d"})) == [
        Begin(id="i")
    ]


def test_all_parts_in_their_order():
    message = {
        "content": "a",
        "reasoning": "t",
        "refusal": "r",
        "audio": {"id": "s", "data": "AA==", "transcript": "hi", "expires_at": 9},
        "tool_calls": [
            {
                "id": "c",
                "function": {"name": "f", "arguments": ""},
                "extra_content": {"google": {"thought_signature": "g"}},
            }
        ],
        "annotations": [
            {"type": "url_citation", "url_citation": {"url": "u", "title": "t", "start_index": 0, "end_index": 1}}
        ],
    }
    parts = whole(message).choices[0].parts
    assert [type(part) for part in parts] == [Reasoning, Text, Refusal, Audio, ToolCall]
    assert parts[4] == ToolCall(id="c", name="f", arguments="{}", signature="g")
    assert parts[3] == Audio(data="AA==", transcript="hi", id="s", expires_at=9)


def test_content_in_pieces():
    """Mistral's."""
    pieces = [{"type": "thinking", "thinking": [{"type": "text", "text": "t"}]}, {"type": "text", "text": "a"}]
    assert whole({"content": pieces}).choices[0].parts == (Reasoning(text="t"), Text(text="a"))


def test_logprobs():
    token = {"token": "a", "logprob": -1.0, "bytes": [97], "top_logprobs": [{"token": "b", "logprob": -2.0}]}
    choice = {"index": 0, "delta": {"content": "a"}, "logprobs": {"content": [token], "refusal": [token]}}
    expected = TokenLogprob("a", -1.0, (97,), (TopLogprob("b", -2.0),))
    assert fed({"id": "i", "choices": [choice]})[2:] == [
        LogprobsEvent((expected,), 0),
        LogprobsEvent((expected,), 0, refusal=True),
    ]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"message": "m", "type": "server_error"}, ErrorEvent("m", "server_error", retryable=True)),
        ({"message": "m", "code": 429}, ErrorEvent("m", code="429", retryable=True)),
        ({"message": "m", "code": 503}, ErrorEvent("m", code="503", retryable=True)),
        (
            {"message": "m", "type": "invalid_request_error", "param": "p"},
            ErrorEvent("m", "invalid_request_error", param="p"),
        ),
        ("gone", ErrorEvent("gone", retryable=True)),
        ([1], ErrorEvent("[1]", retryable=True)),
    ],
)
def test_errors_in_streams(error, expected):
    assert fed({"error": error}) == [expected]


@pytest.mark.parametrize("body", [b"{", b"{}", b'{"choices":[]}', b'{"error":{"message":"m"}}'])
def test_answers_that_are_none(body):
    with pytest.raises(UpstreamError):
        decode_answer(body)


def test_a_finish_in_other_words():
    assert whole({"content": "a"}, "eos").choices[0].finish is FinishReason.STOP
    odd = whole({"content": "a"}, "tired").choices[0]
    assert (odd.finish, odd.native_finish) == (FinishReason.OTHER, "tired")
    assert whole({"content": "a"}, None).choices[0].finish is None
