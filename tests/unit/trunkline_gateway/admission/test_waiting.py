"""Waiting for room: whose turn it is, who may not hope, who leaves; over limits in memory."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from trunkline_gateway.admission.admission import Admission, Demand
from trunkline_gateway.admission.levels import Bounds, Level, Shelf
from trunkline_gateway.admission.meters import AdmissionMeters, QueueMeters
from trunkline_gateway.admission.waiting import Place, WaitingRoom
from trunkline_kit.clock import SystemClock
from trunkline_kit.errors import BudgetExceeded, ConcurrencyExceeded, RateLimited
from trunkline_kit.tenants import Budget, Limit, Period, Priority, WhenStoreIsDown

LONG_S = 30.0
RULES: dict[str, object] = {}


def room_of(requests_max=100, registry=None):
    registry = registry or CollectorRegistry()
    admission = Admission(None, AdmissionMeters(registry), SystemClock())
    return WaitingRoom(admission, QueueMeters(registry), requests_max)


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def room(registry):
    return room_of(registry=registry)


def rules_of(*limits, name="k", level=Level.KEY, budgets=()):
    return Shelf({name: Bounds(limits, budgets)}, level).rules("o", name)


def demand(rules, tokens=10):
    return Demand(rules=rules, when_down=WhenStoreIsDown.CLOSED, total_s=60, tokens=tokens, cost_nusd=10)


ONE = demand(rules_of(Limit(concurrent=1)))


def place(team="t", *, weight=1.0, priority=Priority.NORMAL, wait_s=LONG_S):
    return Place(team=team, weight=weight, priority=priority, wait_s=wait_s)


def leave(room, admitted):
    room.admission.settle(admitted.ticket, 0, 0)
    room.released(admitted.ticket.keys)


async def turns(count=10):
    for _ in range(count):
        await asyncio.sleep(0)


class Crowd:
    """Requests that wait, and in what order they get in."""

    def __init__(self, room, group):
        self.room, self.group, self.order, self.tasks = room, group, [], {}

    async def join(self, name, where=None, wanted=ONE):
        async def one():
            admitted = await self.room.admit(wanted, where or place())
            self.order.append(name)
            return admitted

        self.tasks[name] = self.group.create_task(one())
        await turns()

    async def let_all_in(self, held):
        """One after the other: whoever is in leaves at once."""
        while held is not None:
            leave(self.room, held)
            before = len(self.order)
            await turns()
            held = self.tasks[self.order[-1]].result() if len(self.order) > before else None


def ended(registry, outcome):
    return registry.get_sample_value("trunkline_gateway_queue_ends_total", {"outcome": outcome})


async def test_who_does_not_wait_is_let_in_or_refused_at_once(room):
    admitted = await room.admit(ONE, None)
    assert admitted.queued_ms == 0
    with pytest.raises(ConcurrencyExceeded):
        await room.admit(ONE, None)
    leave(room, admitted)
    assert (await room.admit(ONE, place())).queued_ms == 0


async def test_first_come_first_served(room, registry):
    held = await room.admit(ONE, None)
    async with asyncio.TaskGroup() as group:
        crowd = Crowd(room, group)
        for name in "abc":
            await crowd.join(name)
        assert (len(room), registry.get_sample_value("trunkline_gateway_queued_requests")) == (3, 3)
        assert crowd.order == []
        await crowd.let_all_in(held)
    assert crowd.order == ["a", "b", "c"]
    assert (len(room), room._lines, ended(registry, "admitted")) == (0, {}, 3)
    assert all(task.result().queued_ms >= 1 for task in crowd.tasks.values())


async def test_classes_and_shares(room):
    held = await room.admit(ONE, None)
    async with asyncio.TaskGroup() as group:
        crowd = Crowd(room, group)
        await crowd.join("batch", place("x", priority=Priority.BATCH))
        for number in range(6):
            await crowd.join(f"small{number}", place("small"))
            await crowd.join(f"large{number}", place("large", weight=2.0))
        await crowd.join("urgent", place("y", priority=Priority.INTERACTIVE))
        await crowd.let_all_in(held)
    assert (crowd.order[0], crowd.order[-1]) == ("urgent", "batch")
    first = crowd.order[1:10]
    assert sum(name.startswith("large") for name in first) == 6


async def test_nobody_goes_past_those_who_wait(room):
    held = await room.admit(ONE, None)
    async with asyncio.TaskGroup() as group:
        crowd = Crowd(room, group)
        await crowd.join("first")
        # There is room now, and nobody has been told yet.
        room.admission.settle(held.ticket, 0, 0)
        await crowd.join("second")
        assert crowd.order == []
        room.released(held.ticket.keys)
        await turns()
        assert crowd.order == ["first"]
        await crowd.let_all_in(crowd.tasks["first"].result())
    assert crowd.order == ["first", "second"]


async def test_the_queue_is_bounded_and_says_when_to_come_back(registry):
    room = room_of(2, registry)
    held = await room.admit(ONE, None)
    async with asyncio.TaskGroup() as group:
        crowd = Crowd(room, group)
        for name in "ab":
            await crowd.join(name)
        with pytest.raises(ConcurrencyExceeded, match="no more requests may wait here") as refused:
            await room.admit(ONE, place())
        assert refused.value.retry_after_s > 0
        assert ended(registry, "full") == 1
        await crowd.let_all_in(held)


@pytest.mark.parametrize(
    ("limits", "budgets", "tokens", "error"),
    [
        ([Limit(requests=1, per_s=60)], (), 1, RateLimited),
        ([Limit(tokens=5, per_s=60)], (), 9, RateLimited),
        ([], (Budget(amount_usd=15e-9, period=Period.TOTAL),), 1, BudgetExceeded),
    ],
)
async def test_who_cannot_fit_in_time_is_refused_at_once(room, registry, limits, budgets, tokens, error):
    wanted = demand(rules_of(*limits, budgets=budgets), tokens)
    if tokens == 1:
        await room.admit(wanted, place())
    async with asyncio.timeout(1):
        with pytest.raises(error) as refused:
            await room.admit(wanted, place(wait_s=2.0))
    assert "x-trunkline-queue-ms" not in dict(refused.value.headers)
    assert ended(registry, "hopeless") == 1


async def test_nobody_waits_longer_than_they_may(room, registry):
    await room.admit(ONE, None)
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    with pytest.raises(ConcurrencyExceeded, match=r"it waited 0\.1 s for room") as refused:
        await room.admit(ONE, place(wait_s=0.1))
    assert 0.09 < loop.time() - began_s < 1.0
    assert int(dict(refused.value.headers)["x-trunkline-queue-ms"]) >= 90
    assert refused.value.retry_after_s > 0
    assert (ended(registry, "late"), len(room), room._lines) == (1, 0, {})
    short = Demand(rules=ONE.rules, when_down=ONE.when_down, total_s=0.05, tokens=1, cost_nusd=None)
    with pytest.raises(ConcurrencyExceeded):
        await room.admit(short, place())


async def test_a_window_wakes_those_who_wait_for_it(room):
    wanted = demand(rules_of(Limit(requests=2, per_s=0.1)))
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        tasks = [group.create_task(room.admit(wanted, place())) for _ in range(6)]
    waited = sorted(task.result().queued_ms for task in tasks)
    assert waited[:2] == [0, 0]
    assert 0.2 <= loop.time() - began_s < 2.0
    assert waited[2] >= 80


async def test_a_caller_that_leaves_makes_room_in_line_and_holds_nothing(room, registry):
    held = await room.admit(ONE, None)
    async with asyncio.TaskGroup() as group:
        crowd = Crowd(room, group)
        for name in "abc":
            await crowd.join(name)
        crowd.tasks["a"].cancel()
        crowd.tasks["c"].cancel()
        await turns()
        assert (len(room), ended(registry, "left")) == (1, 2)
        await crowd.let_all_in(held)
        assert crowd.order == ["b"]
    again = await room.admit(ONE, None)
    assert again.ticket.holds


async def test_a_caller_that_leaves_while_it_tries_passes_its_turn_on(room):
    held = await room.admit(ONE, None)
    async with asyncio.TaskGroup() as group:
        crowd = Crowd(room, group)
        for name in "ab":
            await crowd.join(name)
        leave(room, held)
        # It has been told, and has not tried yet.
        crowd.tasks["a"].cancel()
        await turns()
        assert crowd.order == ["b"]


async def test_who_has_room_here_waits_on_where_there_is_none(room):
    team = rules_of(Limit(concurrent=1), name="t", level=Level.TEAM)
    key_held = await room.admit(ONE, None)
    async with asyncio.TaskGroup() as group:
        crowd = Crowd(room, group)
        await crowd.join("both", wanted=demand((*ONE.rules, *team)))
        team_held = await room.admit(demand(team), None)
        leave(room, key_held)
        await turns()
        assert crowd.order == []
        assert list(room._lines) == [team[0].key]
        # The key's place is not held meanwhile.
        other = await room.admit(ONE, None)
        leave(room, other)
        leave(room, team_held)
        await turns()
        assert crowd.order == ["both"]
    assert room._lines == {}


async def test_an_estimate_is_made_better_once_before_anybody_is_refused(room):
    rules = rules_of(Limit(tokens=100, per_s=60))
    asked = []

    async def sharper():
        asked.append(1)
        return demand(rules, tokens=60)

    assert (await room.admit(demand(rules, tokens=120), None, sharper)).ticket.holds[0].claims[0].cost == 60
    with pytest.raises(RateLimited):
        await room.admit(demand(rules, tokens=120), place(wait_s=1), sharper)
    assert len(asked) == 2

    async def no_better():
        return None

    with pytest.raises(RateLimited):
        await room.admit(demand(rules, tokens=120), None, no_better)
    await room.admit(ONE, None)
    with pytest.raises(ConcurrencyExceeded):
        await room.admit(ONE, None, sharper)
    assert len(asked) == 2, "concurrency has nothing to do with size"


async def test_the_retry_after_of_a_full_queue_grows_with_the_line(registry):
    room = room_of(3, registry)
    held = await room.admit(ONE, None)
    async with asyncio.TaskGroup() as group:
        crowd = Crowd(room, group)
        for name in "abc":
            await crowd.join(name)
        line = next(iter(room._lines.values()))
        line.pace_ms = 2_000.0
        with pytest.raises(ConcurrencyExceeded) as refused:
            await room.admit(ONE, place())
        assert refused.value.retry_after_s == 8.0
        await crowd.let_all_in(held)


REQUESTS = st.lists(
    st.tuples(
        st.sampled_from(["enter", "enter", "enter", "leave", "cancel"]),
        st.integers(0, 50),
        st.sampled_from(list(Priority)),
        st.sampled_from(["a", "b", "c"]),
        st.booleans(),
    ),
    min_size=1,
    max_size=60,
)


class Requests:
    """Any number of them, that come, leave and are cancelled."""

    def __init__(self, limit, requests_max, group):
        self.room = room_of(requests_max)
        self.group = group
        self.key = rules_of(Limit(concurrent=limit))
        self.both = (*self.key, *rules_of(Limit(concurrent=1), name="t", level=Level.TEAM))
        self.limit = limit
        self.inside, self.tasks = [], []

    async def one(self, wanted, where):
        try:
            self.inside.append(await self.room.admit(wanted, where))
        except ConcurrencyExceeded:
            assert len(self.room) >= self.room.requests_max

    def step(self, what, number, priority, team, small):
        if what == "enter":
            wanted = demand(self.key if small else self.both)
            self.tasks.append(self.group.create_task(self.one(wanted, place(team, priority=priority))))
        elif what == "leave" and self.inside:
            leave(self.room, self.inside.pop(number % len(self.inside)))
        elif what == "cancel" and self.tasks:
            self.tasks[number % len(self.tasks)].cancel()

    async def check(self):
        used = [used for used, _ in await self.room.admission.spent(self.both)]
        assert used[0] <= self.limit
        assert used[1] <= 1
        assert len(self.room) <= self.room.requests_max

    async def end(self):
        while self.inside or not all(task.done() for task in self.tasks):
            if self.inside:
                leave(self.room, self.inside.pop())
            await turns(3)
        assert (len(self.room), self.room._lines) == (0, {})
        assert [used for used, _ in await self.room.admission.spent(self.both)] == [0, 0]
        assert len(self.room.admission.holds) == 0


@given(REQUESTS, st.integers(1, 3), st.integers(1, 20))
@settings(max_examples=60, deadline=None)
def test_whatever_happens_limits_hold_nobody_is_stuck_and_nothing_stays(script, limit, requests_max):
    async def run():
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            requests = Requests(limit, requests_max, group)
            for step in script:
                requests.step(*step)
                await turns(step[1] % 3)
                await requests.check()
            await requests.end()

    asyncio.run(run())
