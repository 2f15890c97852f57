import json

import pytest
from msgspec import Raw

from trunkline_gateway.dialects.assembly import assemble
from trunkline_gateway.dialects.canonical import Citation, Reasoning, Text, ToolCall
from trunkline_gateway.dialects.events import (
    MALFORMED,
    Begin,
    BlockEnd,
    ErrorEvent,
    Finish,
    FinishReason,
    LogprobsEvent,
    Other,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
    ToolCallBegin,
    ToolCallDelta,
    TopLogprob,
    Usage,
)
from trunkline_gateway.dialects.gemini_answers import StreamDecoder, decode_answer
from trunkline_kit.errors import UpstreamError

SIGNED = {"thoughtSignature": "c2ln"}
BEGUN = Begin(id="r", model="gemini")


def said(*parts, usage=None, **candidate):
    content = {"content": {"parts": [*parts], "role": "model"}} if parts else {}
    found = {"responseId": "r", "modelVersion": "gemini", "candidates": [{**content, **candidate}]}
    return found if usage is None else {**found, "usageMetadata": usage}


def fed(*events):
    decoder = StreamDecoder()
    return [found for event in events for found in decoder.feed(json.dumps(event).encode())] + decoder.close()


def whole(*parts, finish="STOP", **fields):
    return decode_answer(json.dumps(said(*parts, finishReason=finish, **fields)).encode())


def test_a_stream():
    events = fed(
        said({"text": "Hm", "thought": True}, usage={"promptTokenCount": 7}),
        said({"text": "a"}, usage={"promptTokenCount": 7}),
        said({"text": "b"}, {"text": ""}),
        said(finishReason="STOP", usage={"promptTokenCount": 7, "candidatesTokenCount": 2, "thoughtsTokenCount": 3}),
    )
    assert events == [
        BEGUN,
        ReasoningDelta("Hm", 0, 0),
        BlockEnd(0, 0),
        TextDelta("a", 0, 1),
        TextDelta("b", 0, 1),
        BlockEnd(0, 1),
        Finish(FinishReason.STOP, 0, "STOP"),
        Usage(input_tokens=7, output_tokens=5, reasoning_tokens=3),
    ]


def test_calls_are_signed_on_the_call_and_before_it():
    call = {"functionCall": {"name": "f", "args": {"a": [1, "u"]}}, **SIGNED}
    assert fed(said(call, {"functionCall": {"id": "x", "name": "g"}}, finishReason="STOP")) == [
        BEGUN,
        ReasoningDelta("", 0, 0, signature="c2ln", origin="gemini"),
        BlockEnd(0, 0),
        ToolCallBegin(0, "call_r_0", "f", 0, 1, "c2ln"),
        ToolCallDelta('{"a":[1,"u"]}', 0, 1),
        BlockEnd(0, 1),
        ToolCallBegin(1, "x", "g", 0, 2),
        ToolCallDelta("{}", 0, 2),
        BlockEnd(0, 2),
        Finish(FinishReason.TOOL_CALLS, 0, "STOP"),
    ]


def test_a_texts_signature_follows_it():
    assert whole({"text": "a", **SIGNED}, {"text": "b"}).choices[0].parts == (
        Text(text="a"),
        Reasoning(encrypted="c2ln", origin="gemini"),
        Text(text="b"),
    )
    thoughts = ({"text": "t", "thought": True, **SIGNED}, {"text": "u", "thought": True})
    assert whole(*thoughts).choices[0].parts == (
        Reasoning(text="t", signature="c2ln", origin="gemini"),
        Reasoning(text="u"),
    )


@pytest.mark.parametrize(
    ("native", "reason"),
    [
        ("STOP", FinishReason.STOP),
        ("MAX_TOKENS", FinishReason.LENGTH),
        ("SAFETY", FinishReason.CONTENT_FILTER),
        ("RECITATION", FinishReason.CONTENT_FILTER),
        ("PROHIBITED_CONTENT", FinishReason.CONTENT_FILTER),
        ("LANGUAGE", FinishReason.OTHER),
        ("NEW_ONE", FinishReason.OTHER),
    ],
)
def test_finishes(native, reason):
    choice = whole({"text": "a"}, finish=native).choices[0]
    assert (choice.finish, choice.native_finish) == (reason, native)


@pytest.mark.parametrize("native", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL"])
def test_what_the_model_botched_is_no_end(native):
    answer = whole(finish=native, finishMessage="f(")
    assert answer.error == ErrorEvent(
        f"the model's answer cannot be used: {native}: f(", code=native.lower(), retryable=True
    )
    assert not answer.complete


def test_a_blocked_prompt_is_an_error_of_the_content():
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}, "responseId": "r", "usageMetadata": {"promptTokenCount": 4}}
    answer = decode_answer(json.dumps(blocked).encode())
    assert answer.error is not None
    assert (answer.error.type, answer.error.code) == ("invalid_request_error", "content_filter")
    assert "SAFETY" in answer.error.message
    assert answer.usage == Usage(input_tokens=4)
    assert assemble(fed(blocked)).error == answer.error
    worded = {"promptFeedback": {"blockReason": "OTHER", "blockReasonMessage": "no"}}
    assert fed(worded) == [ErrorEvent("no", "invalid_request_error", "content_filter")]


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[]",
        b"no",
        b'{"candidates":[]}',
        b'{"error":{"message":"m"}}',
        b'{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}',
    ],
)
def test_what_is_no_answer(body):
    with pytest.raises(UpstreamError):
        decode_answer(body)


@pytest.mark.parametrize(
    ("status", "kind", "code", "retryable"),
    [
        ("RESOURCE_EXHAUSTED", "rate_limit_error", "rate_limit_exceeded", True),
        ("UNAVAILABLE", "unavailable", "503", True),
        ("INVALID_ARGUMENT", "invalid_request_error", "503", False),
    ],
)
def test_errors_in_streams(status, kind, code, retryable):
    error = {"error": {"code": 503, "message": "m", "status": status, "details": [{"x": 1}]}}
    assert fed(error) == [ErrorEvent("m", kind, code, retryable=retryable)]


def test_a_picture_is_refused_aloud():
    answer = whole({"inlineData": {"mimeType": "image/png", "data": "AA=="}})
    assert answer.error is not None
    assert "image/png" in answer.error.message
    assert not answer.error.retryable


def test_code_that_ran_there_has_no_counterpart():
    answer = whole({"executableCode": {"code": "1"}}, {"codeExecutionResult": {"output": "1"}}, {"text": "a"}, {})
    assert [other.type for other in answer.others] == ["executable_code", "code_execution_result"]
    assert answer.choices[0].text == "a"


def test_classes_of_usage():
    usage = {
        "promptTokenCount": 100,
        "cachedContentTokenCount": 60,
        "toolUsePromptTokenCount": 5,
        "candidatesTokenCount": 9,
        "thoughtsTokenCount": 6,
        "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 3}, {"modality": "IMAGE", "tokenCount": 4}],
        "candidatesTokensDetails": [{"modality": "TEXT", "tokenCount": 9}],
    }
    assert whole({"text": "a"}, usage=usage).usage == Usage(
        input_tokens=45,
        cache_read_tokens=60,
        output_tokens=15,
        reasoning_tokens=6,
        audio_input_tokens=3,
        image_input_tokens=4,
    )


def test_citations_belong_to_the_text_that_is_being_said():
    sources = {"citationMetadata": {"citationSources": [{"startIndex": 0, "endIndex": 4, "uri": "u"}]}}
    grounding = {
        "groundingMetadata": {
            "groundingChunks": [{"web": {"uri": "w", "title": "t"}}],
            "groundingSupports": [{"segment": {"endIndex": 2}, "groundingChunkIndices": [0]}],
        }
    }
    cited = (Citation(url="u", start=0, end=3), Citation(url="w", title="t", start=0, end=2))
    expected = (Text(text="Grü", citations=cited), Reasoning(encrypted="c2ln", origin="gemini"))
    assert whole({"text": "Grü", **SIGNED}, **sources, **grounding).choices[0].parts == expected
    stream = fed(said({"text": "Gr"}, **sources), said({"text": "ü", **SIGNED}), said(finishReason="STOP", **grounding))
    assert assemble(stream).choices[0].parts == expected
    late = whole({"text": "Grü"}, {"functionCall": {"name": "f"}}, **sources)
    assert late.choices[0].parts == (Text(text="Grü"), ToolCall(id="call_r_0", name="f", arguments="{}"))


def test_logprobs_and_several_choices():
    logprobs = {
        "chosenCandidates": [{"token": "a", "tokenId": 5, "logProbability": -0.5}, {"token": "b"}],
        "topCandidates": [{"candidates": [{"token": "c", "logProbability": -2}]}],
    }
    body = said({"text": "ab"}, finishReason="STOP", logprobsResult=logprobs)
    body["candidates"].append({"index": 1, "content": {"parts": [{"text": "x"}]}, "finishReason": "STOP"})
    events = fed(body)
    tokens = (TokenLogprob("a", -0.5, top=(TopLogprob("c", -2.0),)), TokenLogprob("b", 0.0))
    assert LogprobsEvent(tokens, 0) in events
    assert [choice.text for choice in assemble(events).choices] == ["ab", "x"]


def test_what_comes_after_the_end_does_not_count():
    assert assemble(fed(said({"text": "a"}, finishReason="STOP"), said({"text": "b"}))).choices[0].text == "a"


def test_nonsense_is_left_out():
    decoder = StreamDecoder()
    assert decoder.feed(b"nonsense") == [Other(MALFORMED, Raw(b"nonsense"))]
    assert decoder.feed(json.dumps(said({"text": "a"})).encode())[1] == TextDelta("a", 0, 0)
    assert decoder.close() == []


def test_a_character_cut_in_two_is_one():
    decoder = StreamDecoder()
    events = decoder.feed(b'{"candidates":[{"content":{"parts":[{"text":"a\\ud83d"}]}}]}')
    events += decoder.feed(b'{"candidates":[{"content":{"parts":[{"text":"\\udc4b"}]},"finishReason":"STOP"}]}')
    assert assemble(events).choices[0].text == "a👋"
