"""Reserve and settle over limits in memory: amounts, shares, what is given back."""

import asyncio

import msgspec
import pytest

from trunkline_gateway.admission.admission import COUNT_MAX, Admission, Demand
from trunkline_gateway.admission.holds import NO_TICKET
from trunkline_gateway.admission.lanes import OneLane
from trunkline_gateway.admission.levels import ALL_ORGS, Bounds, Level, Shelf
from trunkline_gateway.admission.memory import MemoryLimits
from trunkline_gateway.admission.wire import Outcome, packed
from trunkline_kit.clock import ManualClock
from trunkline_kit.errors import BudgetExceeded, ConcurrencyExceeded, RateLimited, StoreUnavailable
from trunkline_kit.tenants import Budget, Limit, Period, WhenStoreIsDown

LOCAL = WhenStoreIsDown.LOCAL_SHARE


class DownBatcher:
    """A store that was seen by `gateways` gateways and is down now."""

    def __init__(self, gateways=1):
        self.up = False
        self.local = MemoryLimits()
        self.gateways = gateways
        self.why_down = "gone"
        self.admitted = []
        self.settled = []
        self.renewed = []
        self.reply = None

    async def admit(self, op):
        self.admitted.append(op)
        return self.reply

    def settle(self, op):
        self.settled.append(op)

    def renew(self, op):
        self.renewed.append(op)


def with_batcher(batcher, meters, clock):
    return Admission(OneLane(batcher), meters, clock)


def demand(limits=(), budgets=(), *, tokens=10, cost_nusd=10, when_down=LOCAL):
    rules = Shelf({"k": Bounds(limits, budgets)}, Level.KEY).rules("acme", "k")
    return Demand(rules=rules, when_down=when_down, total_s=60, tokens=tokens, cost_nusd=cost_nusd)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def alone(meters, clock):
    return Admission(None, meters, clock)


async def test_no_rules_no_ticket(alone):
    assert await alone.admit(demand()) is NO_TICKET
    alone.settle(NO_TICKET, 1, 1)
    assert await alone.check() == "in this process only"
    assert not alone.shared


async def test_requests_alone_need_no_settling(alone):
    ticket = await alone.admit(demand([Limit(requests=1, per_s=60)]))
    assert [hold.lease_key for hold in ticket.holds] == [""]
    assert not len(alone.holds)
    with pytest.raises(RateLimited) as refused:
        await alone.admit(demand([Limit(requests=1, per_s=60)]))
    assert ("x-ratelimit-remaining-requests", "0") in refused.value.headers


async def test_what_was_thought_too_much_is_given_back(alone):
    limit = [Limit(tokens=100, per_s=60)]
    ticket = await alone.admit(demand(limit, tokens=90))
    with pytest.raises(RateLimited):
        await alone.admit(demand(limit, tokens=90))
    alone.settle(ticket, 10, 0)
    alone.settle(ticket, 10, 0)
    assert (await alone.admit(demand(limit, tokens=90))).headers[1] == ("x-ratelimit-remaining-tokens", "0")


async def test_a_place_is_free_again_after_settling_or_when_its_lease_has_run_out(alone, clock):
    limit = [Limit(concurrent=1)]
    ticket = await alone.admit(demand(limit))
    with pytest.raises(ConcurrencyExceeded):
        await alone.admit(demand(limit))
    alone.settle(ticket, 0, 0)
    await alone.admit(demand(limit))
    clock.advance(30 + 5.001)
    await alone.admit(demand(limit))


def total(usd):
    return [Budget(amount_usd=usd, period=Period.TOTAL)]


async def test_budgets_count_what_was_spent(alone):
    budget = total(100e-9)
    alone.settle(await alone.admit(demand(budgets=budget, cost_nusd=60)), 0, 70)
    with pytest.raises(BudgetExceeded):
        await alone.admit(demand(budgets=budget, cost_nusd=31))
    await alone.admit(demand(budgets=budget, cost_nusd=30))


@pytest.mark.parametrize("cost", [None, 0])
async def test_what_has_no_price_or_costs_nothing_does_not_meet_budgets(alone, cost):
    assert await alone.admit(demand(budgets=total(0), cost_nusd=cost)) is NO_TICKET
    with pytest.raises(BudgetExceeded):
        await alone.admit(demand(budgets=total(0), cost_nusd=1))


async def test_open_and_closed(meters, clock):
    batcher = DownBatcher()
    admission = with_batcher(batcher, meters, clock)
    limit = [Limit(tokens=5, per_s=1)]
    ticket = await admission.admit(demand(limit, when_down=WhenStoreIsDown.OPEN))
    assert (ticket.degraded, ticket.headers) == (True, [])
    with pytest.raises(StoreUnavailable, match="closed"):
        await admission.admit(demand(limit, when_down=WhenStoreIsDown.CLOSED))
    with pytest.raises(StoreUnavailable, match="gone; each key's when_store_is_down decides"):
        await admission.check()
    admission.settle(ticket, 7, 0)
    assert batcher.settled[0].amends[0].actual == 7


async def test_a_share_is_the_limit_over_the_gateways_and_never_less_than_one(meters, clock):
    admission = with_batcher(DownBatcher(gateways=4), meters, clock)
    for limit, share in ((8, 2), (2, 1)):
        wanted = demand([Limit(requests=limit, per_s=limit)])
        for _ in range(share):
            assert (await admission.admit(wanted)).degraded
        with pytest.raises(RateLimited):
            await admission.admit(wanted)


async def test_a_request_that_fits_the_whole_limit_fits_the_share_alone(meters, clock):
    admission = with_batcher(DownBatcher(gateways=4), meters, clock)
    limit = [Limit(tokens=100, per_s=60)]
    await admission.admit(demand(limit, tokens=90))
    with pytest.raises(RateLimited):
        await admission.admit(demand(limit, tokens=1))
    with pytest.raises(RateLimited, match="larger than the limit"):
        await admission.admit(demand(limit, tokens=101))


async def test_a_budgets_share_is_of_what_remained(meters, clock):
    batcher = DownBatcher(gateways=2)
    admission = with_batcher(batcher, meters, clock)
    batcher.reply = Outcome(0, 0, 0, ((40, 0),))
    await admission.admit(demand(budgets=total(100e-9), cost_nusd=10))
    batcher.reply = None
    await admission.admit(demand(budgets=total(100e-9), cost_nusd=20))
    with pytest.raises(BudgetExceeded):
        await admission.admit(demand(budgets=total(100e-9), cost_nusd=1))


async def test_each_outage_begins_with_fresh_shares(meters, clock):
    batcher = DownBatcher()
    admission = with_batcher(batcher, meters, clock)
    wanted = demand([Limit(requests=1, per_s=60)])
    await admission.admit(wanted)
    with pytest.raises(RateLimited):
        await admission.admit(wanted)
    batcher.local.clear()
    await admission.admit(wanted)


async def test_a_caller_that_leaves_while_the_store_is_asked_leaves_nothing_reserved(meters, clock):
    batcher = DownBatcher()
    asked = asyncio.Event()

    async def slow(op):
        asked.set()
        await asyncio.Event().wait()

    batcher.admit = slow
    admission = with_batcher(batcher, meters, clock)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(admission.admit(demand([Limit(concurrent=1), Limit(tokens=50, per_s=1)])))
        await asked.wait()
        waiting.cancel()
    assert [(amend.estimate, amend.actual) for amend in batcher.settled[0].amends] == [(1, 0), (10, 0)]


async def test_numbers_of_any_size_can_be_sent_and_are_exact_in_the_store(meters, clock):
    batcher = DownBatcher()
    admission = with_batcher(batcher, meters, clock)
    limits = [Limit(tokens=2**70, per_s=60)]
    wanted = demand(limits, total(9_000_000), tokens=10**26, cost_nusd=10**26, when_down=WhenStoreIsDown.OPEN)
    ticket = await admission.admit(wanted)
    admission.settle(ticket, 10**26, 10**26)
    packed([*batcher.admitted, *batcher.settled])
    numbers = [number for claim in batcher.admitted[0].claims for number in (claim.limit, claim.cost)]
    numbers += [number for amend in batcher.settled[0].amends for number in (amend.estimate, amend.actual)]
    assert max(numbers) == COUNT_MAX
    assert all(int(float(number)) == number for number in numbers)


@pytest.mark.parametrize(
    ("when_down", "limit", "error"),
    [(WhenStoreIsDown.CLOSED, 50, StoreUnavailable), (LOCAL, 5, RateLimited)],
)
async def test_a_refusal_after_a_store_that_was_too_slow_leaves_nothing_reserved(
    meters, clock, when_down, limit, error
):
    batcher = DownBatcher()
    batcher.up = True
    admission = with_batcher(batcher, meters, clock)
    with pytest.raises(error):
        await admission.admit(demand([Limit(tokens=limit, per_s=60)], when_down=when_down))
    (given_back,) = batcher.settled
    assert given_back.lease_key == batcher.admitted[0].lease_key
    assert [(amend.estimate, amend.actual) for amend in given_back.amends] == [(10, 0)]


async def test_a_store_that_was_not_asked_has_nothing_to_give_back(meters, clock):
    batcher = DownBatcher()
    with pytest.raises(StoreUnavailable):
        await with_batcher(batcher, meters, clock).admit(
            demand([Limit(tokens=50, per_s=60)], when_down=WhenStoreIsDown.CLOSED)
        )
    assert batcher.settled == []


async def test_what_a_share_admits_stays_reserved_until_it_is_settled(meters, clock):
    batcher = DownBatcher()
    batcher.up = True
    assert (await with_batcher(batcher, meters, clock).admit(demand([Limit(tokens=50, per_s=60)]))).degraded
    assert batcher.settled == []


class TwoServers:
    """Lanes of a cluster in which all orgs together are elsewhere."""

    spread = True

    def __init__(self, own, everybody):
        self.own, self.everybody = own, everybody

    def lane(self, tag):
        return self.everybody if tag == "{*}" else self.own

    def check(self):
        return "two"


def spread_demand(when_down=LOCAL):
    own = Shelf({"k": Bounds([Limit(requests=9, per_s=60)])}, Level.KEY).rules("acme", "k")
    model = Shelf({"m": Bounds([Limit(tokens=50, per_s=60)])}, Level.MODEL).rules(ALL_ORGS, "m")
    return Demand(rules=(*own, *model), when_down=when_down, total_s=60, tokens=10, cost_nusd=None)


@pytest.fixture
def two():
    made = TwoServers(DownBatcher(), DownBatcher())
    for batcher in (made.own, made.everybody):
        batcher.up, batcher.reply = True, Outcome(0, 0, 5, ((1, 0),))
    return made


async def test_a_limit_over_all_orgs_is_asked_for_where_it_is(two, meters, clock):
    admission = Admission(two, meters, clock)
    ticket = await admission.admit(spread_demand())
    assert [[claim.key[:6] for claim in op.claims] for op in (*two.own.admitted, *two.everybody.admitted)] == [
        ["tl:{ac"],
        ["tl:{*}"],
    ]
    assert [name for name, _ in ticket.headers][:1] == ["x-ratelimit-limit-requests"]
    admission.settle(ticket, 7, 0)
    assert [len(op.amends) for op in (*two.own.settled, *two.everybody.settled)] == [0, 1]


@pytest.mark.parametrize("when_down", [LOCAL, WhenStoreIsDown.CLOSED])
async def test_what_was_reserved_first_is_undone_when_the_rest_is_refused(two, meters, clock, when_down):
    two.everybody.reply = Outcome(1, 100, 5, ((0, 0),)) if when_down is LOCAL else None
    with pytest.raises((RateLimited, StoreUnavailable)):
        await Admission(two, meters, clock).admit(spread_demand(when_down))
    (undone,) = two.own.settled
    assert undone.lease_key == two.own.admitted[0].lease_key
    assert [(amend.estimate, amend.actual) for amend in undone.amends] == [(1, 0)]


async def test_long_requests_are_renewed_where_they_were_counted(meters, clock):
    batcher = DownBatcher()
    batcher.up, batcher.reply = True, Outcome(0, 0, 5, ((1, 0),))
    admission = with_batcher(batcher, meters, clock)
    ticket = await admission.admit(demand([Limit(concurrent=1)]))
    short = await admission.admit(demand([Limit(concurrent=1)]))
    admission.settle(short, 0, 0)
    clock.advance(9)
    assert admission.renew_due() == 0
    clock.advance(1)
    assert admission.renew_due() == 1
    (op,) = batcher.renewed
    assert (op.lease_key, op.admitted_ms, op.lease_ms) == (ticket.holds[0].lease_key, 5, 30_000)
    admission.settle(ticket, 0, 0)
    clock.advance(60)
    assert admission.renew_due() == 0


async def test_a_long_request_keeps_its_place_without_a_store_too(alone, clock):
    limit = [Limit(concurrent=1)]
    await alone.admit(demand(limit))
    for _ in range(8):
        clock.advance(10)
        alone.renew_due()
        with pytest.raises(ConcurrencyExceeded):
            await alone.admit(demand(limit))
    # Longer than it may take at all: it is not believed any more.
    clock.advance(46)
    assert alone.renew_due() == 0
    await alone.admit(demand(limit))


async def test_a_request_that_waits_for_a_further_limit_keeps_its_place_meanwhile(alone, clock):
    limit = [Limit(concurrent=1)]
    await alone.admit(msgspec.structs.replace(demand(limit), wait_s=120.0))
    for _ in range(20):
        clock.advance(10)
        assert alone.renew_due() == 1
    clock.advance(10)
    assert alone.renew_due() == 0


async def test_a_limit_is_near_by_what_is_known_of_it(alone):
    wanted = demand([Limit(tokens=100, per_s=60)], tokens=30)
    assert not alone.near(wanted)
    await alone.admit(wanted)
    assert not alone.near(wanted)
    await alone.admit(wanted)
    assert alone.near(wanted)
    assert alone.near(demand([Limit(tokens=59, per_s=60)], tokens=30)), "at once where the whole limit is small"
    assert not alone.near(demand([Limit(requests=1, per_s=60)]))


async def test_what_is_spent_can_be_read(alone, meters, clock):
    wanted = demand([Limit(tokens=100, per_s=60), Limit(concurrent=5)], total(1), tokens=30, cost_nusd=50)
    await alone.admit(wanted)
    assert [used for used, _ in await alone.spent(wanted.rules)] == [30, 1, 50]
    batcher = DownBatcher()

    async def peek(queries):
        batcher.asked = [len(queries), *getattr(batcher, "asked", [])]
        return [(number, 0) for number, _ in enumerate(queries)]

    batcher.peek = peek
    rules = wanted.rules * 50
    found = await with_batcher(batcher, meters, clock).spent(rules)
    assert (len(found), sum(batcher.asked), max(batcher.asked)) == (150, 150, 64)
    spread = spread_demand().rules
    both = TwoServers(batcher, batcher)
    assert await Admission(both, meters, clock).spent(spread) == [(0, 0), (0, 0)]


async def test_renewing_goes_on_until_it_is_cancelled(alone):
    async with asyncio.TaskGroup() as group:
        task = group.create_task(alone.renewing())
        await asyncio.sleep(0)
        assert task.cancel()
