import json

import pytest

from trunkline_gateway.dialects.canonical import Citation
from trunkline_gateway.dialects.events import (
    AudioDelta,
    Begin,
    BlockEnd,
    CitationEvent,
    Finish,
    FinishReason,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallBegin,
    ToolCallDelta,
    Usage,
)
from trunkline_gateway.dialects.frames import Head, wire
from trunkline_gateway.dialects.messages_stream import PING, StreamEncoder
from trunkline_kit.errors import Overloaded

BEGIN = Begin(id="c", model="p")
A, B = ToolCallBegin(0, "a", "f", 0, 4), ToolCallBegin(1, "b", "g", 0, 5)
STOP = Finish(FinishReason.STOP)


def a(text):
    return ToolCallDelta(text, 0, 4)


def b(text):
    return ToolCallDelta(text, 0, 5)


def told(*events):
    """The frames of a whole stream, shortened to what happens."""
    encoder = StreamEncoder(Head(model="m"))
    frames = [*encoder.encode([BEGIN, *events]), *encoder.end()]
    return [short(json.loads(frame.data)) for frame in frames][1:-2]


def short(event):
    match event["type"]:
        case "content_block_start":
            block = event["content_block"]
            return f"{event['index']}+{block['type']}{':' + block['id'] if 'id' in block else ''}"
        case "content_block_delta":
            kind, value = [*event["delta"].items()][1]
            return f"{event['index']} {kind}={value}"
        case "content_block_stop":
            return f"{event['index']}-"
    return event["type"]


def test_the_frame_of_it_all():
    encoder = StreamEncoder(Head(id="msg_1", model="m"))
    frames = encoder.encode(
        [Begin(usage=Usage(input_tokens=7)), TextDelta("x"), STOP, Usage(input_tokens=7, output_tokens=3)]
    )
    frames += encoder.end()
    events = [json.loads(frame.data) for frame in frames]
    assert [frame.name for frame in frames] == [event["type"] for event in events]
    assert events[0]["message"]["usage"]["input_tokens"] == 7
    assert events[0]["message"]["content"] == []
    assert events[-2]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert events[-2]["usage"]["output_tokens"] == 3
    assert events[-1] == {"type": "message_stop"}
    assert wire(frames).startswith(b"event: message_start\ndata: {")


def test_what_a_stream_has_not_said_is_made_up_for():
    """No beginning, no end, no usage: the frames are all there."""
    encoder = StreamEncoder(Head())
    frames = [*encoder.encode([TextDelta("x"), TextDelta("y")]), *encoder.end()]
    assert [frame.name for frame in frames] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert [frame.name for frame in StreamEncoder(Head()).end()] == ["message_start", "message_delta", "message_stop"]


def test_usage_without_an_end_is_held():
    """A stream that breaks after its usage must not look complete."""
    assert not StreamEncoder(Head()).encode([Usage(output_tokens=3)])


def test_calls_one_after_the_other():
    assert told(A, a("{}"), B, b('{"x":'), b("1}"), STOP) == [
        "0+tool_use:a",
        "0 partial_json={}",
        "0-",
        "1+tool_use:b",
        '1 partial_json={"x":',
        "1 partial_json=1}",
        "1-",
    ]


def test_calls_side_by_side():
    """The second waits until the first is complete, and loses nothing."""
    assert told(A, B, b('{"x"'), a("{"), b(":1"), a("}"), b("}"), STOP) == [
        "0+tool_use:a",
        "0 partial_json={",
        "0 partial_json=}",
        "0-",
        "1+tool_use:b",
        '1 partial_json={"x"',
        "1 partial_json=:1",
        "1 partial_json=}",
        "1-",
    ]


def test_a_call_that_never_completes_lets_others_through_at_the_end():
    assert told(A, a("{"), B, b("{}"), TextDelta("t", 0, 1), STOP) == [
        "0+tool_use:a",
        "0 partial_json={",
        "0-",
        "1+tool_use:b",
        "1 partial_json={}",
        "1-",
        "2+text",
        "2 text=t",
        "2-",
    ]


def test_the_end_of_a_call_may_be_said():
    assert told(A, BlockEnd(0, 4), TextDelta("t", 0, 1), STOP)[:3] == ["0+tool_use:a", "0-", "1+text"]


def test_text_goes_on_in_a_block_of_its_own():
    assert told(TextDelta("t", 0, 1), A, a("{}"), TextDelta("u", 0, 1), STOP) == [
        "0+text",
        "0 text=t",
        "0-",
        "1+tool_use:a",
        "1 partial_json={}",
        "1-",
        "2+text",
        "2 text=u",
        "2-",
    ]


@pytest.mark.parametrize("late", [a(" "), BlockEnd(0, 4)])
def test_what_comes_for_a_closed_block(late):
    assert told(A, a("{}"), TextDelta("t", 0, 1), late, TextDelta("u", 0, 1), STOP)[3:] == [
        "1+text",
        "1 text=t",
        "1 text=u",
        "1-",
    ]


def test_thoughts():
    assert told(
        ReasoningDelta("t", 0, 0),
        ReasoningDelta("", 0, 0, signature="s", origin="anthropic"),
        ReasoningDelta("", 0, 1, encrypted="d", origin="anthropic"),
        STOP,
    ) == ["0+thinking", "0 thinking=t", "0 signature=s", "0-", "1+redacted_thinking", "1-"]


def test_citations_and_sound():
    cited = told(TextDelta("t", 0, 1), CitationEvent(Citation(url="u"), 0, 1), CitationEvent(Citation(), 0, 1), STOP)
    assert [line[:11] for line in cited] == ["0+text", "0 text=t", "0 citation=", "0-"]
    assert told(AudioDelta("AA", "hi", 0, 3), AudioDelta("BB", "", 0, 3), STOP) == ["0+text", "0 text=hi", "0-"]
    assert told(AudioDelta("AA", "", 0, 3), STOP) == []


def test_a_refusal():
    encoder = StreamEncoder(Head())
    frames = encoder.encode([BEGIN, RefusalDelta("no", 0, 2), STOP, Usage()])
    assert json.loads(frames[-1].data)["delta"]["stop_reason"] == "refusal"


def test_other_choices_are_left_out():
    assert told(TextDelta("a", 0, 1), TextDelta("b", 1, 1), Finish(FinishReason.STOP, 1), STOP) == [
        "0+text",
        "0 text=a",
        "0-",
    ]


def test_a_break():
    (frame,) = StreamEncoder(Head()).broken(Overloaded("busy"))
    assert frame.name == "error"
    assert json.loads(frame.data) == {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
    assert wire([PING]) == b'event: ping\ndata: {"type":"ping"}\n\n'
