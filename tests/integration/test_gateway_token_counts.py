"""Counting tokens over real sockets: Anthropic's SDK in front of a provider that counts, and of some that do not."""

import asyncio

import anthropic
import msgspec
import pytest

from trunkline_gateway import token_counts
from trunkline_testkit.upstream import Reply, error_reply

ASK = {"model": "fake", "messages": [{"role": "user", "content": "hello"}], "system": "Be brief."}
HOW = "x-trunkline-count"


@pytest.fixture
def tree_of(upstream):
    def made(kind, model="claude-x", **rest):
        base = upstream.base_url if kind == "openai" else upstream.base_url.removesuffix("/v1")
        return {
            "providers": {"up": {"kind": kind, "base_url": base, "api_key": "env:UP"}},
            "models": {"fake": {"deployments": [{"provider": "up", "model": model}]}},
            **rest,
        }

    return made


@pytest.fixture
def count():
    async def counted(harness, **members):
        async with anthropic.AsyncAnthropic(api_key="tl-test-key", base_url=harness.url, max_retries=0) as sdk:
            raw = await sdk.messages.with_raw_response.count_tokens(**{**ASK, **members})
            return (await raw.parse()).input_tokens, raw.headers[HOW]

    return counted


async def test_anthropic_counts_for_itself(open_harness, upstream, tree_of, count):
    harness = await open_harness(tree_of("anthropic"))
    upstream.replies(Reply(chunks=(b'{"input_tokens":42}',)))
    assert await count(harness, extra_headers={"anthropic-beta": "some-2026"}) == (42, "provider")
    [asked] = upstream.requests
    assert (asked.path, asked.headers["anthropic-beta"]) == ("/v1/messages/count_tokens", "some-2026")
    assert asked.json() == {**ASK, "model": "claude-x"}
    assert harness.metric("trunkline_gateway_checks_total", service="count_tokens", result="ok") == 1


@pytest.mark.parametrize(
    "reply", [error_reply(429, retry_after_s=30), error_reply(500), Reply(chunks=(b"{}",))], ids=["rate", "500", "odd"]
)
async def test_an_estimate_stands_in_and_the_model_is_not_blamed(open_harness, upstream, tree_of, count, reply):
    harness = await open_harness(tree_of("anthropic"))
    upstream.replies(reply, Reply(chunks=(b'{"input_tokens":42}',)))
    found, how = await count(harness)
    assert (found > 5, how) == (True, "estimated")
    assert await count(harness) == (42, "provider"), "its own rate is not that of messages"


async def test_a_provider_that_is_silent_is_not_waited_for_long(open_harness, upstream, tree_of, count, monkeypatch):
    monkeypatch.setattr(token_counts, "COUNT_S", 0.05)
    harness = await open_harness(tree_of("anthropic"))
    upstream.replies(Reply(hold_headers=True))
    async with asyncio.timeout(2):
        assert (await count(harness))[1] == "estimated"
    upstream.release()


async def test_what_the_provider_refuses_is_the_callers(open_harness, upstream, tree_of, count):
    harness = await open_harness(tree_of("anthropic"))
    said = {"type": "error", "error": {"type": "invalid_request_error", "message": "messages: roles must alternate"}}
    upstream.replies(Reply(status=400, chunks=(msgspec.json.encode(said),)))
    with pytest.raises(anthropic.BadRequestError) as caught:
        await count(harness)
    assert caught.value.body["type"] == "error"
    assert caught.value.body["error"]["message"] == "messages: roles must alternate"


async def test_other_models_are_counted_here_without_asking_anybody(open_harness, upstream, tree_of, count):
    """19 tokens: OpenAI's API reference gives this request and its usage (chat completions, read 2026-11-25)."""
    tree = tree_of("openai", "gpt-4o")
    tree["models"]["other"] = {"deployments": [{"provider": "up", "model": "qwen3-8b"}]}
    harness = await open_harness(tree)
    hello = [{"role": "user", "content": "Hello!"}]
    assert await count(harness, system="You are a helpful assistant.", messages=hello) == (19, "exact")
    assert (await count(harness, model="other"))[1] == "estimated"
    assert not upstream.requests


async def test_models_are_listed_in_anthropics_shape_for_its_sdk(harness):
    async with anthropic.AsyncAnthropic(api_key="tl-test-key", base_url=harness.url, max_retries=0) as sdk:
        page = await sdk.models.list()
        assert [(model.id, model.type, model.display_name) for model in page.data] == [("fake", "model", "fake")]
        assert (page.has_next_page(), page.first_id, page.last_id) == (False, "fake", "fake")
        assert (await sdk.models.retrieve("fake")).created_at == page.data[0].created_at
        with pytest.raises(anthropic.NotFoundError):
            await sdk.models.retrieve("nope")


async def test_errors_are_in_anthropics_shape(harness, count):
    with pytest.raises(anthropic.NotFoundError) as caught:
        await count(harness, model="nope")
    assert caught.value.body["error"]["type"] == "not_found_error"


async def test_it_costs_nothing_and_meets_limits_on_requests(open_harness, upstream, tree_of, count, key_entry):
    limits = [{"requests": 1, "per_s": 60}, {"tokens": 1, "per_s": 60}]
    tree = tree_of("anthropic", keys=[key_entry("test", "tl-test-key", limits=limits)])
    harness = await open_harness(tree)
    upstream.replies(Reply(chunks=(b'{"input_tokens":42}',)))
    assert (await count(harness))[0] == 42
    with pytest.raises(anthropic.RateLimitError):
        await count(harness)
