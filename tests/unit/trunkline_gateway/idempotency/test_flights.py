"""A request is worked out once, here and at other gateways, and again where it came to nothing."""

import asyncio
import tempfile
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from trunkline_gateway.body_room import BodyRoom
from trunkline_gateway.idempotency import flights as module
from trunkline_gateway.idempotency.answers import Ask, MemoryAnswers
from trunkline_gateway.idempotency.flights import RESULTS, UNATTENDED_MAX, Flights
from trunkline_gateway.idempotency.opening import open_flights
from trunkline_gateway.service import OneMessage
from trunkline_kit.clock import ManualClock, SystemClock
from trunkline_kit.errors import (
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    Internal,
    TrunklineError,
    Unavailable,
    UpstreamError,
)
from trunkline_kit.lifecycle import background
from trunkline_kit.parts import Kit
from trunkline_kit.resilience import Idempotency
from trunkline_kit.rpc import Net
from trunkline_kit.secrets import Secret
from trunkline_kit.tracing import Tracing
from trunkline_testkit.valkey import valkey_server

ASK = Ask(key="k", fingerprint=b"f" * 32)


class Work:
    """Counts how often it is done."""

    def __init__(self, result=b"body"):
        self.go, self.began, self.result, self.times = asyncio.Event(), asyncio.Event(), result, 0

    async def __call__(self, sink):
        self.times += 1
        self.began.set()
        await self.go.wait()
        if isinstance(self.result, Exception):
            raise self.result
        await sink.whole(self.result, [])


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
async def flights(registry):
    made = Flights(None, Idempotency(), ManualClock(), registry)
    async with background(made.crew.working()):
        await asyncio.sleep(0)
        yield made


async def body_of(flights, work, ask=ASK):
    sink = OneMessage()
    await flights.answer(ask, sink, work)
    return sink.message.body_json


async def landed(flights):
    while len(flights.crew):  # noqa: ASYNC110 - a few turns of the loop
        await asyncio.sleep(0)


async def test_two_at_once_share_one_and_a_third_gets_it_again(flights, registry):
    work = Work()
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(body_of(flights, work)) for _ in range(2)]
        await work.began.wait()
        work.go.set()
    assert [task.result() for task in asked] == [b"body"] * 2
    await landed(flights)
    assert await body_of(flights, work) == b"body"
    assert work.times == 1
    counted = {
        result: registry.get_sample_value("trunkline_gateway_idempotent_requests_total", {"result": result}) or 0
        for result in RESULTS
    }
    assert {result: count for result, count in counted.items() if count} == {"first": 1, "joined": 1, "replayed": 1}


async def test_another_request_with_the_same_key_is_refused_while_and_after(flights):
    work, other = Work(), Ask(key="k", fingerprint=b"g" * 32)
    async with asyncio.TaskGroup() as group:
        group.create_task(body_of(flights, work))
        await work.began.wait()
        with pytest.raises(IdempotencyKeyReused):
            await body_of(flights, work, other)
        work.go.set()
    with pytest.raises(IdempotencyKeyReused):
        await body_of(flights, work, other)


@pytest.mark.parametrize(
    ("raised", "seen"), [(UpstreamError("broke"), UpstreamError), (ValueError("a fault"), Internal)]
)
async def test_errors_are_not_kept(flights, raised, seen):
    failing, work = Work(raised), Work()
    failing.go.set()
    work.go.set()
    with pytest.raises(seen):
        await body_of(flights, failing)
    assert await body_of(flights, work) == b"body"


async def test_a_caller_who_leaves_finds_the_answer_when_it_comes_back(flights):
    work = Work()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.002):
            await body_of(flights, work)
    work.go.set()
    assert await body_of(flights, work) == b"body"
    assert work.times == 1


async def test_only_so_many_are_worked_out_for_nobody(flights):
    works = []
    for number in range(UNATTENDED_MAX + 1):
        works.append(Work())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await body_of(flights, works[-1], Ask(key=str(number), fingerprint=b"f" * 32))
    async with asyncio.timeout(5):
        while len(flights.crew) > UNATTENDED_MAX:  # noqa: ASYNC110 - what is cancelled ends in its own time
            await asyncio.sleep(0)
    assert len(flights.crew) == UNATTENDED_MAX


async def test_who_comes_back_to_one_that_was_cancelled_gets_an_answer(flights, monkeypatch):
    monkeypatch.setattr(module, "POLL_S", 0.001)
    for number in range(UNATTENDED_MAX + 1):
        ask = Ask(key=str(number), fingerprint=b"f" * 32)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await body_of(flights, Work(), ask)
    work = Work()
    work.go.set()
    assert await body_of(flights, work, ask) == b"body", "of the last one, whose end is still on its way"
    async with asyncio.timeout(5):
        while len(flights.crew) > UNATTENDED_MAX:  # noqa: ASYNC110 - what is cancelled ends in its own time
            await asyncio.sleep(0)
    assert len(flights.crew) == UNATTENDED_MAX


async def test_too_large_an_answer_is_given_and_not_kept(flights):
    flights.settings = Idempotency(answer_bytes_max=3)
    work = Work()
    work.go.set()
    for _ in range(2):
        assert await body_of(flights, work) == b"body"
        await landed(flights)
    assert work.times == 2


async def test_the_end_of_the_gateway_is_told():
    flights, work = Flights(None, Idempotency(), ManualClock()), Work()
    async with asyncio.TaskGroup() as group, background(flights.crew.working()):
        await asyncio.sleep(0)
        asking = group.create_task(_raised(body_of(flights, work)))
        await work.began.wait()
    assert isinstance(asking.result(), Unavailable)


async def _raised(awaitable):
    try:
        await awaitable
    except TrunklineError as error:
        return error


@pytest.fixture
async def pair(monkeypatch):
    """Two gateways, one store."""
    monkeypatch.setattr(module, "POLL_S", 0.001)
    answers = MemoryAnswers(ManualClock(), 1 << 20)
    made = [Flights(answers, Idempotency(wait_s=0.05), ManualClock()) for _ in range(2)]
    async with background(made[0].crew.working()), background(made[1].crew.working()):
        await asyncio.sleep(0)
        yield made


async def test_the_other_gateway_waits_and_has_it_then(pair):
    work = Work()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(body_of(pair[0], work))
        await work.began.wait()
        second = group.create_task(body_of(pair[1], work))
        await asyncio.sleep(0.003)
        work.go.set()
    assert (first.result(), second.result(), work.times) == (b"body", b"body", 1)


async def test_the_other_gateway_takes_over_what_came_to_nothing(pair):
    failing, work = Work(UpstreamError("broke")), Work()
    work.go.set()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(_raised(body_of(pair[0], failing)))
        await failing.began.wait()
        second = group.create_task(body_of(pair[1], work))
        await asyncio.sleep(0.003)
        failing.go.set()
    assert isinstance(first.result(), UpstreamError)
    assert second.result() == b"body"


async def test_the_other_gateway_does_not_wait_for_ever(pair):
    work = Work()
    async with asyncio.TaskGroup() as group:
        group.create_task(body_of(pair[0], work))
        await work.began.wait()
        with pytest.raises(IdempotencyKeyInUse) as raised:
            await body_of(pair[1], work)
        work.go.set()
    assert raised.value.retry_after_s == 1


async def test_an_answer_whose_lease_was_lost_is_still_given_again_here():
    clock = ManualClock()
    answers = MemoryAnswers(clock, 1 << 20)
    flights, work = Flights(answers, Idempotency(), clock), Work()
    async with background(flights.crew.working()):
        await asyncio.sleep(0)
        async with asyncio.TaskGroup() as group:
            group.create_task(body_of(flights, work))
            await work.began.wait()
            clock.advance(module.LEASE_S)
            assert await answers.claim(ASK, b"another gateway.", module.LEASE_S) is None
            work.go.set()
        await landed(flights)
        assert await body_of(flights, work) == b"body"
        assert work.times == 1


def kit():
    return Kit(net=Net(), clock=SystemClock(), tracing=Tracing(), metrics=CollectorRegistry(), environment={})


async def test_a_store_that_goes_leaves_each_gateway_to_itself():
    with tempfile.TemporaryDirectory(prefix="tl-") as short, valkey_server(Path(short)) as server:
        redis = Secret(server.url)
        async with open_flights(redis, Idempotency(), kit()) as one, open_flights(redis, Idempotency(), kit()) as two:
            await asyncio.sleep(0)
            work = Work()
            work.go.set()
            assert await body_of(one, work) == await body_of(two, work) == b"body"
            assert work.times == 1
            server.stop()
            lost = Ask(key="l", fingerprint=b"f" * 32)
            assert [await body_of(one, work, lost) for _ in range(2)] == [b"body"] * 2
            assert work.times == 2
            assert await body_of(two, work, lost) == b"body"
            assert work.times == 3


async def test_an_answer_too_long_to_be_kept_is_cancelled_without_a_caller():
    flights = Flights(None, Idempotency(answer_bytes_max=10), ManualClock(), CollectorRegistry())
    cancelled = asyncio.Event()

    async def endless(sink):
        await sink.open([])
        try:
            while True:
                await sink.events([b"x" * 8])
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with background(flights.crew.working()):
        await asyncio.sleep(0)
        with pytest.raises(NotImplementedError):
            await flights.answer(ASK, OneMessage(), endless)
        async with asyncio.timeout(5):
            await cancelled.wait()
        await landed(flights)
        assert await body_of(flights, done_at_once) == b"body"


async def done_at_once(sink):
    await sink.whole(b"body", [])


async def test_a_body_is_held_until_its_flight_is_over(flights):
    room, work = BodyRoom(100), Work()
    held = room.held("me")
    held.grow(60)
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(flights.answer(ASK, OneMessage(), work, held))
        await work.began.wait()
        asking.cancel()
    held.release()
    assert room.held_bytes == 60
    work.go.set()
    await landed(flights)
    assert room.held_bytes == 0
