"""Moderations over real sockets: OpenAI's SDK in front of our own guardrails."""

import openai
import pytest
from prometheus_client import CollectorRegistry

from trunkline_guardrails.app import open_guardrails
from trunkline_guardrails.config import GuardrailsConfig
from trunkline_kit.clock import SystemClock
from trunkline_kit.config import decode
from trunkline_kit.parts import Kit
from trunkline_kit.rpc import Net
from trunkline_kit.settings import Settings
from trunkline_kit.tracing import Tracing

TOKEN = "ghp_" + "aB3dE6gH9jK2mN5pQ8rS1tU4vW7xY0zAabcd"
BLOCK = {"p": {"guardrails": {"input": [{"check": "secrets", "on_fail": "block"}]}}}


@pytest.fixture
async def guarded(open_harness, upstream, single, key_entry):
    """Opens a gateway beside guardrails; the key has a policy if there is one."""
    net = Net()
    kit = Kit(net=net, clock=SystemClock(), tracing=Tracing(), metrics=CollectorRegistry(), environment={})
    config = GuardrailsConfig.from_settings(decode({"policies": BLOCK}, Settings), listen="local:guardrails")
    async with open_guardrails(config, kit):

        async def opened(policies=None, **key):
            named = {"policy": "p"} if policies else {}
            entry = key_entry("test", "tl-test-key", **named, **key)
            return await open_harness({**single(upstream), "policies": policies or {}, "keys": [entry]}, net=net)

        yield opened


async def test_the_sdk_is_told_what_the_guardrails_object_to(guarded, upstream):
    harness = await guarded()
    raw = await harness.sdk.moderations.with_raw_response.create(
        model="omni-moderation-latest", input=["all is well", f"use {TOKEN}"]
    )
    answer = raw.parse()
    assert [result.flagged for result in answer.results] == [False, True]
    assert answer.model == "trunkline-guardrails"
    assert not any(answer.results[1].categories.to_dict().values())
    assert answer.results[1].category_applied_input_types.hate == []
    [finding] = answer.results[1].to_dict()["trunkline"]["findings"]
    assert (finding["kind"], finding["param"], finding["start_chars"]) == ("github-token", "input.1", 4)
    assert TOKEN not in raw.text
    assert raw.headers["x-trunkline-guardrails"] == "flag:github-token"
    assert not upstream.requests


async def test_a_policy_that_blocks_says_so_and_answers_all_the_same(guarded):
    harness = await guarded(BLOCK)
    answer = await harness.sdk.moderations.create(input=f"use {TOKEN}")
    assert answer.results[0].flagged
    assert answer.results[0].to_dict()["trunkline"]["action"] == "block"


async def test_parts_of_text_are_one_input_and_images_are_refused(guarded):
    harness = await guarded()
    answer = await harness.sdk.moderations.create(
        input=[{"type": "text", "text": "fine"}, {"type": "text", "text": TOKEN}]
    )
    assert [result.flagged for result in answer.results] == [True]
    with pytest.raises(openai.BadRequestError) as caught:
        await harness.sdk.moderations.create(input=[{"type": "image_url", "image_url": {"url": "https://x.example/a"}}])
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "input[0].image_url")


async def test_without_guardrails_there_is_no_verdict(harness):
    with pytest.raises(openai.InternalServerError) as caught:
        await harness.sdk.moderations.create(input="all is well")
    assert (caught.value.status_code, caught.value.code) == (503, "unavailable")
    labels = {"surface": "moderation", "outcome": "unavailable", "status": "5xx"}
    assert harness.metric("trunkline_gateway_requests_total", **labels) == 1


async def test_limits_on_requests_hold_and_those_on_tokens_do_not(guarded):
    harness = await guarded(limits=[{"requests": 2, "per_s": 60}, {"tokens": 1, "per_s": 60}])
    for _ in range(2):
        await harness.sdk.moderations.create(input="all is well")
    with pytest.raises(openai.RateLimitError) as caught:
        await harness.sdk.moderations.create(input="all is well")
    assert caught.value.code == "rate_limit_exceeded"


async def test_a_key_is_needed(harness):
    found = await harness.post("/v1/moderations", {"input": "x"}, headers={})
    assert (found.status, (await found.json())["error"]["code"]) == (401, "invalid_api_key")
