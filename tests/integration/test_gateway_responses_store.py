"""Responses in a real Valkey: shared by gateways, apart for teams, and what happens when it is away."""

import asyncio
import tempfile
from pathlib import Path

import openai
import pytest

from trunkline_gateway.responses.opening import open_desk
from trunkline_gateway.responses.states import MemoryStates
from trunkline_gateway.responses.valkey import REST_S, ValkeyStates
from trunkline_kit.clock import ManualClock
from trunkline_kit.errors import ObjectNotFound, StoreUnavailable
from trunkline_kit.secrets import Secret
from trunkline_kit.settings import Responses
from trunkline_kit.stores.valkey import open_valkey
from trunkline_testkit.valkey import ValkeyServer, valkey_server


@pytest.fixture(scope="module")
def shared():
    with tempfile.TemporaryDirectory() as folder, valkey_server(Path(folder)) as opened:
        yield opened


@pytest.fixture
def server():
    with tempfile.TemporaryDirectory() as folder:
        made = ValkeyServer(Path(folder))
        yield made
        made.stop()


@pytest.fixture
async def states(shared):
    async with open_valkey(shared.url) as client:
        yield ValkeyStates(client, ManualClock())


async def test_it_keeps_what_memory_keeps(states):
    for kept in (states, MemoryStates(ManualClock(), 10_000)):
        await kept.put("one", {"x": b"1", "y": b"\x00\xff"}, 10.0)
        await kept.put("two", {"x": b"3"}, 10.0, used=["y", "never there"])
        assert await kept.get("one", ["y", "x", "z"]) == [b"\x00\xff", b"1", None]
        assert await kept.get("two", ["x", "y"]) == [b"3", None]
        assert await kept.get("two", []) == []
        assert await kept.delete("one", ["x", "z"]) == 1
        assert await kept.get("one", ["x", "y"]) == [None, b"\x00\xff"]
        await kept.check()


async def test_what_is_used_lives_on(states, shared):
    await states.put("ttl", {"old": b"1", "other": b"2"}, 100.0)
    await states.put("ttl", {"new": b"3"}, 1_000.0, used=["old"])
    async with open_valkey(shared.url) as client:
        left_s = [await client.ttl(f"tl:responses:{{ttl}}:{name}") for name in ("old", "other", "new")]
    assert [left > 900 for left in left_s] == [True, False, True]
    assert all(left > 0 for left in left_s), "nothing is kept for ever"


async def test_a_store_that_is_away_is_left_alone_for_a_moment(server):
    clock = ManualClock()
    async with open_valkey(server.url) as client:
        states = ValkeyStates(client, clock)
        for ask in (states.check, lambda: states.get("a", ["x"]), lambda: states.put("a", {"x": b""}, 1.0)):
            with pytest.raises(StoreUnavailable):
                await ask()
        server.start()
        with pytest.raises(StoreUnavailable):
            await states.check()
        clock.advance(REST_S)
        await states.check()


async def test_a_desk_without_a_store_keeps_in_memory():
    async with open_desk(None, Responses(), ManualClock()) as desk:
        assert await desk.check() == ""
    async with open_desk(Secret("unix:///nowhere"), Responses(), ManualClock()) as desk:
        assert await desk.check() == "store_unavailable"


async def test_another_gateway_goes_on_where_one_began(open_harness, single, upstream, shared):
    tree = {**single(upstream), "stores": {"redis": shared.url}}
    async with asyncio.TaskGroup() as group:
        opening = [group.create_task(open_harness(dict(tree))) for _ in range(2)]
    one, other = [task.result() for task in opening]
    first = await one.sdk.responses.create(model="fake", input="hello")
    second = await other.sdk.responses.create(model="fake", input="more", previous_response_id=first.id)
    assert [said["content"] for said in upstream.requests[-1].json()["messages"]] == ["hello", "hello", "more"]
    assert await one.sdk.responses.retrieve(second.id) == second
    await other.sdk.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        await one.sdk.responses.retrieve(first.id)


async def test_without_its_store_it_answers_and_says_what_it_could_not_keep(open_harness, single, upstream, server):
    harness = await open_harness({**single(upstream), "stores": {"redis": server.url}})
    ask = harness.sdk.responses.with_raw_response.create
    kept = await ask(model="fake", input="hello")
    assert kept.headers["x-trunkline-stored"] == "no;store_unavailable"
    assert kept.parse().output_text == "hello"
    stream = await harness.post("/v1/responses", {"model": "fake", "input": "hello", "stream": True})
    assert stream.headers["x-trunkline-stored"] == "no;store_unavailable"
    assert b"response.completed" in await stream.read()
    unasked = await ask(model="fake", input="hello", store=False)
    assert "x-trunkline-stored" not in unasked.headers
    before = len(upstream.requests)
    with pytest.raises(openai.InternalServerError) as caught:
        await ask(model="fake", input="more", previous_response_id="resp_1")
    assert (caught.value.status_code, caught.value.code) == (503, "store_unavailable")
    assert len(upstream.requests) == before


async def test_nothing_is_found_under_a_name_that_is_made_up(states):
    async with open_desk(None, Responses(), ManualClock()) as desk:
        for name in ("", "resp_1", "x" * 10_000, "resp_{a}", "\n"):
            with pytest.raises(ObjectNotFound):
                await desk.find("a", name)
