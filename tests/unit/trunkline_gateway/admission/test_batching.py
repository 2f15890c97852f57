"""One call at a time, in order; nobody waits for a store that is down."""

import asyncio

import pytest

from trunkline_gateway.admission.batching import BATCH_MAX, Batcher, Patience, open_batcher
from trunkline_gateway.admission.store import Elsewhere, OperationsRefused, OutcomesUnknown
from trunkline_gateway.admission.wire import Admit, Outcome, Renew, Settle
from trunkline_kit.errors import StoreUnavailable


class ScriptedStore:
    """A store that remembers what it was asked and fails when told to."""

    def __init__(self):
        self.calls = []
        self.fails = None
        self.beats_fail = None
        self.beats = 0
        self.stuck = None

    async def work(self, ops):
        self.calls.append(list(ops))
        if self.stuck is not None:
            await self.stuck.wait()
        if self.fails is not None:
            raise self.fails
        return [Outcome(0, 0, len(self.calls)) for _ in ops]

    async def beat(self):
        self.beats += 1
        if self.beats_fail is not None:
            raise self.beats_fail
        if isinstance(self.fails, StoreUnavailable) and not isinstance(self.fails, OperationsRefused):
            raise self.fails
        return 3


@pytest.fixture
def store():
    return ScriptedStore()


def admit(number):
    return Admit(f"lease-{number}", 1_000, ())


def settle(number):
    return Settle(f"lease-{number}", 0, ())


async def ask(batcher, count, start=0):
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(batcher.admit(admit(start + number))) for number in range(count)]
    return [task.result() for task in tasks]


async def until(holds):
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event for tests
            await asyncio.sleep(0.005)


async def test_what_arrives_in_one_turn_goes_in_one_call(store, meters):
    async with open_batcher(store, meters) as batcher:
        assert batcher.gateways == 3
        assert [outcome.now_ms for outcome in await ask(batcher, 10)] == [1] * 10
        assert [outcome.now_ms for outcome in await ask(batcher, 1)] == [2]
    assert [len(call) for call in store.calls] == [10, 1]


async def test_calls_are_bounded_and_keep_their_order(store, meters):
    async with open_batcher(store, meters) as batcher:
        batcher.settle(settle(0))
        await ask(batcher, BATCH_MAX + 5, start=1)
    sent = [op for call in store.calls for op in call]
    assert [len(call) for call in store.calls] == [BATCH_MAX, 6]
    assert [op.lease_key for op in sent] == [f"lease-{number}" for number in range(BATCH_MAX + 6)]


async def test_a_store_that_is_too_slow_once_is_asked_again_at_once(store, meters):
    async with open_batcher(store, meters, Patience(timeout_s=0.01, grace_s=0.01)) as batcher:
        store.stuck = asyncio.Event()
        assert await ask(batcher, 3) == [None] * 3
        store.stuck = None
        await until(lambda: batcher.up)
        assert None not in await ask(batcher, 3)


async def test_a_store_that_is_down_makes_nobody_wait(store, meters):
    async with open_batcher(store, meters) as batcher:
        store.fails = StoreUnavailable("gone")
        assert await ask(batcher, 3) == [None] * 3
        assert (batcher.up, batcher.why_down) == (False, "gone")
        asked = len(store.calls)
        assert await ask(batcher, 3) == [None] * 3
        assert len(store.calls) == asked


async def test_settlements_wait_for_a_store_that_is_down(store, meters):
    async with open_batcher(store, meters) as batcher:
        store.fails = StoreUnavailable("gone")
        batcher.settle(settle(1))
        await until(lambda: not batcher.up)
        batcher.settle(settle(2))
        store.fails = None
        await until(lambda: batcher.up and not batcher._queue)
        assert store.calls[-1] == [settle(1), settle(2)]
    assert meters.lost._value.get() == 0


async def test_too_many_settlements_lose_the_oldest(store, meters):
    batcher = Batcher(store, meters, Patience(backlog_max=5))
    for number in range(8):
        batcher.settle(settle(number))
    assert [op.lease_key for op in batcher._queue] == [f"lease-{number}" for number in range(3, 8)]
    assert meters.lost._value.get() == 3


async def test_operations_that_the_store_refuses_are_not_sent_for_ever(store, meters):
    async with open_batcher(store, meters) as batcher:
        store.fails = OperationsRefused("wrong")
        batcher.settle(settle(1))
        assert await ask(batcher, 1) == [None]
        assert batcher.up
        store.fails = None
        assert (await ask(batcher, 1))[0] is not None
    assert meters.lost._value.get() == 1


class PickyStore(ScriptedStore):
    """Refuses every call that has a guilty operation in it."""

    def __init__(self, guilty, error=OperationsRefused):
        super().__init__()
        self.guilty, self.error = guilty, error
        self.done = []

    async def work(self, ops):
        self.calls.append(list(ops))
        if any(op.lease_key in self.guilty for op in ops):
            raise self.error("not that one")
        self.done += ops
        return [Outcome(0, 0, 1) for _ in ops]


async def test_one_operation_that_is_refused_keeps_no_other_out_and_none_is_done_twice(meters, caplog):
    store = PickyStore({"lease-3"})
    async with open_batcher(store, meters) as batcher:
        batcher.settle(settle(0))
        batcher.settle(settle(3))
        answers = await ask(batcher, 5, start=1)
        assert [number for number, answer in enumerate(answers, 1) if answer is None] == [3]
        assert batcher.up
    assert store.done == [settle(0), *(admit(number) for number in (1, 2, 4, 5))]
    assert meters.lost._value.get() == 1
    assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1


async def test_what_may_have_been_done_is_not_done_again(meters):
    store = PickyStore({"lease-3"}, OutcomesUnknown)
    async with open_batcher(store, meters) as batcher:
        assert await ask(batcher, 5) == [None] * 5
        assert batcher.up
    assert len(store.calls) == 1


async def test_a_store_that_falls_whenever_it_has_answered_is_given_pauses(store, meters, caplog):
    """Its beat works, nothing else does: no hot loop, no flood of lines."""
    async with open_batcher(store, meters) as batcher:
        store.work = PickyStore({"lease-7"}, StoreUnavailable).work
        batcher.settle(settle(7))
        started_s = asyncio.get_running_loop().time()
        await until(lambda: store.beats >= 6)
        assert asyncio.get_running_loop().time() - started_s >= 0.05 + 0.1 + 0.2
    assert len(caplog.records) <= 12


async def test_closing_sends_what_is_left(store, meters):
    async with open_batcher(store, meters) as batcher:
        batcher.settle(settle(1))
    assert [settle(1)] in store.calls


async def test_it_begins_and_ends_without_a_store(store, meters):
    store.fails = StoreUnavailable("gone")
    async with open_batcher(store, meters, gateways=4) as batcher:
        assert (batcher.up, batcher.gateways) == (False, 4)
        assert await batcher.admit(admit(1)) is None
        batcher.settle(settle(1))


async def test_a_batch_that_cannot_be_sent_does_not_stop_the_ones_after_it(store, meters, caplog):
    async with open_batcher(store, meters) as batcher:
        store.fails = OverflowError("too large an integer")
        batcher.settle(settle(1))
        assert await ask(batcher, 2) == [None] * 2
        assert batcher.up
        store.fails = None
        assert None not in await ask(batcher, 2)
    assert "given up" in caplog.text
    assert meters.lost._value.get() == 1


async def test_an_answer_to_a_beat_that_makes_no_sense_is_a_store_that_is_down(store, meters):
    store.beats_fail = ValueError("no number")
    async with open_batcher(store, meters) as batcher:
        assert (batcher.up, batcher.why_down) == (False, "ValueError while it was asked")
        store.beats_fail = None
        await until(lambda: batcher.up)


def renew(number):
    return Renew(f"lease-{number}", 30_000, 0, ())


async def test_renewals_go_with_the_rest_and_are_forgotten_while_the_store_is_down(store, meters):
    async with open_batcher(store, meters) as batcher:
        batcher.renew(renew(1))
        await ask(batcher, 1)
        assert store.calls[0] == [renew(1), admit(0)]
        store.fails = StoreUnavailable("gone")
        batcher.renew(renew(2))
        await until(lambda: not batcher.up)
        batcher.renew(renew(3))
        assert batcher.unsent() == []
        store.fails = None
        await until(lambda: batcher.up)


async def test_what_is_counted_here_is_forgotten_when_the_store_goes_down_the_next_time(store, meters):
    async with open_batcher(store, meters) as batcher:
        fallen = []
        batcher.on_fall = lambda: fallen.append(1)
        for falls in (1, 2):
            store.fails = StoreUnavailable("gone")
            assert await ask(batcher, 1) == [None]
            assert not batcher.local._leases
            batcher.local.work([admit(7)], 0)
            assert len(fallen) >= falls
            store.fails = None
            await until(lambda: batcher.up)
            assert batcher.local._leases


async def test_reading_has_its_own_patience_and_takes_nobody_down(store, meters):
    async with open_batcher(store, meters, Patience(timeout_s=0.01, grace_s=0.0)) as batcher:

        async def peek(queries):
            await asyncio.sleep(0.03)
            return [(1, 2)]

        store.peek = peek
        assert await batcher.peek([None]) == [(1, 2)]
        store.fails = StoreUnavailable("gone")
        await ask(batcher, 1)
        with pytest.raises(StoreUnavailable, match="gone"):
            await batcher.peek([None])


async def test_what_is_elsewhere_goes_there_or_is_not_answered(store, meters):
    async def work(ops):
        return [Elsewhere("h:1") if op.lease_key != "lease-0" else Outcome(0, 0, 1) for op in ops]

    store.work = work
    async with open_batcher(store, meters) as batcher:
        assert [outcome and outcome.now_ms for outcome in await ask(batcher, 2)] == [1, None]
        strays = []
        batcher.on_stray = lambda item, address: strays.append((item, address))
        batcher.settle(settle(1))
        batcher.settle(settle(0))
        await until(lambda: strays)
    assert strays == [(settle(1), "h:1")]


async def test_a_node_that_is_retired_gives_back_what_it_has_not_done(store, meters):
    batcher = Batcher(store, meters, Patience())
    strays = []
    batcher.on_stray = lambda item, address: strays.append(item)
    async with asyncio.TaskGroup() as group:
        group.create_task(batcher.serve())
        await until(lambda: batcher.up)
        store.stuck = asyncio.Event()
        batcher.settle(settle(1))
        await until(lambda: store.calls)
        batcher.take_over(settle(2))
        assert batcher.retire() == [settle(2)]
    assert strays == [settle(1)]
