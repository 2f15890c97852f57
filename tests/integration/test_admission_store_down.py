"""The store of limits stops answering, comes back empty, was never there: each key's own choice decides."""

import asyncio
import tempfile
from pathlib import Path

import pytest

from trunkline_testkit.valkey import ValkeyServer

KEY = "tl-test-key"
PATH = "/v1/chat/completions"
ASK = {"model": "fake", "messages": [{"role": "user", "content": "hello"}]}
UP = "trunkline_gateway_limit_store_up"


@pytest.fixture
def server():
    with tempfile.TemporaryDirectory() as folder:
        made = ValkeyServer(Path(folder))
        yield made
        made.stop()


@pytest.fixture
def open_limited(open_harness, single, upstream, server, key_entry):
    async def opened(when_down, *, limit=4, **tree):
        limits = [{"requests": limit, "per_s": 60}]
        entry = key_entry("test", KEY, limits=limits, when_store_is_down=when_down)
        return await open_harness({**single(upstream), "stores": {"redis": server.url}, "keys": [entry], **tree})

    return opened


async def until_store_is(harness, state):
    async with asyncio.timeout(10):
        while harness.metric(UP) != state:  # noqa: ASYNC110 - a metric is all there is to wait for
            await asyncio.sleep(0.01)


async def statuses(harness, count):
    return [(await harness.post(PATH, ASK)).status for _ in range(count)]


async def limits_in_readyz(harness):
    report = await (await harness.get("/readyz")).json()
    return next(part for part in report["parts"] if part["name"] == "limits")


async def test_a_share_of_the_limit_holds_while_a_frozen_store_makes_nobody_wait(open_limited, server):
    server.start()
    # Another gateway, so that a share is half.
    async with asyncio.TaskGroup() as group:
        first, _ = [group.create_task(open_limited("local_share", limit=8)) for _ in range(2)]
    harness = first.result()
    await asyncio.sleep(2.2)
    server.freeze()
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    reply = await harness.post(PATH, ASK)
    assert (reply.status, reply.headers["x-trunkline-admission"]) == (200, "degraded")
    assert loop.time() - began_s < 1.0
    assert await statuses(harness, 4) == [200, 200, 200, 429]
    part = await limits_in_readyz(harness)
    assert (part["up"], part["required"]) == (False, False)
    assert harness.metric(UP) == 0
    assert (await harness.get("/readyz")).status == 200
    server.thaw()
    await until_store_is(harness, 1)
    reply = await harness.post(PATH, ASK)
    assert "x-trunkline-admission" not in reply.headers
    await asyncio.sleep(1.1)
    assert (await limits_in_readyz(harness))["detail"] == "shared by 2 gateways"


async def test_open_lets_everything_through(open_limited, server):
    server.start()
    harness = await open_limited("open")
    server.stop()
    assert await statuses(harness, 8) == [200] * 8


async def test_closed_lets_nothing_through(open_limited, server):
    server.start()
    harness = await open_limited("closed")
    server.stop()
    refused = await harness.post(PATH, ASK)
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    error = (await refused.json())["error"]
    assert error["code"] == "store_unavailable"
    assert "when_store_is_down: closed" in error["message"]


async def test_a_bad_start_is_forgotten_when_the_store_appears(open_limited, server):
    harness = await open_limited("local_share", server={"gateways": 2})
    assert await statuses(harness, 3) == [200, 200, 429]
    server.start()
    await until_store_is(harness, 1)
    assert await statuses(harness, 5) == [200, 200, 200, 200, 429]


async def test_a_store_that_comes_back_empty_is_taught_the_function_again(open_limited, server):
    server.start()
    harness = await open_limited("closed")
    assert await statuses(harness, 1) == [200]
    server.stop()
    assert await statuses(harness, 1) == [503]
    server.start()
    await until_store_is(harness, 1)
    assert await statuses(harness, 5) == [200, 200, 200, 200, 429]


async def test_money_spent_meanwhile_is_settled_afterwards(open_limited, server, key_entry):
    server.start()
    budget = [{"amount_usd": 1, "period": "total"}]
    key = key_entry("test", KEY, budgets=budget, when_store_is_down="open")
    prices = {"overrides": [{"provider": "up", "output_usd": 100_000}]}
    harness = await open_limited("open", keys=[key], prices=prices)
    server.freeze()
    words = {**ASK, "messages": [{"role": "user", "content": "one two three four five"}], "max_tokens": 5}
    assert (await harness.post(PATH, words)).headers["x-trunkline-admission"] == "degraded"
    server.thaw()
    await until_store_is(harness, 1)
    # Half a dollar is gone, so two more of them do not fit at once, and one does.
    assert (await harness.post(PATH, {**words, "max_tokens": 6})).status == 429
    assert (await harness.post(PATH, words)).status == 200
    assert (await harness.post(PATH, words)).status == 429
