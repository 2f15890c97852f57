"""The real LiteLLM SDK in the gateway's process, in front of a fake provider that it believes to be OpenAI."""

import asyncio
import threading

import anthropic
import msgspec
import openai
import pytest
from msgspec import structs

from trunkline_testkit.parts import require_import
from trunkline_testkit.upstream import Reply, chat_stream, error_reply, usage

# Its import alone takes seconds where cores are busy.
pytestmark = pytest.mark.timeout(120)
ASK = [{"role": "user", "content": "say one two three"}]


@pytest.fixture
async def harness(open_harness, upstream, backup):
    require_import("litellm", "pip install trunkline[litellm]")
    provider = {"kind": "litellm", "provider": "openai", "base_url": upstream.base_url, "api_key": "env:UP"}
    tree = {
        "providers": {"long": provider, "longer": provider, "spare": {"kind": "openai", "base_url": backup.base_url}},
        "models": {
            "fake": {"deployments": [{"provider": "long", "model": "gpt-4o"}], "retries": {"max_attempts": 1}},
            "backed": {
                "deployments": [{"provider": "long", "model": "gpt-4o"}],
                "fallbacks": {"on_error": ["spare"]},
            },
            "spare": {"deployments": [{"provider": "spare", "model": "real"}]},
            "vectors": {"deployments": [{"provider": "longer", "model": "text-embedding-3-small"}]},
        },
    }
    return await open_harness(tree)


async def test_answers_streams_and_usage_go_through_the_sdk(harness, upstream):
    whole = await harness.sdk.chat.completions.create(model="fake", messages=ASK, temperature=0.5, seed=7)
    assert (whole.choices[0].message.content, whole.usage.total_tokens) == ("say one two three", 7)
    sent = upstream.requests[0]
    assert sent.headers["authorization"] == "Bearer up-key"
    assert {"model": "gpt-4o", "temperature": 0.5, "seed": 7}.items() <= sent.json().items()

    upstream.replies(chat_stream(["one ", "two"]))
    stream = await harness.sdk.chat.completions.create(model="fake", messages=ASK, stream=True)
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "one two"
    assert [chunk.usage for chunk in chunks] == [None] * len(chunks)
    assert upstream.requests[1].json()["stream_options"] == {"include_usage": True}


async def test_anthropics_dialect_and_embeddings_too(harness, upstream):
    async with anthropic.AsyncAnthropic(api_key="tl-test-key", base_url=harness.url, max_retries=0) as client:
        said = await client.messages.create(model="fake", max_tokens=9, messages=ASK)
    assert said.content[0].text == "say one two three"
    vectors = {"object": "list", "model": "e", "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 1]}]}
    upstream.replies(Reply(chunks=(msgspec.json.encode(vectors | {"usage": usage(2, 0)}),)))
    found = await harness.sdk.embeddings.create(model="vectors", input="two words", encoding_format="float")
    assert (found.data[0].embedding, found.usage.prompt_tokens) == ([0.5, 1.0], 2)
    assert [thread.name for thread in threading.enumerate()].count("litellm") == 1


async def test_its_errors_are_judged_as_a_providers_are(harness, upstream, backup):
    upstream.replies(error_reply(500, "broken"))
    backed = await harness.post("/v1/chat/completions", {"model": "backed", "messages": ASK})
    assert (backed.status, backed.headers["x-trunkline-provider"]) == (200, "spare")
    assert len(backup.requests) == 1

    upstream.replies(error_reply(429, "slow", retry_after_s=7))
    limited = await harness.post("/v1/chat/completions", {"model": "fake", "messages": ASK})
    assert (limited.status, limited.headers["retry-after"]) == (429, "7")
    assert (await limited.json())["error"]["code"] == "upstream_rate_limited"


@pytest.mark.parametrize("words", ["Incorrect API key provided", "A timeout occurred", "Request timed out"])
async def test_what_a_provider_repeats_of_a_caller_shuts_nothing(harness, upstream, words):
    """The SDK finds errors by words in answers."""
    for _ in range(6):
        upstream.replies(error_reply(400, f"Invalid value: '{words}'"))
        refused = await harness.post("/v1/chat/completions", {"model": "fake", "messages": ASK})
        assert refused.status == 400
    assert (await harness.post("/v1/chat/completions", {"model": "fake", "messages": ASK})).status == 200


async def test_its_refusals_reach_the_caller_without_the_key(harness, upstream):
    upstream.replies(error_reply(400, "no such thing as up-key"))
    with pytest.raises(openai.BadRequestError, match="no such thing as") as refused:
        await harness.sdk.chat.completions.create(model="fake", messages=ASK)
    assert "up-key" not in str(refused.value)
    upstream.replies(error_reply(401, "bad up-key"))
    with pytest.raises(openai.InternalServerError, match="did not accept the gateway's credentials"):
        await harness.sdk.chat.completions.create(model="fake", messages=ASK)


@pytest.mark.parametrize(("name", "value"), [("api_base", "http://elsewhere"), ("mock_response", "hello")])
async def test_callers_do_not_reach_the_sdks_own_arguments(harness, upstream, name, value):
    reply = await harness.post("/v1/chat/completions", {"model": "fake", "messages": ASK, name: value})
    assert (reply.status, (await reply.json())["error"]["param"]) == (400, name)
    assert not upstream.requests


async def test_a_caller_who_leaves_stops_the_provider(harness, upstream):
    upstream.replies(structs.replace(chat_stream(["one "], done=False), ending="stall"))
    upstream_reply = await harness.post("/v1/chat/completions", {"model": "fake", "messages": ASK, "stream": True})
    await upstream_reply.content.readany()
    upstream_reply.close()
    async with asyncio.timeout(5):
        await upstream.disconnected.wait()
