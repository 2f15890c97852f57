"""Limits and budgets as callers meet them: over HTTP, with a real Valkey behind."""

import asyncio
import tempfile
from pathlib import Path

import openai
import pytest

from trunkline_testkit.upstream import Reply, chat_reply, chat_stream, error_reply
from trunkline_testkit.valkey import valkey_server

KEY = "tl-test-key"
PATH = "/v1/chat/completions"


def ask(text="hello", **rest):
    return {"model": "fake", "messages": [{"role": "user", "content": text}], **rest}


@pytest.fixture
def server():
    with tempfile.TemporaryDirectory() as folder, valkey_server(Path(folder)) as opened:
        yield opened


@pytest.fixture
async def limited(open_harness, single, upstream, server, key_entry):
    """Opens a gateway whose one key has these settings; further parts of the tree go by name."""

    async def opened(key=None, model=None, **tree):
        entry = key_entry("test", KEY, **(key or {}))
        stores = {"redis": server.url}
        return await open_harness({**single(upstream, **(model or {})), "stores": stores, "keys": [entry], **tree})

    return opened


PRICED = {"overrides": [{"provider": "up", "input_usd": 1, "output_usd": 1_000}]}
"""A thousand output tokens cost a dollar."""


async def test_a_rate_is_told_on_every_answer_and_refused_in_our_own_words(limited):
    harness = await limited({"limits": [{"requests": 2, "per_s": 60}, {"tokens": 10_000, "per_s": 60}]})
    first = await harness.post(PATH, ask(max_tokens=50))
    assert first.headers["x-ratelimit-limit-requests"] == "2"
    assert first.headers["x-ratelimit-remaining-requests"] == "1"
    assert first.headers["x-ratelimit-reset-requests"] in {"1m1s", "1m2s", "1m3s"}
    assert first.headers["x-ratelimit-limit-tokens"] == "10000"
    assert 9_900 < int(first.headers["x-ratelimit-remaining-tokens"]) < 9_950
    assert (await harness.post(PATH, ask(max_tokens=50))).status == 200
    refused = await harness.post(PATH, ask(max_tokens=50))
    error = (await refused.json())["error"]
    assert (refused.status, error["code"]) == (429, "rate_limit_exceeded")
    assert error["message"].startswith("key 'test' is over its limit of 2 requests per 60 s; try again in ")
    assert 59 < int(refused.headers["retry-after"]) < 64
    assert 59_000 < int(refused.headers["retry-after-ms"]) < 64_000
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert "x-should-retry" not in refused.headers
    with pytest.raises(openai.RateLimitError):
        await harness.sdk.chat.completions.create(**ask())
    labels = {"result": "refused_requests", "level": "key"}
    assert harness.metric("trunkline_gateway_admissions_total", **labels) == 2


async def test_what_was_not_used_is_given_back(limited, server):
    harness = await limited({"limits": [{"tokens": 1_000, "per_s": 60}]})
    for _ in range(5):
        assert (await harness.post(PATH, ask(max_tokens=900))).status == 200
    too_large = await harness.post(PATH, ask(max_tokens=2_000))
    assert "larger than the limit of key 'test', 1000 tokens per 60 s" in (await too_large.json())["error"]["message"]
    assert too_large.headers["x-should-retry"] == "false"
    assert "retry-after" not in too_large.headers


async def test_max_tokens_is_never_demanded(limited):
    harness = await limited({"limits": [{"tokens": 100, "per_s": 60}]})
    assert (await harness.post(PATH, ask())).status == 200
    assert (await harness.post(PATH, ask())).status == 200


async def test_concurrency_is_counted_and_given_back_however_a_request_ends(limited, upstream):
    harness = await limited({"limits": [{"concurrent": 1}]})
    upstream.replies(Reply(hold_headers=True, chunks=chat_reply("late").chunks))
    async with asyncio.TaskGroup() as group:
        held = group.create_task(harness.post(PATH, ask()))
        await upstream.wait_for_requests(1)
        refused = await harness.post(PATH, ask())
        assert (refused.status, (await refused.json())["error"]["code"]) == (429, "concurrency_exceeded")
        upstream.release()
    assert held.result().status == 200
    upstream.replies(
        error_reply(400), Reply(headers=chat_stream([]).headers, chunks=chat_stream(["a"]).chunks[:2], ending="cut")
    )
    assert (await harness.post(PATH, ask())).status == 400
    broken = await harness.post(PATH, ask(stream=True))
    await broken.read()
    assert (await harness.post(PATH, ask())).status == 200


async def test_a_caller_that_leaves_gives_its_place_back(limited, upstream):
    harness = await limited({"limits": [{"concurrent": 1}]})
    upstream.replies(Reply(headers=chat_stream([]).headers, chunks=chat_stream(["a", "b"]).chunks[:3], ending="stall"))
    reply = await harness.post(PATH, ask(stream=True))
    await reply.content.readline()
    reply.close()
    await asyncio.wait_for(upstream.disconnected.wait(), 5)
    async with asyncio.timeout(5):
        while (await harness.post(PATH, ask())).status != 200:
            pass


async def test_a_budget_stops_what_does_not_fit_it(limited, upstream):
    harness = await limited(
        {"team": "t"},
        teams={
            "t": {"org": "acme", "budgets": [{"amount_usd": 0.25, "period": "month", "time_zone": "Europe/Berlin"}]}
        },
        prices=PRICED,
    )
    upstream.replies(chat_reply("w " * 200))
    assert (await harness.post(PATH, ask(max_tokens=240))).status == 200
    refused = await harness.post(PATH, ask(max_tokens=100))
    error = (await refused.json())["error"]
    assert (refused.status, error["code"]) == (429, "budget_exceeded")
    assert "of the budget of team 't', 0.25 USD per month; the next period begins in " in error["message"]
    assert refused.headers["x-should-retry"] == "false"
    assert int(refused.headers["retry-after"]) > 0
    assert (await harness.post(PATH, ask(max_tokens=40))).status == 200


async def test_a_cut_stream_is_charged_for_what_was_counted(limited, upstream):
    harness = await limited({"budgets": [{"amount_usd": 1, "period": "total"}]}, prices=PRICED)
    cut = chat_stream(["w "] * 300)
    upstream.replies(Reply(headers=cut.headers, chunks=cut.chunks[:300], ending="cut"))
    await (await harness.post(PATH, ask(stream=True, max_tokens=900))).read()
    assert (await harness.post(PATH, ask(max_tokens=720))).status == 429
    assert (await harness.post(PATH, ask(max_tokens=650))).status == 200


async def test_end_users_models_and_projects_have_their_own(limited, upstream):
    each = {"limits": [{"requests": 1, "per_s": 60}]}
    harness = await limited(
        {"team": "t", "project": "p"},
        teams={"t": {"end_user": each}},
        projects={"p": {"team": "t", "limits": [{"requests": 3, "per_s": 60}]}},
    )
    assert (await harness.post(PATH, ask(user="ada"))).status == 200
    refused = await harness.post(PATH, ask(user="ada"))
    assert (await refused.json())["error"]["message"].startswith("end user 'ada' is over its limit of 1 requests")
    assert (await harness.post(PATH, ask(user="bob"))).status == 200
    assert (await harness.post(PATH, ask())).status == 200
    assert "project 'p'" in (await (await harness.post(PATH, ask())).json())["error"]["message"]


async def test_a_models_limit_also_holds_behind_a_route_that_leads_to_it(limited):
    harness = await limited(model={"limits": [{"requests": 2, "per_s": 60}]}, routes={"auto": {"otherwise": ["fake"]}})
    assert (await harness.post(PATH, ask())).status == 200
    assert (await harness.post(PATH, {**ask(), "model": "auto"})).status == 200
    refused = await harness.post(PATH, {**ask(), "model": "auto"})
    assert "model 'fake' is over its limit" in (await refused.json())["error"]["message"]


async def test_without_limits_the_store_is_not_asked(limited, server):
    harness = await limited()
    before = harness.metric("trunkline_gateway_limit_store_batch_operations_count")
    reply = await harness.post(PATH, ask())
    assert reply.status == 200
    assert not [name for name in reply.headers if name.startswith("x-ratelimit")]
    assert harness.metric("trunkline_gateway_limit_store_batch_operations_count") == before


async def test_no_number_that_a_caller_sends_stops_the_gateway(limited):
    harness = await limited(
        {"limits": [{"tokens": 1_000, "per_s": 60}], "budgets": [{"amount_usd": 1, "period": "day"}]}
    )
    for number in (10**26, 2**64 - 1, 2**63):
        assert (await harness.post(PATH, ask(max_tokens=number))).status == 429
    assert (await harness.post(PATH, ask(max_tokens=1))).status == 200


async def test_what_a_provider_refuses_costs_nothing(limited, upstream):
    harness = await limited({"limits": [{"tokens": 1_000, "per_s": 60}]})
    for _ in range(2):
        upstream.replies(error_reply(400, "no such temperature"))
        assert (await harness.post(PATH, ask(max_tokens=400, temperature=9))).status == 400
    assert (await harness.post(PATH, ask(max_tokens=900))).status == 200


async def test_near_a_limit_input_is_counted_instead_of_estimated(open_harness, single, upstream, server, key_entry):
    """Numbers have few bytes to a token: by its size this request is thought half as large as it is."""
    text = " ".join(str(number) for number in range(1_000, 1_600))
    entry = key_entry("test", KEY, limits=[{"tokens": 1_300, "per_s": 60}])
    for model, statuses in (("gpt-4o", [429]), ("unknown", [200])):
        tree = {**single(upstream, deployments=[{"provider": "up", "model": model}]), "keys": [entry]}
        harness = await open_harness({**tree, "stores": {"redis": server.url}})
        assert [(await harness.post(PATH, ask(text, max_tokens=400))).status] == statuses


async def test_an_estimate_that_is_too_high_refuses_nobody(open_harness, single, upstream, server, key_entry):
    text = "internationalization " * 400
    entry = key_entry("test", KEY, limits=[{"tokens": 1_000, "per_s": 60}])
    for model, statuses in (("gpt-4o", [200]), ("unknown", [429])):
        tree = {**single(upstream, deployments=[{"provider": "up", "model": model}]), "keys": [entry]}
        harness = await open_harness({**tree, "stores": {"redis": server.url}})
        assert [(await harness.post(PATH, ask(text, max_tokens=50))).status] == statuses
