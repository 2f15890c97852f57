import json

import pytest
from msgspec import Raw

from trunkline_gateway.dialects.assembly import assemble
from trunkline_gateway.dialects.bedrock_answers import StreamDecoder, decode_answer
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
    ToolCallDelta,
    Usage,
)
from trunkline_kit.errors import UpstreamError

USAGE = {"inputTokens": 7, "outputTokens": 9, "totalTokens": 16}


def fed(*messages):
    decoder = StreamDecoder()
    return [found for one in messages for found in decoder.feed(json.dumps(one).encode())] + decoder.close()


def delta(index=0, **said):
    return {"contentBlockDelta": {"contentBlockIndex": index, "delta": said}}


def call_start(index=0, **more):
    tool = {"toolUseId": "i", "name": "f", **more}
    return {"contentBlockStart": {"contentBlockIndex": index, "start": {"toolUse": tool}}}


def stop(index=0):
    return {"contentBlockStop": {"contentBlockIndex": index}}


def end(reason="end_turn"):
    return {"messageStop": {"stopReason": reason}}


def whole(*content, stop_reason="end_turn", **more):
    body = {"output": {"message": {"role": "assistant", "content": [*content]}}, "stopReason": stop_reason, **more}
    return decode_answer(json.dumps(body).encode())


def test_a_stream():
    start, used = {"messageStart": {"role": "assistant"}}, {"metadata": {"usage": USAGE, "metrics": {"latencyMs": 1}}}
    assert fed(start, delta(text="a"), delta(text=""), stop(), end(), used) == [
        Begin(),
        TextDelta("a", 0, 0),
        BlockEnd(0, 0),
        Finish(FinishReason.STOP, 0, "end_turn"),
        Usage(input_tokens=7, output_tokens=9),
    ]


def test_a_stream_that_does_not_say_that_it_begins():
    assert fed(delta(text="a"))[:2] == [Begin(), TextDelta("a", 0, 0)]


def test_a_stream_without_an_end_has_none():
    events = fed({"messageStart": {"role": "assistant"}}, delta(text="a"), stop())
    assert not any(isinstance(event, (Finish, Usage)) for event in events)


def test_classes_of_usage():
    details = [{"ttl": "1h", "inputTokens": 3}, {"ttl": "5m", "inputTokens": 2}]
    cached = {"cacheReadInputTokens": 4, "cacheWriteInputTokens": 5, "cacheDetails": details}
    expected = Usage(
        input_tokens=7, output_tokens=9, cache_read_tokens=4, cache_write_tokens=5, cache_write_1h_tokens=3
    )
    assert whole(usage=USAGE | cached).usage == expected
    assert fed({"metadata": {"usage": USAGE | cached}})[-1] == expected
    assert whole(usage={"inputTokens": -1}).usage == Usage()


@pytest.mark.parametrize(("pieces", "arguments"), [([], "{}"), ([""], "{}"), (['{"a"', ":1}"], '{"a":1}')])
@pytest.mark.parametrize("ended", [True, False])
def test_calls(pieces, arguments, ended):
    ends = [stop()] if ended else []
    events = fed(call_start(), *(delta(toolUse={"input": piece}) for piece in pieces), *ends, end("tool_use"))
    assert "".join(event.arguments for event in events if isinstance(event, ToolCallDelta)) == arguments
    assert assemble(events).choices[0].parts == (ToolCall(id="i", name="f", arguments=arguments),)


def test_whole_calls():
    tool = {"toolUseId": "i", "name": "f"}
    answer = whole({"toolUse": {**tool, "input": {"a": [1]}}}, {"toolUse": tool}, stop_reason="tool_use")
    assert [part.arguments for part in answer.choices[0].parts] == ['{"a":[1]}', "{}"]


def test_thoughts():
    shown = {"reasoningContent": {"reasoningText": {"text": "t", "signature": "s"}}}
    hidden = {"reasoningContent": {"redactedContent": "ZA=="}}
    expected = (Reasoning(text="t", signature="s", origin="bedrock"), Reasoning(encrypted="ZA==", origin="bedrock"))
    assert whole(shown, hidden).choices[0].parts == expected
    said = [delta(reasoningContent={"text": "t"}), delta(reasoningContent={"signature": "s"}), stop()]
    secret = [delta(1, reasoningContent={"redactedContent": "ZA=="}), stop(1)]
    assert assemble(fed(*said, *secret)).choices[0].parts == expected


def test_citations():
    cited = {"title": "d", "sourceContent": [{"text": "q"}], "location": {"documentChar": {"documentIndex": 0}}}
    part = Text(
        text="a", citations=(Citation(title="d", quote="q", native=Raw(json.dumps(cited).encode()), origin="bedrock"),)
    )
    assert whole({"citationsContent": {"content": [{"text": "a"}], "citations": [cited]}}).choices[0].parts == (part,)
    assert assemble(fed(delta(text="a"), delta(citation=cited), stop())).choices[0].parts == (part,)


def test_what_has_no_counterpart():
    searched = [call_start(type="server_tool_use"), delta(toolUse={"input": "{"}), stop()]
    picture = {"contentBlockStart": {"contentBlockIndex": 1, "start": {"image": {"format": "png"}}}}
    events = fed(*searched, picture, delta(1, image={}), {"newEvent": {}}, delta(2, text="a"))
    assert [event.type for event in events if isinstance(event, Other)] == [
        "contentBlockStart",
        "contentBlockDelta",
        "contentBlockStart",
        "contentBlockDelta",
        "newEvent",
    ]
    assert events[-1] == TextDelta("a", 0, 2)
    answer = whole({"image": {"format": "png"}}, {"text": "a"})
    assert [other.type for other in answer.others] == ["block"]
    assert answer.choices[0].text == "a"


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"contentBlockDelta":3}', b"{}", b"\xff"])
def test_what_cannot_be_read(data):
    (found,) = StreamDecoder().feed(data)
    assert isinstance(found, Other)
    assert found.type == MALFORMED


def test_a_character_cut_in_two():
    halves = [
        b'{"contentBlockDelta":{"contentBlockIndex":0,"delta":{"text":"a\\ud83d"}}}',
        b'{"contentBlockDelta":{"contentBlockIndex":0,"delta":{"text":"\\udc4b"}}}',
    ]
    decoder = StreamDecoder()
    assert assemble([event for data in halves for event in decoder.feed(data)]).choices[0].text == "a👋"


@pytest.mark.parametrize(
    ("name", "kind", "retryable"),
    [
        ("throttlingException", "rate_limit_error", True),
        ("validationException", "invalid_request_error", False),
        ("internalServerException", "server_error", True),
        ("modelStreamErrorException", "server_error", True),
        ("serviceUnavailableException", "server_error", True),
        ("someNewException", "server_error", True),
        ("error", "server_error", True),
    ],
)
def test_errors(name, kind, retryable):
    assert fed({name: {"message": "m"}}) == [ErrorEvent("m", kind, name, retryable=retryable)]
    assert fed({name: {}})[0].message == name
    assert fed({name: 3})[0].message == name


@pytest.mark.parametrize(
    "body", [{}, {"message": "no"}, {"output": {}}, {"output": {"message": {"content": []}}}, [], {"stopReason": "x"}]
)
def test_a_whole_answer_that_is_none(body):
    with pytest.raises(UpstreamError):
        decode_answer(json.dumps(body).encode())


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("max_tokens", FinishReason.LENGTH),
        ("stop_sequence", FinishReason.STOP_SEQUENCE),
        ("tool_use", FinishReason.TOOL_CALLS),
        ("guardrail_intervened", FinishReason.CONTENT_FILTER),
        ("content_filtered", FinishReason.CONTENT_FILTER),
        ("model_context_window_exceeded", FinishReason.CONTEXT_FULL),
        ("malformed_tool_use", FinishReason.ERROR),
        ("tired", FinishReason.OTHER),
    ],
)
def test_ends(reason, finish):
    choice = whole({"text": "a"}, stop_reason=reason).choices[0]
    assert (choice.finish, choice.native_finish) == (finish, reason)
    assert [event for event in fed(end(reason), end("end_turn")) if isinstance(event, Finish)] == [
        Finish(finish, 0, reason)
    ]
