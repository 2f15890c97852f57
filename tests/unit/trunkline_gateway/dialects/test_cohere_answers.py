import json

import pytest

from trunkline_gateway.dialects.assembly import assemble
from trunkline_gateway.dialects.canonical import Reasoning, Text, ToolCall
from trunkline_gateway.dialects.cohere_answers import StreamDecoder, decode_answer
from trunkline_gateway.dialects.events import (
    MALFORMED,
    Begin,
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

START = {"type": "message-start", "id": "i", "delta": {"message": {"role": "assistant", "content": []}}}
BEGUN = Begin(id="i")


def fed(*events):
    decoder = StreamDecoder()
    datas = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in events]
    return [found for data in datas for found in decoder.feed(data)] + decoder.close()


def content(index=0, **piece):
    return {"type": "content-delta", "index": index, "delta": {"message": {"content": piece}}}


def call(kind, index=0, **more):
    return {"type": f"tool-call-{kind}", "index": index, "delta": {"message": {"tool_calls": more}}}


def end(reason="COMPLETE", **more):
    return {"type": "message-end", "id": "i", "delta": {"finish_reason": reason, **more}}


def whole(finish_reason="COMPLETE", usage=None, **message):
    body = {"id": "i", "message": {"role": "assistant", **message}, "finish_reason": finish_reason, "usage": usage}
    return decode_answer(json.dumps(body).encode())


def test_a_stream():
    used = {"billed_units": {"input_tokens": 3, "output_tokens": 2.0}, "tokens": {"input_tokens": 300}}
    begun = {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}}
    events = fed(START, begun, content(text="a"), {"type": "content-end", "index": 0}, end(usage=used), b"[DONE]")
    assert events[0] == BEGUN
    assert events[1] == TextDelta("a", 0, 0)
    assert events[-2:] == [Finish(FinishReason.STOP, 0, "COMPLETE"), Usage(input_tokens=3, output_tokens=2)]


def test_a_stream_without_its_end_has_none():
    assert not any(isinstance(event, (Finish, Usage)) for event in fed(START, content(text="a"), b"[DONE]"))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"tokens": {"input_tokens": 5, "output_tokens": 1}}, Usage(input_tokens=5, output_tokens=1)),
        (
            {"billed_units": {}, "tokens": {"input_tokens": 5, "output_tokens": 1}},
            Usage(input_tokens=5, output_tokens=1),
        ),
        (
            {"billed_units": {"input_tokens": 5}, "cached_tokens": 3},
            Usage(input_tokens=2, cache_read_tokens=3),
        ),
        ({"billed_units": {"input_tokens": 5}, "cached_tokens": 300}, Usage(cache_read_tokens=5)),
        ({"billed_units": {"input_tokens": -5}}, Usage()),
        ({}, Usage()),
        (None, None),
    ],
)
def test_usage(said, expected):
    assert whole(usage=said, content=[{"type": "text", "text": "a"}]).usage == expected


def test_thoughts_plan_and_calls():
    function = {"name": "f", "arguments": '{"a":1}'}
    answer = whole(
        "TOOL_CALL",
        content=[{"type": "thinking", "thinking": "t"}],
        tool_plan="p",
        tool_calls=[{"id": "c", "function": function}, {"function": {"name": "g"}}],
    )
    expected = (
        Reasoning(text="t"),
        Text(text="p"),
        ToolCall(id="c", name="f", arguments='{"a":1}'),
        ToolCall(id="call_i_1", name="g", arguments="{}"),
    )
    assert answer.choices[0].parts == expected
    assert answer.choices[0].finish is FinishReason.TOOL_CALLS
    streamed = fed(
        START,
        content(thinking="t"),
        {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "p"}}},
        call("start", id="c", function={"name": "f", "arguments": ""}),
        call("delta", function={"arguments": '{"a"'}),
        call("delta", function={"arguments": ":1}"}),
        call("end"),
        call("start", 1, function={"name": "g"}),
        end("TOOL_CALL"),
    )
    assert assemble(streamed).choices[0].parts == answer.choices[0].parts
    assert [event.id for event in streamed if isinstance(event, ToolCallBegin)] == ["c", "call_i_1"]


def test_a_call_without_arguments_has_an_empty_object_once():
    events = fed(START, call("start", id="c", function={"name": "f"}), call("end"), end("TOOL_CALL"))
    assert [event.arguments for event in events if isinstance(event, ToolCallDelta)] == ["{}"]


@pytest.mark.parametrize(
    ("cited", "place"),
    [
        ({"content_index": 1}, 1),
        ({}, 1),
        ({"type": "PLAN", "content_index": 0}, 2),
    ],
)
def test_citations(cited, place):
    document = {"type": "document", "document": {"url": "https://e.example", "title": "t"}}
    said = {"start": 0, "end": 1, "text": "a", "sources": [{"type": "tool", "id": "x"}, document], **cited}
    thought = {"type": "thinking", "thinking": "t"}
    answer = whole(content=[thought, {"type": "text", "text": "a"}], tool_plan="a", citations=[said])
    event = {"type": "citation-start", "index": 0, "delta": {"message": {"citations": said}}}
    plan = {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "a"}}}
    streamed = fed(START, content(thinking="t"), content(1, text="a"), plan, event, end())
    for choice in (answer.choices[0], assemble(streamed).choices[0]):
        (citation,) = choice.parts[place].citations
        assert (citation.url, citation.title, citation.quote, citation.start) == ("https://e.example", "t", "a", 0)


def test_citations_of_thoughts_have_no_place():
    said = {"start": 0, "end": 1, "type": "THINKING_CONTENT"}
    assert [other.type for other in whole(content=[], citations=[said]).others] == ["citation"]
    assert [type(event) for event in fed({"type": "citation-start", "index": 0, "delta": {"message": {}}})] == [Other]


def test_what_has_no_counterpart():
    late = call("delta", 7, function={"arguments": "{}"})
    events = fed({"type": "debug", "prompt": "p"}, late, call("end", 7), content(5000, text="x"), content(-1, text="x"))
    assert [event.type for event in events] == [
        "debug",
        "tool-call-delta",
        "tool-call-end",
        "content-delta",
        "content-delta",
    ]


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"type":3}', b"{}", b"\xff"])
def test_what_cannot_be_read(data):
    (found,) = StreamDecoder().feed(data)
    assert isinstance(found, Other)
    assert found.type == MALFORMED


@pytest.mark.parametrize("reason", ["ERROR", "TIMEOUT"])
def test_an_answer_that_broke_off_is_none(reason):
    with pytest.raises(UpstreamError, match=reason):
        whole(reason, content=[{"type": "text", "text": "a"}])
    events = fed(START, content(text="a"), end(reason, error="oh"))
    assert events[-1] == ErrorEvent("oh", "server_error", reason, retryable=True)
    assert not any(isinstance(event, Finish) for event in events)


@pytest.mark.parametrize("body", [{}, {"message": "no"}, {"message": {}, "id": "i"}, []])
def test_a_whole_answer_that_is_none(body):
    with pytest.raises(UpstreamError):
        decode_answer(json.dumps(body).encode())


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("MAX_TOKENS", FinishReason.LENGTH),
        ("STOP_SEQUENCE", FinishReason.STOP_SEQUENCE),
        ("TOOL_CALL", FinishReason.TOOL_CALLS),
        ("ERROR_TOXIC", FinishReason.CONTENT_FILTER),
        ("TIRED", FinishReason.OTHER),
    ],
)
def test_ends(reason, finish):
    choice = whole(reason, content=[{"type": "text", "text": "a"}]).choices[0]
    assert (choice.finish, choice.native_finish) == (finish, reason)
    assert [event for event in fed(end(reason), end()) if isinstance(event, Finish)] == [Finish(finish, 0, reason)]
