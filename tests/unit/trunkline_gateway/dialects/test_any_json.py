"""Whatever JSON comes, from callers or providers, ends in a value or in an error of ours."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.dialects import matrix
from trunkline_gateway.dialects.canonical import Request
from trunkline_gateway.dialects.frames import Head
from trunkline_gateway.dialects.responses_requests import echo_of, items_of
from trunkline_kit.errors import InvalidRequest, UpstreamError

leaves = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=8)
)
words = st.sampled_from(
    [
        "model",
        "messages",
        "input",
        "role",
        "content",
        "type",
        "text",
        "user",
        "index",
        "delta",
        "choices",
        "usage",
        "id",
    ]
)
anything = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(words, inner, max_size=4)),
    max_leaves=12,
)

CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
REQUESTS = {
    "chat": {
        "model": "m",
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "s"}]},
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://e/x", "detail": "low"}}]},
            {"role": "user", "content": [{"type": "file", "file": {"file_data": "data:text/plain;base64,QQ=="}}]},
            {"role": "assistant", "content": None, "tool_calls": [CALL], "thinking_blocks": [{"type": "thinking"}]},
            {"role": "tool", "tool_call_id": "c", "content": "r"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}},
        "reasoning_effort": "low",
        "stop": ["x"],
    },
    "messages": {
        "model": "m",
        "max_tokens": 2000,
        "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {
                "role": "user",
                "content": [{"type": "document", "source": {"type": "text", "media_type": "t", "data": "x"}}],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "t", "signature": "s"},
                    {"type": "tool_use", "id": "c", "name": "f", "input": {}},
                ],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "r"}]},
        ],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "tool", "name": "f"},
        "thinking": {"type": "enabled", "budget_tokens": 1500},
    },
    "responses": {
        "model": "m",
        "instructions": "s",
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "x"}]},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "t"}], "encrypted_content": "e"},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "r"},
        ],
        "tools": [{"type": "function", "name": "f", "parameters": {}, "strict": True}],
        "text": {"format": {"type": "json_object"}},
        "reasoning": {"effort": "low", "summary": "auto"},
    },
}
CHUNK = {"id": "i", "model": "m", "created": 1}
GEMINI = {"responseId": "i", "modelVersion": "m", "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 2}}
SIGNED = {"thoughtSignature": "cw=="}
GEMINI_END = {
    "finishReason": "STOP",
    "citationMetadata": {"citationSources": [{"startIndex": 0, "endIndex": 1, "uri": "https://example.com/"}]},
    "groundingMetadata": {
        "groundingChunks": [{"web": {"uri": "u", "title": "t"}}],
        "groundingSupports": [{"segment": {"endIndex": 1}, "groundingChunkIndices": [0]}],
    },
    "logprobsResult": {"chosenCandidates": [{"token": "a", "logProbability": -1.0}], "topCandidates": [{}]},
}
BEDROCK_CITATION = {"title": "t", "sourceContent": [{"text": "q"}], "location": {"web": {"url": "u"}}}
BEDROCK_USAGE = {"inputTokens": 1, "outputTokens": 2, "cacheDetails": [{"ttl": "1h", "inputTokens": 1}]}
COHERE_CITATION = {"start": 0, "end": 1, "text": "a", "sources": [{"type": "document", "document": {"url": "u"}}]}
COHERE_USAGE = {"billed_units": {"input_tokens": 1}, "tokens": {"output_tokens": 2}, "cached_tokens": 1}
EVENTS = {
    "openai": [
        CHUNK | {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "a", "annotations": []}}]},
        CHUNK
        | {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, **CALL}]}, "logprobs": {"content": []}}]},
        CHUNK | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1}},
        {"error": {"message": "m", "code": 500}},
    ],
    "anthropic": [
        {"type": "message_start", "message": {"id": "i", "model": "m", "content": [], "usage": {"input_tokens": 1}}},
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "tool_use", "id": "c", "name": "f", "input": {}},
        },
        {"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta", "citation": {"url": "u"}}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
        {"type": "message_stop"},
        {"type": "error", "error": {"type": "overloaded_error", "message": "m"}},
    ],
    "gemini": [
        GEMINI | {"candidates": [{"content": {"parts": [{"text": "t", "thought": True, "thoughtSignature": "cw=="}]}}]},
        GEMINI | {"candidates": [{"index": 0, "content": {"parts": [{"text": "a"}, {"text": "", **SIGNED}]}}]},
        GEMINI
        | {"candidates": [{"content": {"parts": [{"functionCall": {"name": "f", "args": {"a": 1}}, **SIGNED}]}}]},
        GEMINI | {"candidates": [GEMINI_END]},
        {"promptFeedback": {"blockReason": "SAFETY"}},
        {"error": {"code": 503, "message": "m", "status": "UNAVAILABLE"}},
    ],
    "bedrock": [
        {"messageStart": {"role": "assistant"}},
        {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "t"}}}},
        {"contentBlockDelta": {"contentBlockIndex": 1, "delta": {"text": "a"}}},
        {"contentBlockDelta": {"contentBlockIndex": 1, "delta": {"citation": BEDROCK_CITATION}}},
        {"contentBlockStart": {"contentBlockIndex": 2, "start": {"toolUse": {"toolUseId": "c", "name": "f"}}}},
        {"contentBlockDelta": {"contentBlockIndex": 2, "delta": {"toolUse": {"input": "{}"}}}},
        {"contentBlockStop": {"contentBlockIndex": 2}},
        {"messageStop": {"stopReason": "end_turn"}},
        {"metadata": {"usage": BEDROCK_USAGE}},
        {"throttlingException": {"message": "m"}},
    ],
    "cohere": [
        {"type": "message-start", "id": "i"},
        {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}},
        {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "a"}}}},
        {"type": "citation-start", "index": 0, "delta": {"message": {"citations": COHERE_CITATION}}},
        {"type": "content-end", "index": 0},
        {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "p"}}},
        {"type": "tool-call-start", "index": 0, "delta": {"message": {"tool_calls": CALL}}},
        {"type": "tool-call-delta", "index": 0, "delta": {"message": {"tool_calls": CALL}}},
        {"type": "tool-call-end", "index": 0},
        {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": COHERE_USAGE}},
    ],
}
ANSWERS = {
    "openai": CHUNK
    | {"choices": [{"index": 0, "message": {"content": "a", "tool_calls": [CALL]}, "finish_reason": "stop"}]}
    | {"usage": {"prompt_tokens": 1, "completion_tokens": 2}},
    "anthropic": {
        "id": "i",
        "type": "message",
        "content": [
            {"type": "text", "text": "a", "citations": [{}]},
            {"type": "tool_use", "id": "c", "name": "f", "input": {}},
        ],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 1, "output_tokens": 2},
    },
    "gemini": GEMINI
    | {
        "candidates": [
            {"content": {"parts": [{"text": "a"}, {"functionCall": {"name": "f", "args": {}}, **SIGNED}]}, **GEMINI_END}
        ]
    },
    "bedrock": {
        "output": {
            "message": {
                "content": [
                    {"reasoningContent": {"reasoningText": {"text": "t", "signature": "s"}}},
                    {"citationsContent": {"content": [{"text": "a"}], "citations": [BEDROCK_CITATION]}},
                    {"toolUse": {"toolUseId": "c", "name": "f", "input": {}}},
                ]
            }
        },
        "stopReason": "tool_use",
        "usage": BEDROCK_USAGE,
    },
    "cohere": {
        "id": "i",
        "message": {
            "content": [{"type": "text", "text": "a"}],
            "tool_plan": "p",
            "tool_calls": [CALL],
            "citations": [COHERE_CITATION],
        },
        "finish_reason": "TOOL_CALL",
        "usage": COHERE_USAGE,
    },
}


def places(value, path=()):
    """Every place in a JSON value."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from places(item, (*path, key))


@st.composite
def nearly(draw, value):
    """A value with a few places replaced by anything."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from([*places(value)]))
        if not path:
            return draw(anything)
        target = value
        for key in path[:-1]:
            target = target[key]
        if draw(st.booleans()):
            target[path[-1]] = draw(anything)
        elif isinstance(target, dict):
            target[draw(words)] = draw(anything)
    return value


def refused_by_name(request: Request, provider: matrix.Provider) -> bool:
    """Whether it was refused and the error says which field; else it must have become JSON."""
    try:
        body = provider.encode_request(request, provider.abilities, "m")
    except InvalidRequest as error:
        return bool(error.param)
    return json.loads(body).get("model", "m") == "m"


@pytest.mark.parametrize("client", matrix.CLIENTS, ids=lambda client: client.name)
@given(data=st.data())
def test_any_request(client, data):
    body = json.dumps(data.draw(st.one_of(anything, nearly(REQUESTS[client.name])))).encode()
    try:
        request = client.decode_request(body)
    except InvalidRequest:
        return
    assert echo_of(body)
    for provider in matrix.PROVIDERS:
        assert refused_by_name(request, provider)


@given(body=st.binary(max_size=40))
@pytest.mark.parametrize("client", matrix.CLIENTS, ids=lambda client: client.name)
def test_any_bytes(client, body):
    with pytest.raises(InvalidRequest):
        client.decode_request(body)
    with pytest.raises(InvalidRequest):
        items_of(body)


@pytest.mark.parametrize("key", matrix.PAIRS, ids="_".join)
@given(data=st.data())
def test_any_stream(key, data):
    """Events in any order, some of them broken; the client's frames are JSON, and its ends come once."""
    pair = matrix.PAIRS[key]
    pieces = data.draw(
        st.lists(st.sampled_from(EVENTS[key[1]]).flatmap(lambda e: st.one_of(st.just(e), nearly(e))), max_size=8)
    )
    decoder, encoder = pair.provider.open_stream(), pair.client.open_stream(Head(), b'{"model":"m"}')
    frames = []
    for piece in pieces:
        frames += encoder.encode(decoder.feed(json.dumps(piece).encode()))
    frames += encoder.encode(decoder.feed(data.draw(st.binary(max_size=10))))
    frames += encoder.encode(decoder.close())
    for frame in [*frames, *encoder.end()]:
        assert frame.data == b"[DONE]" or json.loads(frame.data)


@pytest.mark.parametrize("key", matrix.PAIRS, ids="_".join)
@given(data=st.data())
def test_any_whole_answer(key, data):
    pair = matrix.PAIRS[key]
    body = json.dumps(data.draw(st.one_of(anything, nearly(ANSWERS[key[1]])))).encode()
    try:
        answer = pair.provider.decode_answer(body)
        assert json.loads(pair.client.encode_answer(answer, Head(), b'{"model":"m"}'))
    except UpstreamError:
        pass


def test_the_examples_are_good():
    """Else the tests above would only see refusals."""
    for client in matrix.CLIENTS:
        request = client.decode_request(json.dumps(REQUESTS[client.name]).encode())
        assert request.messages
    for provider in matrix.PROVIDERS:
        assert provider.decode_answer(json.dumps(ANSWERS[provider.name]).encode()).complete
