"""Cohere behind the gateway, over real sockets: both SDKs in front, a fake of its API behind."""

import base64
import json
import struct
from contextlib import AsyncExitStack

import anthropic
import pytest

from trunkline_testkit.upstream import Reply, chat_stream

KEY = "tl-test-key"
ASK = {"model": "fake", "messages": [{"role": "user", "content": "hello"}]}
SSE = (("content-type", "text/event-stream"),)
USAGE = {"billed_units": {"input_tokens": 11, "output_tokens": 7}, "tokens": {"input_tokens": 300}, "cached_tokens": 4}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CALL = {"id": "t1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}


def native(*said):
    """A stream as Cohere sends it."""
    return tuple(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n".encode() for one in said)


def event(kind, index=0, **message):
    return {"type": kind, "index": index, "delta": {"message": message}}


def end(reason, **more):
    return {"type": "message-end", "id": "c1", "delta": {"finish_reason": reason, "usage": USAGE, **more}}


START = {"type": "message-start", "id": "c1", "delta": {"message": {"role": "assistant", "content": []}}}
BEGUN = event("content-start", content={"type": "text", "text": ""})
DONE = b"data: [DONE]\n\n"
TEXT = native(
    START,
    BEGUN,
    event("content-delta", content={"text": "one "}),
    event("content-delta", content={"text": "two"}),
    {"type": "content-end", "index": 0},
    end("COMPLETE"),
)
CALLS = native(
    START,
    event("tool-plan-delta", tool_plan="I will "),
    event("tool-plan-delta", tool_plan="look."),
    event("tool-call-start", tool_calls={**CALL, "function": {"name": "f", "arguments": ""}}),
    event("tool-call-delta", tool_calls={"function": {"arguments": '{"a"'}}),
    event("tool-call-delta", tool_calls={"function": {"arguments": ":1}"}}),
    {"type": "tool-call-end", "index": 0},
    end("TOOL_CALL"),
)


def whole(reason="COMPLETE", **message):
    said = {"role": "assistant", "content": [{"type": "text", "text": "one two"}], **message}
    body = {"id": "c1", "message": said, "finish_reason": reason, "usage": USAGE}
    return Reply(chunks=(json.dumps(body).encode(),))


def error(status, message="no", headers=()):
    return Reply(
        status=status,
        headers=(("content-type", "application/json"), *headers),
        chunks=(json.dumps({"id": "e", "message": message}).encode(),),
    )


def account(upstream):
    return {"kind": "cohere", "base_url": upstream.base_url.removesuffix("/v1"), "api_key": "env:UP"}


def model(provider, **more):
    return {"deployments": [{"provider": provider, "model": "command-a"}], "retries": {"max_attempts": 1}, **more}


def many(upstream, count, **more):
    """Models `m0`, `m1`, …, each with an account of its own, as accounts that failed are left alone for a while."""
    models = {f"m{number}": model(f"up{number}", **more) for number in range(count)}
    return {"providers": {f"up{number}": account(upstream) for number in range(count)}, "models": models}


@pytest.fixture
async def cohere(open_harness, upstream):
    return await open_harness({"providers": {"up": account(upstream)}, "models": {"fake": model("up")}})


@pytest.fixture
async def claude_sdk():
    async with AsyncExitStack() as stack:

        async def made(harness):
            client = anthropic.AsyncAnthropic(api_key=KEY, base_url=harness.url, max_retries=0)
            return await stack.enter_async_context(client)

        yield made


async def said(harness, name):
    answer = await harness.sdk.chat.completions.create(**{**ASK, "model": name}, stream=True)
    return "".join([chunk.choices[0].delta.content or "" async for chunk in answer if chunk.choices])


async def test_openais_sdk_gets_a_whole_answer(cohere, upstream):
    upstream.replies(whole("MAX_TOKENS"))
    completion = await cohere.sdk.chat.completions.create(**ASK, top_p=0.5)
    assert (completion.choices[0].message.content, completion.choices[0].finish_reason) == ("one two", "length")
    assert (completion.usage.prompt_tokens, completion.usage.prompt_tokens_details.cached_tokens) == (11, 4)
    sent = upstream.requests[-1]
    assert (sent.path, sent.headers["authorization"]) == ("/v2/chat", "Bearer up-key")
    assert sent.json() == {"model": "command-a", "messages": ASK["messages"], "p": 0.5}


@pytest.mark.parametrize("done", [(), (DONE,)], ids=["at its end", "with a mark"])
async def test_openais_sdk_gets_a_stream(cohere, upstream, done):
    upstream.replies(Reply(headers=SSE, chunks=(*TEXT, *done)))
    answer = await cohere.sdk.chat.completions.create(**ASK, stream=True, stream_options={"include_usage": True})
    chunks = [chunk async for chunk in answer]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "one two"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (11, 7)


async def test_openais_sdk_gets_tool_calls(cohere, upstream):
    upstream.replies(Reply(headers=SSE, chunks=CALLS))
    answer = await cohere.sdk.chat.completions.create(**ASK, tools=[TOOL], tool_choice="required", stream=True)
    deltas = [chunk.choices[0].delta async for chunk in answer if chunk.choices]
    pieces = [piece for one in deltas for piece in one.tool_calls or ()]
    assert (pieces[0].id, pieces[0].function.name) == ("t1", "f")
    assert "".join(piece.function.arguments or "" for piece in pieces) == '{"a":1}'
    assert "".join(one.content or "" for one in deltas) == "I will look."
    assert upstream.requests[-1].json()["tool_choice"] == "REQUIRED"


async def test_anthropics_sdk_gets_tools_in_a_stream_and_sends_them_back(cohere, upstream, claude_sdk):
    tools = [{"name": "f", "input_schema": {"type": "object"}}]
    upstream.replies(Reply(headers=SSE, chunks=CALLS), whole())
    sdk = await claude_sdk(cohere)
    async with sdk.messages.stream(**ASK, max_tokens=50, tools=tools) as answer:
        final = await answer.get_final_message()
    assert [block.type for block in final.content] == ["text", "tool_use"]
    assert (final.content[1].input, final.stop_reason, final.usage.input_tokens) == ({"a": 1}, "tool_use", 7)
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "ok"}]}
    messages = [*ASK["messages"], {"role": "assistant", "content": final.content}, result]
    message = await sdk.messages.create(model="fake", messages=messages, max_tokens=50, tools=tools)
    assert message.content[0].text == "one two"
    assert upstream.requests[-1].json()["messages"][1:] == [
        {"role": "assistant", "tool_calls": [CALL], "tool_plan": "I will look."},
        {"role": "tool", "content": "ok", "tool_call_id": "t1"},
    ]


RESCUED = [
    error(429, "rate", (("retry-after", "60"),)),
    error(498, "blocked input: please adjust your prompt and try again"),
    error(400, "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 4292"),
    error(500),
    Reply(headers=SSE, chunks=native(START, end("ERROR", error="oh"))),
]
"""What another model may do better."""


async def test_what_another_model_may_do_better_falls_over(open_harness, upstream, backup):
    fallbacks = {name: ["second"] for name in ("on_error", "on_context_window", "on_content_policy")}
    tree = many(upstream, len(RESCUED), fallbacks=fallbacks, retries={"max_attempts": 2})
    tree["providers"]["other"] = {"kind": "openai", "base_url": backup.base_url}
    tree["models"]["second"] = {"deployments": [{"provider": "other", "model": "y"}]}
    harness = await open_harness(tree)
    for number, reply in enumerate(RESCUED):
        upstream.replies(reply)
        backup.replies(chat_stream([f"rescued {number}"]))
        assert await said(harness, f"m{number}") == f"rescued {number}"


ERRORS = [
    (error(429), 429, "upstream_rate_limited"),
    (error(401, "invalid api token up-key"), 502, "upstream_error"),
    (error(404, "model up-key not found"), 502, "upstream_error"),
    (error(400, "up-key is odd"), 400, "upstream_refused"),
    (error(422, "p must be lower"), 400, "upstream_refused"),
    (whole("ERROR"), 502, "upstream_error"),
]


async def test_errors(open_harness, upstream):
    harness = await open_harness(many(upstream, len(ERRORS)))
    for number, (reply, status, code) in enumerate(ERRORS):
        upstream.replies(reply)
        answer = await harness.post("/v1/chat/completions", {**ASK, "model": f"m{number}"})
        body = await answer.json()
        assert (answer.status, body["error"]["code"]) == (status, code), reply
        assert "up-key" not in json.dumps(body)


BREAKS = {
    "cut": Reply(headers=SSE, chunks=TEXT[:4], ending="cut"),
    "ended early": Reply(headers=SSE, chunks=TEXT[:5]),
    "only a mark": Reply(headers=SSE, chunks=(*TEXT[:4], DONE)),
    "timeout": Reply(headers=SSE, chunks=(*TEXT[:4], *native(end("TIMEOUT", error="up-key")))),
}


async def test_a_broken_stream_never_looks_complete(open_harness, upstream):
    harness = await open_harness(many(upstream, len(BREAKS)))
    for number, (how, reply) in enumerate(BREAKS.items()):
        upstream.replies(reply)
        answer = await harness.post("/v1/chat/completions", {**ASK, "model": f"m{number}", "stream": True})
        body = await answer.read()
        assert b'"error"' in body, how
        assert b"[DONE]" not in body, how
        assert b'finish_reason":"stop' not in body, how
        assert b"up-key" not in body, how
        # What is wrong in the first read is an error instead of a stream.
        broken = harness.metric("trunkline_gateway_broken_streams_total", provider=f"up{number}")
        assert (answer.status, broken) in {(200, 1), (502, 0)}, how


def embedded(values, kind="float", tokens=3):
    body = {"id": "e", "embeddings": {kind: values}, "meta": {"billed_units": {"input_tokens": tokens}}}
    return Reply(chunks=(json.dumps(body).encode(),))


async def test_openais_sdk_gets_embeddings(cohere, upstream):
    """The SDK asks for base64 by itself."""
    packed = [base64.b64encode(struct.pack("<2f", *pair)).decode() for pair in ((0.5, -1.0), (0.25, 2.0))]
    upstream.replies(embedded(packed, "base64"))
    answer = await cohere.sdk.embeddings.create(model="fake", input=["a", "b"], dimensions=2)
    assert [one.embedding for one in answer.data] == [[0.5, -1.0], [0.25, 2.0]]
    assert (answer.model, answer.usage.prompt_tokens) == ("fake", 3)
    sent = upstream.requests[-1]
    assert sent.path == "/v2/embed"
    assert sent.json() == {
        "model": "command-a",
        "texts": ["a", "b"],
        "input_type": "search_document",
        "embedding_types": ["base64"],
        "output_dimension": 2,
    }
    assert cohere.metric("trunkline_gateway_tokens_total", provider="up", **{"class": "input"}) == 3


async def test_many_texts_are_asked_for_in_pieces(cohere, upstream):
    upstream.replies(embedded([[float(i)] for i in range(96)]), embedded([[96.0], [97.0]]))
    texts = [str(i) for i in range(98)]
    answer = await cohere.sdk.embeddings.create(model="fake", input=texts, encoding_format="float")
    assert [one.embedding[0] for one in answer.data] == [*range(98)]
    assert [one.index for one in answer.data] == [*range(98)]
    assert answer.usage.total_tokens == 6


async def test_embeddings_that_are_not_what_was_asked_for(cohere, upstream):
    upstream.replies(embedded([[1.0]]))
    answer = await cohere.post("/v1/embeddings", {"model": "fake", "input": ["a", "b"]})
    assert answer.status == 502
    refused = await cohere.post("/v1/embeddings", {"model": "fake", "input": [1, 2]})
    assert (refused.status, (await refused.json())["error"]["param"]) == (400, "input")
