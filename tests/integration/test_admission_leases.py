"""What a gateway held comes back after it was killed, and stays while it lives: real processes on a real Valkey."""

import asyncio
import os
import tempfile
from pathlib import Path

import aiohttp
import pytest

from trunkline_gateway.admission.holds import LEASE_MS
from trunkline_gateway.admission.levels import Bounds, Level, Shelf
from trunkline_gateway.admission.store import ValkeyLimits, open_limit_client
from trunkline_gateway.admission.wire import Admit, Claim, Query
from trunkline_kit.tenants import Budget, Limit, Period
from trunkline_policy.windows import LEASE_CELL_MS
from trunkline_testkit.fleet import open_fleet
from trunkline_testkit.upstream import Reply, chat_stream, open_fake_upstream
from trunkline_testkit.valkey import valkey_server

FREE_AFTER_MS = 40_000
HEADERS = {"authorization": "Bearer tl-test-key"}


@pytest.fixture
def server():
    with tempfile.TemporaryDirectory() as folder, valkey_server(Path(folder)) as opened:
        yield opened


def settings(server, upstream, key_entry):
    bounds = {
        "limits": [{"concurrent": 2}],
        "budgets": [{"amount_usd": 10, "period": "total"}],
    }
    return {
        "stores": {"redis": server.url},
        "providers": {"up": {"kind": "openai", "base_url": upstream.base_url}},
        "models": {"fake": {"deployments": [{"provider": "up", "model": "x"}], "timeouts": {"total_s": 3_600}}},
        "prices": {"overrides": [{"provider": "up", "output_usd": 1_000}]},
        "keys": [key_entry("test", "tl-test-key", **bounds)],
    }


async def test_a_killed_gateway_holds_nothing_after_forty_seconds(server, key_entry, tmp_path):
    limits, budgets = (Limit(concurrent=2),), (Budget(amount_usd=10, period=Period.TOTAL),)
    bounds = {"test": Bounds(limits, budgets)}
    rules = (await asyncio.to_thread(Shelf, bounds, Level.KEY)).rules("default", "test")
    queries = [Query(rule.kind, rule.key, rule.shape(0)) for rule in rules]
    stalled = chat_stream(["a", "b"])
    body = {"model": "fake", "messages": [{"role": "user", "content": "hi"}], "stream": True, "max_tokens": 2_000}
    async with open_fake_upstream() as upstream, open_limit_client(server.url) as client:
        upstream.replies(*[Reply(headers=stalled.headers, chunks=stalled.chunks[:2], ending="stall")] * 2)
        tree = settings(server, upstream, key_entry)
        async with (
            open_fleet(tmp_path, tree, dict(os.environ), 1) as (gateway,),  # noqa: TID251 - for a child process
            aiohttp.ClientSession(headers=HEADERS) as http,
        ):
            for _ in range(2):
                reply = await http.post(f"{gateway.url}/v1/chat/completions", json=body)
                assert reply.status == 200
                await reply.content.readline()
            await gateway.kill()
        store = await asyncio.to_thread(ValkeyLimits, client, "test")
        now_ms = await now(client)
        assert [used for used, _ in await store.peek(queries, now_ms)] == [2, 4_000_000_000]
        assert [used for used, _ in await store.peek(queries, now_ms + LEASE_MS - LEASE_CELL_MS)] == [2, 4_000_000_000]
        assert [used for used, _ in await store.peek(queries, now_ms + FREE_AFTER_MS)] == [0, 0]
        claims = tuple(Claim(rule.kind, rule.key, rule.limit, 2, rule.shape(0)) for rule in rules[:1])
        outcomes = await store.work([Admit("", 1_000, claims)], now_ms + FREE_AFTER_MS)
        assert outcomes[0].refused == 0


async def now(client):
    seconds, micros = await client.time()
    return seconds * 1_000 + micros // 1_000
