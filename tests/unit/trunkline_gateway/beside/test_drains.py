"""So many answers are read on as may be; each request is settled exactly once."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from trunkline_gateway.beside.drains import Drains, Undisturbed
from trunkline_gateway.body_room import BodyRoom
from trunkline_kit.errors import UpstreamError
from trunkline_kit.lifecycle import background


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
async def drains(registry):
    made = Drains(1, registry)
    async with background(made.crew.working()):
        await asyncio.sleep(0)
        yield made


async def test_the_body_is_held_until_the_answer_is_read(drains):
    go, room = asyncio.Event(), BodyRoom(100)
    held = room.held()
    held.grow(60)
    assert drains.take()
    drains.read(go.wait, lambda: None, held)
    held.release()
    assert room.held_bytes == 60
    go.set()
    await asyncio.sleep(0.001)
    assert room.held_bytes == 0


async def test_one_more_is_refused_until_the_first_is_over(drains, registry):
    go, settled = asyncio.Event(), []

    async def rest():
        await go.wait()

    assert drains.take()
    drains.read(rest, lambda: settled.append(1))
    assert not drains.take()
    assert registry.get_sample_value("trunkline_gateway_draining_answers") == 1
    assert not settled
    go.set()
    await asyncio.sleep(0.001)
    assert settled == [1]
    assert drains.take()
    counted = {
        result: registry.get_sample_value("trunkline_gateway_drained_answers_total", {"result": result})
        for result in ("read", "refused")
    }
    assert counted == {"read": 2, "refused": 1}


async def test_what_fails_is_settled_too(drains):
    settled = []

    async def rest():
        raise UpstreamError("broke")

    drains.read(rest, lambda: settled.append(1))
    await asyncio.sleep(0.001)
    assert settled == [1]


async def test_without_a_gateway_nothing_is_read_on():
    drains, settled = Drains(5), []
    assert not drains.take()
    drains.read(asyncio.Event().wait, lambda: settled.append(1))
    assert settled == [1]


async def test_whoever_waits_for_undisturbed_work_may_leave_and_another_come(drains):
    go = asyncio.Event()

    async def work():
        await go.wait()
        return "done"

    undisturbed = Undisturbed(drains.crew, work())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await undisturbed.result()
    go.set()
    assert await undisturbed.result() == "done"
    assert await undisturbed.end() == "done"


async def test_undisturbed_work_fails_and_ends_as_any_other(drains):
    async def fail():
        raise UpstreamError("broke")

    with pytest.raises(UpstreamError):
        await Undisturbed(drains.crew, fail()).result()
    waiting = Undisturbed(drains.crew, asyncio.Event().wait())
    assert await waiting.end() is None
    with pytest.raises(asyncio.CancelledError):
        await waiting.result()
