"""Copies harm nobody and are counted apart; canaries get their share."""

import asyncio
import json

import pytest

from trunkline_gateway.beside.shadows import SHADOW_TEAM
from trunkline_kit.errors import ConfigError
from trunkline_testkit.upstream import Reply, error_reply

SOON_S = 5.0
MODES = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def ask(text="hello", *, stream=False):
    return {"model": "fake", "messages": [{"role": "user", "content": text}], "stream": stream}


async def until(condition):
    async with asyncio.timeout(SOON_S):
        while not condition():  # noqa: ASYNC110 - a metric has no event
            await asyncio.sleep(0.002)


@pytest.fixture
def tree(upstream, backup, single):
    def made(**shadow):
        tree = single(upstream, shadow={"provider": "new", "model": "next", "ratio": 1, **shadow})
        tree["providers"]["new"] = {"kind": "openai", "base_url": backup.base_url}
        return tree

    return made


def copies(harness, outcome="ok"):
    labels = {"model": "fake", "provider": "new", "outcome": outcome}
    return harness.metric("trunkline_gateway_shadow_requests_total", **labels)


@MODES
async def test_a_copy_is_sent_after_the_answer_and_is_counted_apart(open_harness, tree, backup, booked, rows, stream):
    harness = await open_harness(booked(tree()))
    reply = await harness.post("/v1/chat/completions", ask(stream=stream))
    assert b"hello" in await reply.read()
    await until(lambda: copies(harness) == 1)
    (copied,) = (request.json() for request in backup.requests)
    assert (copied["model"], copied["messages"]) == ("next", ask()["messages"])
    own, shadow = sorted(await rows(2), key=lambda row: row.provider, reverse=True)
    assert (own.provider, own.team, shadow.provider, shadow.team) == ("up", "default", "new", SHADOW_TEAM)
    assert (shadow.key_id, shadow.outcome, shadow.usage_source) == ("", "ok", "reported")
    assert shadow.request_id == own.request_id
    assert harness.metric("trunkline_gateway_requests_total", surface="chat", outcome="ok", status="2xx") == 1
    assert harness.metric("trunkline_gateway_upstream_attempts_total", provider="new", outcome="ok") == 0
    assert harness.metric("trunkline_gateway_shadow_duration_seconds_count", model="fake", provider="new") == 1


async def test_copies_of_responses_are_kept_by_nobody_and_only_of_what_anybody_can_answer(
    open_harness, tree, upstream, backup
):
    made = tree()
    for name in ("up", "new"):
        made["providers"][name]["responses"] = "native"
    harness = await open_harness(made)
    answer = {"id": "resp_1", "object": "response", "status": "completed", "output": []}
    cipher = {"type": "reasoning", "summary": [], "encrypted_content": "gAAA"}
    bound = [{"previous_response_id": "resp_1"}, {"input": [cipher, {"role": "user", "content": "x"}]}]
    upstream.replies(*[Reply(chunks=(json.dumps(answer).encode(),))] * 3)
    backup.replies(Reply(chunks=(json.dumps(answer).encode(),)))
    for rest in ({}, *bound):
        reply = await harness.post("/v1/responses", {"model": "fake", "input": "hello", "store": True, **rest})
        assert reply.status == 200, await reply.read()
    await until(lambda: copies(harness) == 1)
    (copied,) = (request.json() for request in backup.requests)
    assert copied == {"model": "next", "input": "hello", "store": False}
    assert upstream.requests[0].json()["store"] is True


@MODES
async def test_a_shadow_that_hangs_harms_nobody(open_harness, tree, backup, stream):
    harness = await open_harness(tree(concurrent=1))
    backup.replies(Reply(hold_headers=True))
    for _ in range(3):
        reply = await harness.post("/v1/chat/completions", ask(stream=stream))
        assert b"hello" in await asyncio.wait_for(reply.read(), SOON_S)
        await backup.wait_for_requests(1)
    await until(lambda: copies(harness, "skipped") == 2)
    assert len(backup.requests) == 1


async def test_what_a_shadow_says_wrong_is_an_outcome(open_harness, tree, backup):
    harness = await open_harness(tree())
    backup.replies(error_reply(500))
    assert (await harness.post("/v1/chat/completions", ask())).status == 200
    await until(lambda: copies(harness, "upstream_unavailable") == 1)
    assert len(backup.requests) == 1, "no retries"


async def test_budgets_and_limits_do_not_see_it(open_harness, tree, key_entry):
    keys = [key_entry("test", "tl-test-key", limits=[{"requests": 2, "per_s": 3600}])]
    harness = await open_harness({**tree(), "keys": keys})
    assert [(await harness.post("/v1/chat/completions", ask())).status for _ in range(3)] == [200, 200, 429]
    await until(lambda: copies(harness) == 2)


async def test_failures_are_not_copied_and_a_ratio_is_a_share(open_harness, tree, upstream, backup):
    harness = await open_harness(tree(ratio=0.5))
    upstream.replies(error_reply(400))
    assert (await harness.post("/v1/chat/completions", ask())).status == 400
    for _ in range(20):
        await harness.post("/v1/chat/completions", ask())
    await until(lambda: copies(harness) + copies(harness, "skipped") == len(backup.requests))
    assert 1 <= len(backup.requests) <= 19


async def test_a_gateway_that_stops_does_not_wait_for_copies(open_harness, tree, backup):
    backup.replies(Reply(hold_headers=True))
    harness = await open_harness(tree())
    assert (await harness.post("/v1/chat/completions", ask())).status == 200
    await backup.wait_for_requests(1)


async def test_a_provider_that_is_not_there_is_a_mistake(open_harness, tree):
    with pytest.raises(ConfigError, match=r"models.fake.shadow: there is no provider 'nobody'"):
        await open_harness(tree(provider="nobody"))


@pytest.fixture
def canaries(upstream, backup, single):
    tree = single(upstream)
    tree["providers"]["new"] = {"kind": "openai", "base_url": backup.base_url}
    model = tree["models"]["fake"]
    model["deployments"] = [
        {"provider": "up", "model": "real-fake", "weight": 3},
        {"provider": "new", "model": "next", "weight": 1, "canary": True},
    ]
    return tree


async def test_a_canary_gets_its_share_of_conversations_the_same_each_time(open_harness, canaries):
    harness = await open_harness(canaries)
    texts = [f"conversation {number}" for number in range(16)]
    first, again = [[await _arm(harness, text) for text in texts] for _ in range(2)]
    assert first == again
    assert 1 <= first.count("canary") <= 8
    drawn = harness.metric("trunkline_gateway_canary_requests_total", model="fake", arm="canary", outcome="ok")
    assert drawn == 2 * first.count("canary")


async def _arm(harness, text):
    reply = await harness.post("/v1/chat/completions", ask(text))
    return reply.headers["x-trunkline-arm"]


async def test_a_canary_that_fails_is_replaced_and_its_arm_is_charged_with_it(open_harness, canaries, backup):
    canaries["models"]["fake"]["deployments"][1]["weight"] = 1000
    harness = await open_harness(canaries)
    backup.replies(error_reply(500))
    reply = await harness.post("/v1/chat/completions", ask())
    assert (reply.status, reply.headers["x-trunkline-arm"]) == (200, "stable")
    labels = {"model": "fake", "arm": "canary", "outcome": "failed_over"}
    assert harness.metric("trunkline_gateway_canary_requests_total", **labels) == 1


async def test_streams_of_both_arms_are_timed(open_harness, canaries):
    harness = await open_harness(canaries)
    await (await harness.post("/v1/chat/completions", ask(stream=True))).read()
    timed = [
        harness.metric("trunkline_gateway_canary_time_to_first_token_seconds_count", model="fake", arm=arm)
        for arm in ("canary", "stable")
    ]
    assert sorted(timed) == [0, 1]
