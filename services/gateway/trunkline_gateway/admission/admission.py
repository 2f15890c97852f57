"""Reserve, then settle: what a request asks of its limits and budgets, before and after."""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import count
from typing import NoReturn

import msgspec

from trunkline_gateway.admission.holds import LEASE_MS, NO_TICKET, OVERDUE_S, RENEW_S, Hold, Holds, Ticket
from trunkline_gateway.admission.lanes import Lane, Lanes
from trunkline_gateway.admission.levels import Measure, Rule
from trunkline_gateway.admission.memory import MemoryLimits
from trunkline_gateway.admission.meters import AdmissionMeters
from trunkline_gateway.admission.refusals import limit_headers, refusal, share_refusal
from trunkline_gateway.admission.wire import Admit, Claim, Outcome, Query, Renew, tag_of
from trunkline_gateway.sink import Headers
from trunkline_kit.clock import Clock
from trunkline_kit.errors import StoreUnavailable, TrunklineError
from trunkline_kit.tenants import WhenStoreIsDown

COUNT_MAX = 2**53
"""Of anything that is counted: the store's numbers are doubles, which are exact so far. In money 9 million dollars."""
REMEMBERED = 20_000
"""Limits and budgets of which this gateway knows what was left when the store last said."""
NEAR = 2
"""A limit is near when less than so many times a request's estimate is left of it."""
PEEKS_MAX = 64
"""Counters that are read in one call."""
_BY_SIZE = frozenset({Measure.TOKENS, Measure.BUDGET})
_RETRY_S = 1.0


class Demand(msgspec.Struct, frozen=True, kw_only=True):
    """What a request wants, and whose limits it meets."""

    rules: tuple[Rule, ...]
    when_down: WhenStoreIsDown
    total_s: float
    """The longest that the request may take."""
    wait_s: float = 0.0
    """The longest that it may wait after this for other limits, before it begins."""
    tokens: int
    cost_nusd: int | None
    """None where no price is known: then budgets do not apply."""


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request may not go on now. Nothing is reserved."""

    rule: Rule
    wait_ms: int
    """Until it may fit; -1 for never."""
    headers: Headers = []
    degraded: bool = False
    """Decided without the store, by this gateway's share."""


class Part(msgspec.Struct, frozen=True):
    """Those limits of a request that are on one server."""

    tag: str
    rules: tuple[Rule, ...]
    claims: tuple[Claim, ...]
    has_lease: bool


class Admission:
    """Of one gateway. `lanes` None: limits are those of this process alone."""

    def __init__(self, lanes: Lanes | None, meters: AdmissionMeters, clock: Clock) -> None:
        self._lanes = lanes
        self._meters = meters
        self._clock = clock
        self._memory = MemoryLimits()
        # Not the request's id: callers may choose that, and choose it twice.
        self._lease_name = secrets.token_hex(8)
        self._leases = count()
        self._left: OrderedDict[str, int] = OrderedDict()
        """Of limits on tokens and of budgets: what remained when the store last said."""
        self.holds = Holds()

    @property
    def shared(self) -> bool:
        """Whether all gateways together keep the limits."""
        return self._lanes is not None

    async def admit(self, demand: Demand) -> Ticket:
        """Reserve what the request wants, at every level or at none. A request without rules costs nothing.

        Raises RateLimited, ConcurrencyExceeded or BudgetExceeded; StoreUnavailable where limits fail closed.
        """
        found = await self.decide(demand)
        if isinstance(found, Refused):
            raise self.refused(found)
        return found

    async def decide(self, demand: Demand) -> Ticket | Refused:
        """The same, with a refusal as a value. Raises StoreUnavailable where limits fail closed."""
        parts = self._parts(demand)
        holds: list[Hold] = []
        rules: tuple[Rule, ...] = ()
        rows: tuple[tuple[int, int], ...] = ()
        complete = False
        try:
            for part in parts:
                outcome, hold = await self._decided(part, demand)
                rules, rows = rules + part.rules, rows + outcome.rows
                if outcome.refused:
                    rule = part.rules[outcome.refused - 1]
                    return Refused(
                        rule=rule,
                        wait_ms=outcome.wait_ms,
                        headers=_headers(rules, rows),
                        degraded=self._lanes is not None and hold.local is not None,
                    )
                holds.append(hold)
            complete = True
        finally:
            if not complete:
                for hold in holds:
                    self._undo(hold)
        return self._ticket(holds, _headers(rules, rows)) if parts else NO_TICKET

    def refused(self, found: Refused) -> TrunklineError:
        """The error for the caller. Counts it."""
        self._meters.decided(f"refused_{found.rule.measure.value}", found.rule.level.value)
        if found.degraded:
            return share_refusal(found.rule, found.wait_ms, found.headers)
        return refusal(found.rule, found.wait_ms, found.headers)

    def settle(self, ticket: Ticket, tokens: int, cost_nusd: int) -> None:
        """Put what was used in place of what was reserved. Never waits; twice is once."""
        actuals = {Measure.TOKENS: min(tokens, COUNT_MAX), Measure.BUDGET: min(cost_nusd, COUNT_MAX)}
        for hold in ticket.holds:
            if hold.lease_key:
                self._settle(hold, actuals)

    def charge(self, name: str, demand: Demand, at_ms: int) -> None:
        """Count what was used by a request whose reservation nobody will settle: its gateway is dead. Never waits.

        `at_ms`: when it began. Done twice with one name within two minutes, it counts once.
        """
        by_size = tuple(rule for rule in demand.rules if rule.measure in _BY_SIZE)
        actuals = {Measure.TOKENS: demand.tokens, Measure.BUDGET: demand.cost_nusd or 0}
        for part in self._parts(msgspec.structs.replace(demand, rules=by_size)):
            hold = Hold(
                lease_key=f"tl:{part.tag}:lease:lost-{name}",
                tag=part.tag,
                claims=part.claims,
                measures=tuple(rule.measure for rule in part.rules),
                admitted_ms=at_ms,
                due_s=0.0,
                local=self._memory if self._lanes is None else None,
            )
            self._settle(hold, actuals)

    def near(self, demand: Demand) -> bool:
        """Whether this request may come to the end of a limit on tokens or of a budget, by what is known of them."""
        costs = {Measure.TOKENS: demand.tokens, Measure.BUDGET: demand.cost_nusd or 0}
        return any(
            self._left.get(rule.key, rule.limit) < NEAR * costs[rule.measure]
            for rule in demand.rules
            if rule.measure in costs
        )

    def renew_due(self) -> int:
        """Let reservations of long requests run out later; returns of how many."""
        found = self.holds.due(self._clock.monotonic_s())
        for hold in found:
            op = Renew(hold.lease_key, LEASE_MS, hold.admitted_ms, hold.claims)
            if hold.local is not None:
                hold.local.work([op], self._now_ms())
            if self._lanes is not None:
                self._lanes.lane(hold.tag).renew(op)
        return len(found)

    async def renewing(self) -> NoReturn:
        """As long as the gateway serves."""
        while True:
            await asyncio.sleep(RENEW_S / 2)
            self.renew_due()

    async def spent(self, rules: Sequence[Rule]) -> list[tuple[int, int]]:
        """Of each limit or budget: what is used or reserved of it, and in how many ms it is not any more.

        Changes nothing. Raises StoreUnavailable.
        """
        now_ms = self._now_ms()
        queries = [Query(rule.kind, rule.key, rule.shape(now_ms)) for rule in rules]
        if self._lanes is None:
            return self._memory.peek(queries, now_ms)
        places: dict[str, list[int]] = {}
        for place, query in enumerate(queries):
            places.setdefault(tag_of(query.key) if self._lanes.spread else "", []).append(place)
        found = [(0, 0)] * len(queries)
        for tag, group in places.items():
            for start in range(0, len(group), PEEKS_MAX):
                chosen = group[start : start + PEEKS_MAX]
                uses = await self._lanes.lane(tag).peek([queries[place] for place in chosen])
                for place, use in zip(chosen, uses, strict=True):
                    found[place] = use
        return found

    async def check(self) -> str:
        """For readiness. Raises StoreUnavailable."""
        return "in this process only" if self._lanes is None else self._lanes.check()

    def _parts(self, demand: Demand) -> list[Part]:
        """One, but where servers differ: then what all orgs share is the last, since it is the least often full."""
        costs = {
            Measure.TOKENS: min(demand.tokens, COUNT_MAX),
            Measure.BUDGET: min(demand.cost_nusd or 0, COUNT_MAX),
        }
        # What costs nothing does not meet a budget, not even one that is used up.
        rules = [rule for rule in demand.rules if rule.measure is not Measure.BUDGET or demand.cost_nusd]
        if not rules:
            return []
        now_ms = self._now_ms()
        groups: dict[str, list[Rule]] = {}
        first = tag_of(rules[0].key)
        spread = self._lanes is not None and self._lanes.spread
        for rule in rules:
            groups.setdefault(tag_of(rule.key) if spread else first, []).append(rule)
        return [
            Part(
                tag,
                tuple(group),
                tuple(
                    Claim(r.kind, r.key, min(r.limit, COUNT_MAX), costs.get(r.measure, 1), r.shape(now_ms))
                    for r in group
                ),
                # With several, the first must be able to be undone whatever it counts.
                len(groups) > 1 or any(rule.measure is not Measure.REQUESTS for rule in group),
            )
            for tag, group in groups.items()
        ]

    async def _decided(self, part: Part, demand: Demand) -> tuple[Outcome, Hold]:
        lease_key = f"tl:{part.tag}:lease:{self._lease_name}-{next(self._leases)}" if part.has_lease else ""
        op = Admit(lease_key=lease_key, lease_ms=LEASE_MS, claims=part.claims)
        hold = Hold(
            lease_key=lease_key,
            tag=part.tag,
            claims=part.claims,
            measures=tuple(rule.measure for rule in part.rules),
            admitted_ms=self._now_ms(),
            due_s=self._clock.monotonic_s() + demand.wait_s + demand.total_s + OVERDUE_S,
            local=self._memory,
        )
        if self._lanes is None:
            outcome = self._memory.work([op], hold.admitted_ms)[0]
            self._remember(part.rules, outcome)
            return outcome, hold
        lane = self._lanes.lane(part.tag)
        return await self._asked(lane, op, part, demand, msgspec.structs.replace(hold, local=None))

    async def _asked(self, lane: Lane, op: Admit, part: Part, demand: Demand, hold: Hold) -> tuple[Outcome, Hold]:
        """What the store says; what limits do without it, where it says nothing."""
        asks = lane.up
        try:
            outcome = await lane.admit(op)
        except asyncio.CancelledError:
            # The caller left while the store was asked: give back what it may have reserved.
            self._undo(hold)
            raise
        if outcome is not None:
            self._remember(part.rules, outcome)
            return outcome, msgspec.structs.replace(hold, admitted_ms=outcome.now_ms)
        local = self._without_store(lane, op, part, demand)
        if asks and (local is None or local.refused):
            # The store did not answer in time, which does not mean that it did not reserve.
            self._undo(hold)
        if local is None:
            self._meters.decided("closed")
            text = "limits cannot be checked now, and this key's requests wait for them (when_store_is_down: closed)"
            raise StoreUnavailable(text, retry_after_s=_RETRY_S)
        return local, msgspec.structs.replace(hold, local=lane.local)

    def _ticket(self, holds: Sequence[Hold], headers: Headers) -> Ticket:
        degraded = self._lanes is not None and any(hold.local is not None for hold in holds)
        self._meters.decided("degraded" if degraded else "admitted")
        now_s = self._clock.monotonic_s()
        for hold in holds:
            if hold.lease_key:
                self.holds.add(hold, now_s)
        return Ticket(holds=tuple(holds), headers=headers, degraded=degraded)

    def _settle(self, hold: Hold, actuals: dict[Measure, int], *, undo: bool = False) -> None:
        self.holds.remove(hold)
        op = hold.settlement(actuals, undo=undo)
        if hold.local is not None:
            hold.local.work([op], self._now_ms())
        if self._lanes is not None:
            self._lanes.lane(hold.tag).settle(op)

    def _undo(self, hold: Hold) -> None:
        """As if it had never been reserved. What counts requests alone, without a lease, stays counted."""
        if hold.lease_key:
            self._settle(hold, {}, undo=True)

    def _remember(self, rules: Sequence[Rule], outcome: Outcome) -> None:
        for rule, (left, _) in zip(rules, outcome.rows, strict=True):
            if rule.measure is Measure.BUDGET or rule.measure is Measure.TOKENS:
                self._left[rule.key] = left
                self._left.move_to_end(rule.key)
        while len(self._left) > REMEMBERED:
            self._left.popitem(last=False)

    def _without_store(self, lane: Lane, op: Admit, part: Part, demand: Demand) -> Outcome | None:
        """None where limits fail closed."""
        now_ms = self._now_ms()
        if demand.when_down is WhenStoreIsDown.OPEN:
            return Outcome(0, 0, now_ms)
        if demand.when_down is WhenStoreIsDown.CLOSED:
            return None
        claims = tuple(self._shares(part, lane.gateways))
        return lane.local.work([msgspec.structs.replace(op, claims=claims)], now_ms)[0]

    def _shares(self, part: Part, gateways: int) -> Iterator[Claim]:
        """The part of this gateway. A single request that fits the whole limit fits the part too, alone."""
        for claim, rule in zip(part.claims, part.rules, strict=True):
            if rule.measure is Measure.BUDGET:
                whole = min(rule.limit, self._left.get(rule.key, rule.limit))
                yield msgspec.structs.replace(claim, limit=whole // gateways)
                continue
            limit = max(1, rule.limit // gateways)
            cost = min(claim.cost, limit) if claim.cost <= rule.limit else claim.cost
            yield msgspec.structs.replace(claim, limit=limit, cost=cost)

    def _now_ms(self) -> int:
        return round(self._clock.now_s() * 1000)


def _headers(rules: Sequence[Rule], rows: Sequence[tuple[int, int]]) -> Headers:
    """Without rows nobody has looked: nothing is said."""
    return limit_headers(rules, rows) if len(rows) == len(rules) else []
