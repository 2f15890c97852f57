"""Google's models over real sockets: OpenAI's and Anthropic's SDKs in front of a server that speaks generateContent."""

import json

import anthropic
import pytest

from trunkline_kit.clock import ManualClock
from trunkline_testkit.issuer import make_key
from trunkline_testkit.upstream import Reply, chat_reply, chat_stream

KEY = "tl-test-key"
HI = [{"role": "user", "content": "hi"}]
SSE = (("content-type", "text/event-stream"),)
META = {"modelVersion": "gemini-x", "responseId": "r1"}
USED = {"promptTokenCount": 15, "cachedContentTokenCount": 4, "candidatesTokenCount": 5, "thoughtsTokenCount": 2}
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}}


def answer(*parts, finish="STOP"):
    candidate = {"content": {"role": "model", "parts": [*parts]}, "finishReason": finish, "index": 0}
    return {"candidates": [candidate], "usageMetadata": USED, **META}


def whole(*parts, **fields):
    return Reply(chunks=(json.dumps(answer(*parts, **fields)).encode(),))


def events(*bodies):
    return Reply(headers=SSE, chunks=tuple(f"data: {json.dumps(body)}\r\n\r\n".encode() for body in bodies))


def piece(*parts):
    return {"candidates": [{"content": {"role": "model", "parts": [*parts]}, "index": 0}], **META}


def error(status, name, **detail):
    details = [{"@type": "x", **detail}] if detail else []
    body = {"error": {"code": status, "message": "said up-key", "status": name, "details": details}}
    return Reply(status=status, chunks=(json.dumps(body).encode(),))


TEXT = events(piece({"text": "one "}), answer({"text": "two"}))
CALL = {"functionCall": {"name": "weather", "args": {"city": "Köln"}}, "thoughtSignature": "c2ln"}


def tree_of(upstream, **model):
    base = upstream.base_url.removesuffix("/v1")
    return {
        "providers": {"up": {"kind": "gemini", "base_url": base, "api_key": "env:UP"}},
        "models": {"fake": {"deployments": [{"provider": "up", "model": "gemini-3-flash"}], **model}},
    }


@pytest.fixture
async def gemini(open_harness, upstream):
    return await open_harness(tree_of(upstream))


@pytest.fixture
async def claude_sdk(gemini):
    async with anthropic.AsyncAnthropic(api_key=KEY, base_url=gemini.url, max_retries=0) as client:
        yield client


async def test_openais_sdk_gets_a_whole_answer(gemini, upstream):
    upstream.replies(whole({"text": "Hm.", "thought": True}, {"text": "one"}, finish="MAX_TOKENS"))
    got = await gemini.sdk.chat.completions.create(model="fake", messages=HI, max_tokens=5, reasoning_effort="low")
    assert (got.choices[0].message.content, got.choices[0].finish_reason) == ("one", "length")
    assert (got.usage.prompt_tokens, got.usage.completion_tokens) == (15, 7)
    sent = upstream.requests[-1]
    assert sent.path == "/v1beta/models/gemini-3-flash:generateContent"
    assert sent.headers["x-goog-api-key"] == "up-key"
    assert sent.json()["generationConfig"] == {
        "maxOutputTokens": 5,
        "thinkingConfig": {"includeThoughts": True, "thinkingLevel": "LOW"},
    }
    assert KEY not in str(sent)


async def test_openais_sdk_streams(gemini, upstream):
    upstream.replies(TEXT)
    stream = await gemini.sdk.chat.completions.create(
        model="fake", messages=HI, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "one two"
    assert chunks[-1].usage.prompt_tokens_details.cached_tokens == 4
    assert upstream.requests[-1].path.endswith(":streamGenerateContent")
    labels = {"provider": "up", "class": "output"}
    assert gemini.metric("trunkline_gateway_tokens_total", **labels) == 7


async def test_tools_go_round_with_openais_sdk(gemini, upstream):
    upstream.replies(whole(CALL), whole({"text": "12 °C"}))
    tools = [{"type": "function", "function": {"name": "weather", "parameters": WEATHER}}]
    got = await gemini.sdk.chat.completions.create(model="fake", messages=HI, tools=tools)
    message = got.choices[0].message
    assert (message.tool_calls[0].function.name, got.choices[0].finish_reason) == ("weather", "tool_calls")
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "12"}
    said = message.model_dump(exclude_none=True)
    await gemini.sdk.chat.completions.create(model="fake", messages=[*HI, said, result], tools=tools)
    _, call, back = upstream.requests[-1].json()["contents"]
    assert call["parts"] == [{**CALL, "functionCall": {"id": "call_r1_0", **CALL["functionCall"]}}]
    assert back["parts"][0]["functionResponse"]["name"] == "weather"


async def test_tools_go_round_with_anthropics_sdk(gemini, upstream, claude_sdk):
    upstream.replies(events(piece({"text": "Let me look."}), answer(CALL)), TEXT)
    ask = {"model": "fake", "max_tokens": 50, "tools": [{"name": "weather", "input_schema": WEATHER}]}
    async with claude_sdk.messages.stream(**ask, messages=HI) as stream:
        message = await stream.get_final_message()
    assert [block.type for block in message.content] == ["text", "thinking", "tool_use"]
    assert (message.stop_reason, message.usage.output_tokens) == ("tool_use", 7)
    call = message.content[-1]
    assert (call.name, call.input) == ("weather", {"city": "Köln"})
    said = {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in message.content]}
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "12"}]}
    async with claude_sdk.messages.stream(**ask, messages=[*HI, said, result]) as stream:
        assert [text async for text in stream.text_stream] == ["one ", "two"]
    assert upstream.requests[-1].json()["contents"][1]["parts"][1]["thoughtSignature"] == "c2ln"


@pytest.mark.parametrize(
    ("reply", "status", "code"),
    [
        (error(400, "INVALID_ARGUMENT", reason="API_KEY_INVALID"), 502, "upstream_error"),
        (error(429, "RESOURCE_EXHAUSTED", retryDelay="900s"), 429, "upstream_rate_limited"),
        (Reply(chunks=(b'{"promptFeedback":{"blockReason":"SAFETY"}}',)), 400, "upstream_refused"),
        (error(400, "INVALID_ARGUMENT"), 400, "upstream_refused"),
    ],
)
async def test_errors_are_ours_and_never_show_the_key(open_harness, upstream, reply, status, code):
    harness = await open_harness(tree_of(upstream, retries={"max_attempts": 1}))
    upstream.replies(reply)
    got = await harness.post("/v1/chat/completions", {"model": "fake", "messages": HI})
    body = await got.text()
    assert (got.status, json.loads(body)["error"]["code"]) == (status, code)
    assert "up-key" not in body
    assert status != 429 or int(got.headers["retry-after"]) in range(890, 901)


MISHAP = {"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL", "index": 0}], **META}


@pytest.mark.parametrize(
    ("fallback", "replies"),
    [
        ("on_error", [error(503, "UNAVAILABLE")]),
        ("on_error", [events({"error": {"code": 503, "message": "m", "status": "UNAVAILABLE"}})]),
        ("on_error", [events(MISHAP)]),
        ("on_content_policy", [events({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}})]),
    ],
    ids=["status", "in-stream", "mishap", "blocked"],
)
async def test_what_fails_before_anything_was_said_falls_over(open_harness, upstream, backup, fallback, replies):
    tree = tree_of(upstream, fallbacks={fallback: ["second"]})
    tree["providers"]["other"] = {"kind": "openai", "base_url": backup.base_url}
    tree["models"]["second"] = {"deployments": [{"provider": "other", "model": "y"}]}
    harness = await open_harness(tree)
    upstream.replies(*replies)
    backup.replies(chat_stream(["rescued"]))
    stream = await harness.sdk.chat.completions.create(model="fake", messages=HI, stream=True)
    said = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
    assert "".join(said) == "rescued"


async def test_a_blocked_prompt_goes_to_who_may_judge_otherwise(open_harness, upstream, backup):
    tree = tree_of(upstream, fallbacks={"on_content_policy": ["second"]})
    tree["providers"]["other"] = {"kind": "openai", "base_url": backup.base_url}
    tree["models"]["second"] = {"deployments": [{"provider": "other", "model": "y"}]}
    harness = await open_harness(tree)
    upstream.replies(Reply(chunks=(b'{"promptFeedback":{"blockReason":"SAFETY"}}',)))
    backup.replies(chat_reply("rescued"))
    got = await harness.sdk.chat.completions.create(model="fake", messages=HI)
    assert got.choices[0].message.content == "rescued"


async def test_a_stream_that_breaks_ends_with_an_error(gemini, upstream):
    upstream.replies(events(piece({"text": "one"})))
    reply = await gemini.post("/v1/chat/completions", {"model": "fake", "messages": HI, "stream": True})
    body = await reply.read()
    assert b'"error"' in body
    assert b"[DONE]" not in body


async def test_what_it_cannot_do_is_a_400_that_names_it(gemini, upstream):
    got = await gemini.post("/v1/chat/completions", {"model": "fake", "messages": HI, "logit_bias": {"1": 2}})
    assert (got.status, (await got.json())["error"]["param"]) == (400, "logit_bias")
    assert not upstream.requests


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
async def vertex(open_harness, upstream, backup, clock):
    """Vertex AI at one server, the token endpoint at another; the key is a service account's."""
    root = backup.base_url.removesuffix("/v1")
    key_file = {
        "type": "service_account",
        "client_email": "robot@p.iam.gserviceaccount.com",
        "private_key": make_key("RS256").key.as_pem(private=True).decode(),
        "token_uri": f"{root}/token",
    }
    up = {"kind": "vertex", "project": "p", "location": "europe-west4", "credentials": "env:SA"}
    up["base_url"] = upstream.base_url.removesuffix("/v1")
    models = {"fake": {"deployments": [{"provider": "up", "model": "gemini-2.5-pro"}], "retries": {"max_attempts": 1}}}
    return await open_harness(
        {"providers": {"up": up}, "models": models}, environment={"SA": json.dumps(key_file)}, clock=clock
    )


def token(value):
    return Reply(chunks=(json.dumps({"access_token": value, "expires_in": 3599}).encode(),))


async def test_vertex_exchanges_a_statement_for_a_token_once(vertex, upstream, backup):
    backup.replies(token("t-1"))
    upstream.replies(whole({"text": "one"}), TEXT)
    got = await vertex.sdk.chat.completions.create(model="fake", messages=HI)
    assert got.choices[0].message.content == "one"
    stream = await vertex.sdk.chat.completions.create(model="fake", messages=HI, stream=True)
    assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]) == "one two"
    assert [request.headers["authorization"] for request in upstream.requests] == ["Bearer t-1"] * 2
    model = "/v1beta1/projects/p/locations/europe-west4/publishers/google/models/gemini-2.5-pro"
    assert upstream.requests[0].path == f"{model}:generateContent"
    assert len(backup.requests) == 1
    assert b"jwt-bearer" in backup.requests[0].body


async def test_a_token_that_vertex_refuses_is_got_anew_and_never_shown(vertex, upstream, backup, clock):
    backup.replies(token("up-key"), token("t-2"))
    upstream.replies(error(401, "UNAUTHENTICATED"), whole({"text": "one"}))
    first = await vertex.post("/v1/chat/completions", {"model": "fake", "messages": HI})
    assert first.status == 502
    assert "up-key" not in await first.text()
    clock.advance(31)
    second = await vertex.sdk.chat.completions.create(model="fake", messages=HI)
    assert second.choices[0].message.content == "one"
    assert upstream.requests[-1].headers["authorization"] == "Bearer t-2"


async def test_credentials_that_google_refuses_are_not_the_callers_401(vertex, upstream, backup):
    backup.replies(Reply(status=401, chunks=(b'{"error":"invalid_client"}',)))
    got = await vertex.post("/v1/chat/completions", {"model": "fake", "messages": HI})
    assert got.status == 502
    assert "invalid_client" in (await got.json())["error"]["message"]
    assert not upstream.requests


async def test_without_credentials_the_metadata_server_is_asked(open_harness, upstream, backup):
    up = {"kind": "vertex", "project": "p", "base_url": upstream.base_url.removesuffix("/v1")}
    models = {"fake": {"deployments": [{"provider": "up", "model": "m"}]}}
    host = backup.base_url.removesuffix("/v1").removeprefix("http://")
    harness = await open_harness({"providers": {"up": up}, "models": models}, environment={"GCE_METADATA_HOST": host})
    backup.replies(token("t-9"))
    upstream.replies(whole({"text": "one"}))
    got = await harness.sdk.chat.completions.create(model="fake", messages=HI)
    assert got.choices[0].message.content == "one"
    assert upstream.requests[0].headers["authorization"] == "Bearer t-9"
    assert backup.requests[0].headers["metadata-flavor"] == "Google"
