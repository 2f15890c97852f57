"""Tags and the queue as callers meet them: over HTTP and gRPC, with a real Valkey behind."""

import asyncio
import tempfile
from pathlib import Path

import grpc
import pytest

from trunkline.gateway.v1 import gateway_service_pb2 as pb
from trunkline.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub
from trunkline_testkit.upstream import Reply, chat_reply
from trunkline_testkit.valkey import valkey_server

KEY = "tl-test-key"
PATH = "/v1/chat/completions"
ASK = {"model": "fake", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 5}
TAGGED = {"authorization": f"Bearer {KEY}", "x-trunkline-tags": "nightly, search"}


@pytest.fixture
def server():
    with tempfile.TemporaryDirectory() as folder, valkey_server(Path(folder)) as opened:
        yield opened


@pytest.fixture
async def limited(open_harness, single, upstream, server, key_entry):
    async def opened(key=None, **tree):
        entry = key_entry("test", KEY, **(key or {}))
        return await open_harness({**single(upstream), "stores": {"redis": server.url}, "keys": [entry], **tree})

    return opened


def held_reply():
    return Reply(hold_headers=True, chunks=chat_reply("late").chunks)


async def until_queued(harness, count):
    async with asyncio.timeout(5):
        while harness.metric("trunkline_gateway_queued_requests") != count:  # noqa: ASYNC110 - the metric is the test
            await asyncio.sleep(0.005)


async def test_a_tag_has_limits_of_its_own(limited):
    harness = await limited({"tags": ["own"]}, tags={"nightly": {"limits": [{"requests": 1, "per_s": 60}]}})
    assert (await harness.post(PATH, ASK, headers=TAGGED)).status == 200
    refused = await harness.post(PATH, ASK, headers=TAGGED)
    error = (await refused.json())["error"]
    assert (refused.status, error["code"]) == (429, "rate_limit_exceeded")
    assert error["message"].startswith("tag 'nightly' is over its limit of 1 requests per 60 s")
    assert (await harness.post(PATH, ASK)).status == 200
    labels = {"result": "refused_requests", "level": "tag"}
    assert harness.metric("trunkline_gateway_admissions_total", **labels) == 1


async def test_a_keys_own_tags_count_without_being_sent(limited):
    harness = await limited({"tags": ["own"]}, tags={"own": {"limits": [{"requests": 1, "per_s": 60}]}})
    assert [(await harness.post(PATH, ASK)).status for _ in range(2)] == [200, 429]


async def test_a_malformed_tag_is_refused_by_the_headers_name(limited):
    harness = await limited()
    refused = await harness.post(PATH, ASK, headers=TAGGED | {"x-trunkline-tags": "a b"})
    assert (refused.status, (await refused.json())["error"]["param"]) == (400, "x-trunkline-tags")


async def test_tags_go_over_grpc_too(limited):
    harness = await limited(tags={"nightly": {"limits": [{"requests": 1, "per_s": 60}]}})
    metadata = [("authorization", f"Bearer {KEY}"), ("x-trunkline-tags", "nightly")]
    body = b'{"model":"fake","messages":[{"role":"user","content":"hi"}]}'
    async with harness.net.channel(harness.gateway.grpc_address) as channel:
        stub = GatewayServiceStub(channel)

        async def ask():
            return [
                one async for one in stub.Complete(pb.CompleteRequest(body_json=body), metadata=metadata, timeout=5)
            ]

        assert len(await ask()) == 1
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await ask()
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_request_waits_for_a_place_and_says_how_long(limited, upstream):
    harness = await limited({"limits": [{"concurrent": 1}], "queue_wait_s": 20})
    upstream.replies(held_reply())
    async with asyncio.TaskGroup() as group:
        first = group.create_task(harness.post(PATH, ASK))
        await upstream.wait_for_requests(1)
        second = group.create_task(harness.post(PATH, ASK))
        await until_queued(harness, 1)
        upstream.release()
    assert (first.result().status, second.result().status) == (200, 200)
    assert "x-trunkline-queue-ms" not in first.result().headers
    assert int(second.result().headers["x-trunkline-queue-ms"]) >= 1
    assert harness.metric("trunkline_gateway_queue_ends_total", outcome="admitted") == 1


async def test_a_request_that_waits_in_vain_is_told_so(limited, upstream):
    harness = await limited({"limits": [{"concurrent": 1}], "queue_wait_s": 0.2})
    upstream.replies(held_reply())
    async with asyncio.TaskGroup() as group:
        group.create_task(harness.post(PATH, ASK))
        await upstream.wait_for_requests(1)
        refused = await harness.post(PATH, ASK)
        upstream.release()
    error = (await refused.json())["error"]
    assert (refused.status, error["code"]) == (429, "concurrency_exceeded")
    assert "it waited 0.2 s for room" in error["message"]
    assert int(refused.headers["x-trunkline-queue-ms"]) >= 190
    assert int(refused.headers["retry-after"]) >= 1


async def test_the_queue_is_bounded(limited, upstream):
    harness = await limited({"limits": [{"concurrent": 1}], "queue_wait_s": 20}, server={"queued_requests": 1})
    upstream.replies(held_reply())
    async with asyncio.TaskGroup() as group:
        group.create_task(harness.post(PATH, ASK))
        await upstream.wait_for_requests(1)
        waiting = group.create_task(harness.post(PATH, ASK))
        await until_queued(harness, 1)
        refused = await harness.post(PATH, ASK)
        assert refused.status == 429
        assert "no more requests may wait here" in (await refused.json())["error"]["message"]
        upstream.release()
    assert waiting.result().status == 200


async def test_a_caller_that_leaves_the_queue_leaves_nothing_behind(limited, upstream):
    harness = await limited({"limits": [{"concurrent": 1}, {"tokens": 1_000, "per_s": 60}], "queue_wait_s": 20})
    upstream.replies(held_reply())
    async with asyncio.TaskGroup() as group:
        group.create_task(harness.post(PATH, ASK))
        await upstream.wait_for_requests(1)
        waiting = group.create_task(harness.post(PATH, ASK))
        await until_queued(harness, 1)
        waiting.cancel()
        await until_queued(harness, 0)
        upstream.release()
    assert harness.metric("trunkline_gateway_queue_ends_total", outcome="left") == 1
    assert len(upstream.requests) == 1
    reply = await harness.post(PATH, ASK)
    assert reply.status == 200
    assert "x-trunkline-queue-ms" not in reply.headers


async def test_urgent_requests_go_first_and_what_cannot_fit_in_time_is_refused_at_once(
    open_harness, single, upstream, server, key_entry
):
    limits = {"default": {"limits": [{"concurrent": 1}, {"requests": 3, "per_s": 3_600}]}}
    keys = [
        key_entry(name, f"tl-{name}", priority=name, queue_wait_s=20) for name in ("batch", "normal", "interactive")
    ]
    harness = await open_harness({**single(upstream), "stores": {"redis": server.url}, "teams": limits, "keys": keys})

    async def ask(name):
        return await harness.post(PATH, {**ASK, "user": name}, headers={"authorization": f"Bearer tl-{name}"})

    upstream.replies(held_reply())
    async with asyncio.TaskGroup() as group:
        group.create_task(ask("normal"))
        await upstream.wait_for_requests(1)
        tasks = {}
        for count, name in enumerate(("batch", "interactive"), 1):
            tasks[name] = group.create_task(ask(name))
            await until_queued(harness, count)
        upstream.release()
    assert [task.result().status for task in tasks.values()] == [200, 200]
    waited = {name: int(task.result().headers["x-trunkline-queue-ms"]) for name, task in tasks.items()}
    assert waited["batch"] > waited["interactive"]
    refused = await ask("batch")
    assert refused.status == 429
    assert "x-trunkline-queue-ms" not in refused.headers
    assert int(refused.headers["retry-after"]) > 3_000
