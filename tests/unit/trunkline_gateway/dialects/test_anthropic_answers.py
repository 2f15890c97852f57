import json

import pytest
from msgspec import Raw

from trunkline_gateway.dialects.anthropic_answers import StreamDecoder, decode_answer
from trunkline_gateway.dialects.assembly import assemble
from trunkline_gateway.dialects.canonical import Citation, Reasoning, Text, ToolCall
from trunkline_gateway.dialects.events import (
    MALFORMED,
    Begin,
    BlockEnd,
    ErrorEvent,
    Finish,
    FinishReason,
    Other,
    TextDelta,
    ToolCallBegin,
    ToolCallDelta,
    Usage,
)
from trunkline_kit.errors import UpstreamError

START = {
    "type": "message_start",
    "message": {
        "id": "msg",
        "model": "claude",
        "content": [],
        "usage": {"input_tokens": 7, "cache_read_input_tokens": 2, "output_tokens": 1},
    },
}
BEGUN = Begin(id="msg", model="claude", usage=Usage(input_tokens=7, cache_read_tokens=2))


def fed(*events):
    decoder = StreamDecoder()
    return [found for event in events for found in decoder.feed(json.dumps(event).encode())] + decoder.close()


def block(index, start, *deltas):
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def end(reason="end_turn", **usage):
    return [{"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}, {"type": "message_stop"}]


def whole(*content, stop_reason="end_turn", **fields):
    body = {"id": "msg", "type": "message", "content": [*content], "stop_reason": stop_reason, **fields}
    return decode_answer(json.dumps(body).encode())


def test_a_stream():
    text = block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": "a"})
    assert fed(START, {"type": "ping"}, *text, *end(output_tokens=9)) == [
        BEGUN,
        TextDelta("a", 0, 0),
        BlockEnd(0, 0),
        Finish(FinishReason.STOP, 0, "end_turn"),
        Usage(input_tokens=7, cache_read_tokens=2, output_tokens=9),
    ]


def test_counts_are_cumulative():
    early, late = end(output_tokens=3)[0], end(output_tokens=5, input_tokens=8)
    events = fed(START, early, *late)
    assert [event for event in events if isinstance(event, Usage)] == [
        Usage(input_tokens=8, cache_read_tokens=2, output_tokens=5)
    ]
    assert sum(isinstance(event, Finish) for event in events) == 1


def test_a_placeholder_is_no_count():
    """A stream that is cut before its counts has no usage; what is known is what it began with."""
    assert fed(START) == [BEGUN]
    assert fed(START, end(output_tokens=0)[0])[-1] == Usage(input_tokens=7, cache_read_tokens=2)


def test_classes_of_usage():
    usage = {
        "input_tokens": 1,
        "cache_creation_input_tokens": 5,
        "cache_creation": {"ephemeral_1h_input_tokens": 3, "ephemeral_5m_input_tokens": 2},
        "cache_read_input_tokens": 4,
        "output_tokens": 9,
        "output_tokens_details": {"thinking_tokens": 6},
    }
    assert whole(usage=usage).usage == Usage(
        input_tokens=1,
        cache_read_tokens=4,
        cache_write_tokens=5,
        cache_write_1h_tokens=3,
        output_tokens=9,
        reasoning_tokens=6,
    )


@pytest.mark.parametrize(
    ("start", "deltas", "arguments"),
    [
        ({"input": {}}, [], "{}"),
        ({"input": {}}, [{"type": "input_json_delta", "partial_json": ""}], "{}"),
        ({"input": {"a": 1}}, [], '{"a":1}'),
        (
            {"input": {}},
            [{"type": "input_json_delta", "partial_json": '{"a"'}, {"type": "input_json_delta", "partial_json": ":1}"}],
            '{"a":1}',
        ),
    ],
)
def test_calls(start, deltas, arguments):
    events = fed(*block(3, {"type": "tool_use", "id": "i", "name": "f", **start}, *deltas))
    assert events[0] == ToolCallBegin(0, "i", "f", 0, 3)
    assert "".join(event.arguments for event in events if isinstance(event, ToolCallDelta)) == arguments
    assert events[-1] == BlockEnd(0, 3)


def test_calls_are_numbered_by_themselves():
    use = {"type": "tool_use", "id": "i", "name": "f", "input": {}}
    answer = whole({"type": "text", "text": "a"}, use, {**use, "input": {"b": [1, 2]}}, stop_reason="tool_use")
    assert answer.choices[0].parts == (
        Text(text="a"),
        ToolCall(id="i", name="f", arguments="{}"),
        ToolCall(id="i", name="f", arguments='{"b":[1,2]}'),
    )


def test_thoughts():
    shown = block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "t"},
        {"type": "signature_delta", "signature": "s"},
    )
    hidden = block(1, {"type": "redacted_thinking", "data": "d"})
    expected = (Reasoning(text="t", signature="s", origin="anthropic"), Reasoning(encrypted="d", origin="anthropic"))
    assert assemble(fed(*shown, *hidden)).choices[0].parts == expected
    assert (
        whole({"type": "thinking", "thinking": "t", "signature": "s"}, {"type": "redacted_thinking", "data": "d"})
        .choices[0]
        .parts
        == expected
    )


def test_citations():
    cited = {"type": "char_location", "document_title": "d", "cited_text": "q"}
    delta = {"type": "citations_delta", "citation": cited}
    streamed = assemble(fed(*block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": "a"}, delta)))
    (part,) = streamed.choices[0].parts
    assert isinstance(part, Text)
    raw = Raw(json.dumps(cited).encode())
    assert part.citations == (Citation(title="d", quote="q", native=raw, origin="anthropic"),)
    assert whole({"type": "text", "text": "a", "citations": [cited]}).choices[0].parts == (part,)


def test_what_has_no_counterpart():
    search = block(
        0,
        {"type": "server_tool_use", "id": "s", "name": "web_search"},
        {"type": "input_json_delta", "partial_json": "{"},
    )
    events = fed(
        *search, {"type": "new_event"}, *block(1, {"type": "text", "text": ""}, {"type": "text_delta", "text": "a"})
    )
    assert [event.type for event in events if isinstance(event, Other)] == [
        "server_tool_use",
        "content_block_delta",
        "new_event",
    ]
    assert events[-2:] == [TextDelta("a", 0, 1), BlockEnd(0, 1)]
    answer = whole({"type": "server_tool_use", "id": "s"}, {"type": "text", "text": "a"})
    assert [other.type for other in answer.others] == ["server_tool_use"]


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"type":3}', b"{}", b"\xff"])
def test_what_cannot_be_read(data):
    (found,) = StreamDecoder().feed(data)
    assert isinstance(found, Other)
    assert found.type == MALFORMED


@pytest.mark.parametrize("event", ["content_block_start", "content_block_delta", "message_start"])
def test_events_that_lack_what_their_name_says(event):
    assert [type(found) for found in fed({"type": event})] == [Other]


@pytest.mark.parametrize(
    ("kind", "retryable"),
    [("overloaded_error", True), ("api_error", True), ("rate_limit_error", True), ("invalid_request_error", False)],
)
def test_errors(kind, retryable):
    error = {"type": "error", "error": {"type": kind, "message": "m"}}
    assert fed(START, error) == [BEGUN, ErrorEvent("m", kind, retryable=retryable)]
    with pytest.raises(UpstreamError):
        decode_answer(json.dumps(error).encode())


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("max_tokens", FinishReason.LENGTH),
        ("stop_sequence", FinishReason.STOP_SEQUENCE),
        ("pause_turn", FinishReason.PAUSE),
        ("refusal", FinishReason.REFUSAL),
        ("model_context_window_exceeded", FinishReason.CONTEXT_FULL),
        ("tired", FinishReason.OTHER),
    ],
)
def test_ends(reason, finish):
    choice = whole(stop_reason=reason, stop_sequence="X").choices[0]
    assert (choice.finish, choice.native_finish, choice.stop_sequence) == (finish, reason, "X")
