"""Bedrock behind the gateway, over real sockets: both SDKs in front, a fake of its Converse behind."""

import json
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from urllib.parse import quote

import anthropic
import openai
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from trunkline_testkit.aws_frames import CONTENT_TYPE, events
from trunkline_testkit.upstream import Reply, chat_stream

KEY = "tl-test-key"
MODEL = "eu.anthropic.claude-x-v1:0"
ASK = {"model": "fake", "messages": [{"role": "user", "content": "hello"}]}
AWS = {"AWS_ID": "AKIDEXAMPLE", "AWS_SECRET": "wJalrXUtnFEMI", "AWS_TOKEN": "FwoGZXIvYXdzEJr//token=="}
STREAM = (("content-type", CONTENT_TYPE),)
USAGE = {"inputTokens": 11, "outputTokens": 7, "totalTokens": 22, "cacheReadInputTokens": 4}
WHOLE = {
    "output": {"message": {"role": "assistant", "content": [{"text": "one two"}]}},
    "stopReason": "end_turn",
    "usage": USAGE,
    "metrics": {"latencyMs": 9},
}
START = {"messageStart": {"role": "assistant"}}
END = [{"messageStop": {"stopReason": "end_turn"}}, {"metadata": {"usage": USAGE, "metrics": {"latencyMs": 9}}}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def delta(index=0, **said):
    return {"contentBlockDelta": {"contentBlockIndex": index, "delta": said, "p": "abcdef"}}


def whole(**changes):
    return Reply(chunks=(json.dumps({**WHOLE, **changes}).encode(),))


def stream(*said, **options):
    return Reply(headers=STREAM, chunks=events(said), **options)


TEXT = stream(START, delta(text="one "), delta(text="two"), {"contentBlockStop": {"contentBlockIndex": 0}}, *END)
CALLS = stream(
    START,
    delta(text="Let me look."),
    {"contentBlockStop": {"contentBlockIndex": 0}},
    {"contentBlockStart": {"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "t1", "name": "f"}}}},
    delta(1, toolUse={"input": '{"a":'}),
    delta(1, toolUse={"input": "1}"}),
    {"contentBlockStop": {"contentBlockIndex": 1}},
    {"messageStop": {"stopReason": "tool_use"}},
    END[1],
)


def error(status, name, message="no"):
    headers = (("content-type", "application/json"), ("x-amzn-errortype", f"{name}:http://internal.amazon.com/"))
    return Reply(status=status, headers=headers, chunks=(json.dumps({"message": message}).encode(),))


def tree_of(upstream, **account):
    provider = {"kind": "bedrock", "region": "eu-west-1", "base_url": upstream.base_url.removesuffix("/v1"), **account}
    return {"providers": {"up": provider}, "models": {"fake": model("up")}}


def model(provider, **more):
    return {"deployments": [{"provider": provider, "model": MODEL}], "retries": {"max_attempts": 1}, **more}


def many(upstream, count, **more):
    """Models `m0`, `m1`, …, each with an account of its own, as accounts that failed are left alone for a while."""
    one = tree_of(upstream, api_key="env:UP")["providers"]["up"]
    models = {f"m{number}": model(f"up{number}", **more) for number in range(count)}
    return {"providers": {f"up{number}": one for number in range(count)}, "models": models}


@pytest.fixture
async def bedrock(open_harness, upstream):
    """A gateway in front of Bedrock, with its own API key."""
    return await open_harness(tree_of(upstream, api_key="env:UP"))


@pytest.fixture
async def claude_sdk():
    async with AsyncExitStack() as stack:

        async def made(harness):
            client = anthropic.AsyncAnthropic(api_key=KEY, base_url=harness.url, max_retries=0)
            return await stack.enter_async_context(client)

        yield made


async def said(harness, name="fake"):
    answer = await harness.sdk.chat.completions.create(**{**ASK, "model": name}, stream=True)
    return "".join([chunk.choices[0].delta.content or "" async for chunk in answer if chunk.choices])


async def test_openais_sdk_gets_a_whole_answer(bedrock, upstream):
    upstream.replies(whole())
    completion = await bedrock.sdk.chat.completions.create(**ASK, max_completion_tokens=50)
    assert (completion.choices[0].message.content, completion.choices[0].finish_reason) == ("one two", "stop")
    assert (completion.usage.prompt_tokens, completion.usage.prompt_tokens_details.cached_tokens) == (15, 4)
    sent = upstream.requests[-1]
    assert sent.path == f"/model/{MODEL}/converse"
    assert sent.headers["authorization"] == "Bearer up-key"
    assert sent.json() == {
        "messages": [{"role": "user", "content": [{"text": "hello"}]}],
        "inferenceConfig": {"maxTokens": 50},
    }


async def test_openais_sdk_gets_a_stream(bedrock, upstream):
    upstream.replies(TEXT)
    answer = await bedrock.sdk.chat.completions.create(**ASK, stream=True, stream_options={"include_usage": True})
    chunks = [chunk async for chunk in answer]
    assert [chunk.choices[0].delta.content for chunk in chunks if chunk.choices] == ["one ", "two", None]
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (15, 7)
    assert upstream.requests[-1].path == f"/model/{MODEL}/converse-stream"


async def test_openais_sdk_gets_tool_calls(bedrock, upstream):
    upstream.replies(CALLS)
    answer = await bedrock.sdk.chat.completions.create(**ASK, tools=[TOOL], stream=True)
    deltas = [chunk.choices[0].delta async for chunk in answer if chunk.choices]
    pieces = [piece for one in deltas for piece in one.tool_calls or ()]
    assert (pieces[0].id, pieces[0].function.name) == ("t1", "f")
    assert "".join(piece.function.arguments or "" for piece in pieces) == '{"a":1}'
    assert upstream.requests[-1].json()["toolConfig"]["tools"][0]["toolSpec"]["name"] == "f"


async def test_anthropics_sdk_gets_a_stream_with_tools(bedrock, upstream, claude_sdk):
    upstream.replies(CALLS)
    tools = [{"name": "f", "input_schema": {"type": "object"}}]
    sdk = await claude_sdk(bedrock)
    async with sdk.messages.stream(**ASK, max_tokens=50, tools=tools) as answer:
        final = await answer.get_final_message()
    assert [block.type for block in final.content] == ["text", "tool_use"]
    assert (final.content[1].id, final.content[1].input, final.stop_reason) == ("t1", {"a": 1}, "tool_use")
    assert (final.usage.input_tokens, final.usage.cache_read_input_tokens, final.usage.output_tokens) == (11, 4, 7)


async def test_anthropics_sdk_gets_a_whole_answer(bedrock, upstream, claude_sdk):
    upstream.replies(whole(stopReason="max_tokens"))
    sdk = await claude_sdk(bedrock)
    message = await sdk.messages.create(**ASK, max_tokens=50, system="Be brief.")
    assert (message.content[0].text, message.stop_reason) == ("one two", "max_tokens")
    assert upstream.requests[-1].json()["system"] == [{"text": "Be brief."}]


@pytest.mark.parametrize("with_token", [False, True])
async def test_requests_are_signed(open_harness, upstream, with_token):
    account = {"access_key_id": "env:AWS_ID", "secret_access_key": "env:AWS_SECRET"}
    account |= {"session_token": "env:AWS_TOKEN"} if with_token else {}
    harness = await open_harness(tree_of(upstream, **account), environment=AWS)
    upstream.replies(whole())
    await harness.sdk.chat.completions.create(**ASK)
    sent = upstream.requests[-1]
    url = f"http://{sent.headers['host']}/model/{quote(MODEL, safe='')}/converse"
    now = datetime.strptime(sent.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert abs((datetime.now(UTC) - now).total_seconds()) < 60
    names = ["x-amz-date", *(["x-amz-security-token"] if with_token else [])]
    request = AWSRequest("POST", url, {name: sent.headers[name] for name in names}, sent.body)
    request.context["timestamp"] = sent.headers["x-amz-date"]
    signer = SigV4Auth(Credentials(AWS["AWS_ID"], AWS["AWS_SECRET"]), "bedrock", "eu-west-1")
    proof = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    assert sent.headers["authorization"].endswith(f"Signature={proof}")
    assert sent.headers.get("x-amz-security-token") == (AWS["AWS_TOKEN"] if with_token else None)
    assert AWS["AWS_SECRET"] not in str(sent)


RESCUED = [
    error(429, "ThrottlingException", "Too many tokens, please wait before trying again."),
    stream(START, {"throttlingException": {"message": "slow"}}),
    error(400, "ValidationException", "Input is too long for requested model."),
    stream(START, {"validationException": {"message": "Input is too long for requested model."}}),
]
"""What another model may do better."""


async def test_what_another_model_may_do_better_falls_over(open_harness, upstream, backup):
    fallbacks = {"on_error": ["second"], "on_context_window": ["second"]}
    tree = many(upstream, len(RESCUED), fallbacks=fallbacks, retries={"max_attempts": 2})
    tree["providers"]["other"] = {"kind": "openai", "base_url": backup.base_url}
    tree["models"]["second"] = {"deployments": [{"provider": "other", "model": "y"}]}
    harness = await open_harness(tree)
    for number, reply in enumerate(RESCUED):
        upstream.replies(reply)
        backup.replies(chat_stream([f"rescued {number}"]))
        assert await said(harness, f"m{number}") == f"rescued {number}"


ERRORS = [
    (error(429, "ThrottlingException"), 429, "upstream_rate_limited"),
    (error(403, "InvalidSignatureException", "AKIDEXAMPLE up-key"), 502, "upstream_error"),
    (error(403, "AccessDeniedException", "up-key"), 502, "upstream_error"),
    (error(400, "ValidationException", "Input is too long for requested model."), 400, "context_length_exceeded"),
    (error(400, "ValidationException", "up-key is odd"), 400, "upstream_refused"),
    (error(503, "ServiceUnavailableException"), 502, "upstream_unavailable"),
    (whole(stopReason=None), 502, "upstream_error"),
]


async def test_errors(open_harness, upstream):
    harness = await open_harness(many(upstream, len(ERRORS)))
    for number, (reply, status, code) in enumerate(ERRORS):
        upstream.replies(reply)
        answer = await harness.post("/v1/chat/completions", {**ASK, "model": f"m{number}"})
        body = await answer.json()
        assert (answer.status, body["error"]["code"]) == (status, code), reply
        assert "up-key" not in json.dumps(body)
        assert "AKID" not in json.dumps(body)


FRAMES = TEXT.chunks
TORN = b"".join(FRAMES[:3])[:-9]
BROKEN = bytes([*FRAMES[2][:-1], FRAMES[2][-1] ^ 1])


BREAKS = {
    "cut": Reply(headers=STREAM, chunks=FRAMES[:3], ending="cut"),
    "ended early": Reply(headers=STREAM, chunks=FRAMES[:3]),
    "torn frame": Reply(headers=STREAM, chunks=(TORN,)),
    "wrong checksum": Reply(headers=STREAM, chunks=(*FRAMES[:2], BROKEN, *FRAMES[3:])),
    "exception": stream(START, delta(text="one "), {"modelStreamErrorException": {"message": "up-key"}}),
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


async def test_a_broken_stream_in_anthropics_dialect(bedrock, upstream, claude_sdk):
    upstream.replies(Reply(headers=STREAM, chunks=FRAMES[:3], ending="cut"))
    sdk = await claude_sdk(bedrock)
    with pytest.raises(anthropic.APIStatusError):
        async with sdk.messages.stream(**ASK, max_tokens=50) as answer:
            await answer.get_final_message()


async def test_a_whole_answer_instead_of_a_stream_is_none(bedrock, upstream):
    upstream.replies(whole())
    with pytest.raises(openai.APIError):
        await said(bedrock)


async def test_what_it_cannot_do_is_a_400_that_names_it(bedrock, upstream):
    answer = await bedrock.post("/v1/chat/completions", {**ASK, "seed": 2})
    body = await answer.json()
    assert (answer.status, body["error"]["code"], body["error"]["param"]) == (400, "unsupported_parameter", "seed")
    assert not upstream.requests


async def test_embeddings_are_not_its_business(bedrock):
    answer = await bedrock.post("/v1/embeddings", {"model": "fake", "input": "x"})
    assert answer.status == 400
