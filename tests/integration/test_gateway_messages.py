"""Anthropic's dialect over real sockets: its SDK in front of providers of OpenAI's dialect and of its own."""

import json
from contextlib import AsyncExitStack

import anthropic
import pytest

from trunkline_testkit.upstream import Reply, chat_reply, chat_stream

KEY = "tl-test-key"
ASK = {"model": "fake", "max_tokens": 50, "messages": [{"role": "user", "content": "hello"}]}
SSE = (("content-type", "text/event-stream"),)


def native(events):
    """A stream as Anthropic's API sends it."""
    return tuple(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n".encode() for one in events)


START = {
    "type": "message_start",
    "message": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 11, "output_tokens": 1, "cache_read_input_tokens": 4},
    },
}
BLOCK = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}


def text(said):
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": said}}


STOP = {"type": "content_block_stop", "index": 0}
END = {
    "type": "message_delta",
    "delta": {"stop_reason": "end_turn", "stop_sequence": None},
    "usage": {"output_tokens": 7},
}
LAST = {"type": "message_stop"}
WHOLE = native([START, {"type": "ping"}, BLOCK, text("one "), text("two"), STOP, END, LAST])


@pytest.fixture
async def claude(open_harness, upstream):
    """A gateway in front of a provider of Anthropic's dialect."""
    base = upstream.base_url.removesuffix("/v1")
    return await open_harness(
        {
            "providers": {"up": {"kind": "anthropic", "base_url": base, "api_key": "env:UP"}},
            "models": {"fake": {"deployments": [{"provider": "up", "model": "claude-x"}]}},
        }
    )


@pytest.fixture
async def sdk_of():
    """Anthropic's SDK, pointed at a gateway."""
    async with AsyncExitStack() as stack:

        async def made(harness, key=KEY):
            client = anthropic.AsyncAnthropic(api_key=key, base_url=harness.url, max_retries=0)
            return await stack.enter_async_context(client)

        yield made


async def test_the_sdk_asks_a_server_of_openais_dialect(harness, upstream, sdk_of):
    upstream.replies(chat_reply("one two", prompt_tokens=5))
    message = await (await sdk_of(harness)).messages.create(**ASK, system="Be brief.")
    assert [block.text for block in message.content] == ["one two"]
    assert (message.stop_reason, message.usage.input_tokens, message.usage.output_tokens) == ("end_turn", 5, 2)
    sent = upstream.requests[-1].json()
    assert sent["messages"][0]["content"] in ("Be brief.", [{"type": "text", "text": "Be brief."}])
    assert sent["model"] == "real-fake"


async def test_it_streams_from_a_server_of_openais_dialect(harness, upstream, sdk_of):
    upstream.replies(chat_stream(["one ", "two"], prompt_tokens=5))
    async with (await sdk_of(harness)).messages.stream(**ASK) as stream:
        said = [piece async for piece in stream.text_stream]
        final = await stream.get_final_message()
    assert said == ["one ", "two"]
    assert (final.stop_reason, final.usage.output_tokens) == ("end_turn", 2)
    labels = {"surface": "messages", "outcome": "ok", "status": "2xx"}
    assert harness.metric("trunkline_gateway_requests_total", **labels) == 1
    assert harness.metric("trunkline_gateway_tokens_total", provider="up", **{"class": "input"}) == 5


async def test_its_own_dialect_passes_through(claude, upstream):
    upstream.replies(Reply(headers=SSE, chunks=WHOLE))
    reply = await claude.post("/v1/messages", {**ASK, "stream": True, "unknown_field": {"x": 1}})
    body = await reply.read()
    assert body == b"".join(WHOLE).replace(b'", "', b'", "'), "byte for byte"
    sent = upstream.requests[-1]
    assert sent.json() == {**ASK, "model": "claude-x", "stream": True, "unknown_field": {"x": 1}}
    assert sent.headers["x-api-key"] == "up-key"
    assert sent.headers["anthropic-version"] == "2023-06-01"
    assert claude.metric("trunkline_gateway_tokens_total", provider="up", **{"class": "output"}) == 7


async def test_beta_headers_go_on_and_the_callers_key_does_not(claude, upstream):
    upstream.replies(Reply(headers=SSE, chunks=WHOLE))
    headers = {"x-api-key": KEY, "anthropic-beta": "files-api-2025-04-14", "anthropic-version": "2023-06-01"}
    await (await claude.post("/v1/messages", {**ASK, "stream": True}, headers=headers)).read()
    sent = upstream.requests[-1].headers
    assert sent["anthropic-beta"] == "files-api-2025-04-14"
    assert KEY not in str(sent)


async def test_openais_sdk_asks_anthropic(claude, upstream):
    upstream.replies(Reply(headers=SSE, chunks=WHOLE))
    stream = await claude.sdk.chat.completions.create(
        model="fake", messages=[{"role": "user", "content": "hi"}], stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "one two"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason] == [
        "stop"
    ]
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (15, 7)
    assert upstream.requests[-1].path == "/v1/messages"
    assert upstream.requests[-1].json()["max_tokens"] > 0


async def test_openais_sdk_gets_a_whole_answer_of_anthropic(claude, upstream):
    answer = {**START["message"], "content": [{"type": "text", "text": "one"}], "stop_reason": "max_tokens"}
    upstream.replies(Reply(chunks=(json.dumps(answer).encode(),)))
    completion = await claude.sdk.chat.completions.create(model="fake", messages=[{"role": "user", "content": "hi"}])
    assert (completion.choices[0].message.content, completion.choices[0].finish_reason) == ("one", "length")
    assert completion.usage.prompt_tokens_details.cached_tokens == 4


@pytest.mark.parametrize("ending", ["cut", "end"])
async def test_a_broken_stream_ends_with_an_error_in_the_callers_dialect(claude, upstream, ending):
    upstream.replies(Reply(headers=SSE, chunks=WHOLE[:4], ending=ending))
    reply = await claude.post("/v1/messages", {**ASK, "stream": True})
    body = await reply.read()
    assert b"event: error\n" in body
    assert b"message_stop" not in body
    assert b"[DONE]" not in body
    assert claude.metric("trunkline_gateway_broken_streams_total", provider="up") == 1


async def test_an_error_inside_a_stream_before_anything_was_said_falls_over(open_harness, upstream, backup, sdk_of):
    base = upstream.base_url.removesuffix("/v1")
    harness = await open_harness(
        {
            "providers": {
                "up": {"kind": "anthropic", "base_url": base},
                "other": {"kind": "openai", "assemble_streams": "auto", "base_url": backup.base_url},
            },
            "models": {
                "fake": {"deployments": [{"provider": "up", "model": "x"}], "fallbacks": {"on_error": ["second"]}},
                "second": {"deployments": [{"provider": "other", "model": "y"}]},
            },
        }
    )
    failure = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    upstream.replies(Reply(headers=SSE, chunks=native([START, failure])))
    backup.replies(chat_stream(["rescued"]))
    async with (await sdk_of(harness)).messages.stream(**ASK) as stream:
        assert [piece async for piece in stream.text_stream] == ["rescued"]


@pytest.mark.parametrize(
    ("change", "status", "kind"),
    [
        ({"model": "nope"}, 404, "not_found_error"),
        ({"messages": []}, 400, "invalid_request_error"),
        ({"messages": "x"}, 400, "invalid_request_error"),
    ],
)
async def test_errors_have_anthropics_shape(harness, change, status, kind):
    reply = await harness.post("/v1/messages", {**ASK, **change})
    body = await reply.json()
    assert (reply.status, body["type"], body["error"]["type"]) == (status, "error", kind)
    assert reply.headers["request-id"] == reply.headers["x-request-id"]


async def test_a_missing_key_is_an_authentication_error_for_the_sdk(harness, sdk_of):
    stranger = await sdk_of(harness, "nobody")
    with pytest.raises(anthropic.AuthenticationError):
        await stranger.messages.create(**ASK)


async def test_what_a_target_cannot_do_is_a_400_that_names_it(claude, upstream):
    reply = await claude.post(
        "/v1/chat/completions", {"model": "fake", "messages": [{"role": "user", "content": "x"}], "n": 2}
    )
    body = await reply.json()
    assert (reply.status, body["error"]["code"], body["error"]["param"]) == (400, "unsupported_parameter", "n")
    assert not upstream.requests
