"""Requests go where they can be answered, over real sockets and in every dialect."""

import pytest

from trunkline_testkit.upstream import error_reply

TEXT = [{"role": "user", "content": "say one two three"}]
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
LOOK = [{"role": "user", "content": [{"type": "text", "text": "look"}, IMAGE]}]
SOURCE = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
LOOK_AS_MESSAGE = [{"role": "user", "content": [{"type": "image", "source": SOURCE}]}]


@pytest.fixture
async def harness(open_harness, upstream, backup):
    """Two servers, of which the first reads text only; and Anthropic's API, which is not there."""
    blind = {"provider": "one", "model": "m", "profile": "text-only", "weight": 1000}
    claude = {"provider": "claude", "model": "c"}
    tree = {
        "providers": {
            "one": {"kind": "openai", "base_url": upstream.base_url},
            "two": {"kind": "openai", "base_url": backup.base_url},
            "claude": {"kind": "anthropic", "base_url": "http://127.0.0.1:9"},
        },
        "models": {
            "either": {"deployments": [blind, {"provider": "two", "model": "m"}]},
            "blind": {"deployments": [blind], "fallbacks": {"on_error": ["claude"]}},
            "claude": {"deployments": [claude]},
            "mixed": {"deployments": [{**claude, "weight": 1000}, {"provider": "two", "model": "m"}]},
        },
    }
    return await open_harness(tree)


async def test_images_go_to_the_one_that_sees_them_in_every_dialect(harness, upstream, backup):
    asked = {
        "/v1/chat/completions": {"messages": LOOK},
        "/v1/messages": {"messages": LOOK_AS_MESSAGE, "max_tokens": 9},
        "/v1/responses": {
            "input": [{"role": "user", "content": [{"type": "input_image", "image_url": IMAGE["image_url"]["url"]}]}],
        },
    }
    for path, body in asked.items():
        reply = await harness.post(path, {"model": "either", **body})
        assert (reply.status, reply.headers["x-trunkline-provider"]) == (200, "two"), await reply.text()
    assert (len(upstream.requests), len(backup.requests)) == (0, 3)
    reply = await harness.post("/v1/chat/completions", {"model": "either", "messages": TEXT})
    assert reply.headers["x-trunkline-provider"] == "one"


async def test_what_a_protocol_has_no_words_for_goes_to_one_that_has(harness, backup):
    reply = await harness.post("/v1/chat/completions", {"model": "mixed", "messages": TEXT, "seed": 7})
    assert (reply.status, reply.headers.get("x-trunkline-tried")) == (200, None)
    assert backup.requests[0].json()["seed"] == 7


async def test_where_nobody_can_the_field_is_named_or_the_provider_judges(harness, upstream):
    refused = await harness.post("/v1/chat/completions", {"model": "claude", "messages": TEXT, "seed": 7})
    assert (refused.status, (await refused.json())["error"]["param"]) == (400, "seed")
    upstream.replies(error_reply(400, "I cannot see"))
    judged = await harness.post("/v1/chat/completions", {"model": "blind", "messages": LOOK})
    assert (judged.status, (await judged.json())["error"]["message"]) == (400, "I cannot see")


async def test_a_failure_is_not_answered_with_a_fallbacks_refusal(harness, upstream):
    upstream.replies(*[error_reply(500)] * 3)
    reply = await harness.post("/v1/chat/completions", {"model": "blind", "messages": TEXT, "seed": 7})
    assert reply.status == 502
    assert len(upstream.requests) == 3
