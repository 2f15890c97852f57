"""Reserve, then settle: what a request asks of its limits and budgets, before and after."""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from itertools import count

import msgspec

from trunkline_gateway.admission.batching import Batcher
from trunkline_gateway.admission.levels import Measure, Rule
from trunkline_gateway.admission.memory import MemoryLimits
from trunkline_gateway.admission.meters import AdmissionMeters
from trunkline_gateway.admission.refusals import limit_headers, refusal
from trunkline_gateway.admission.wire import Admit, Amend, Claim, Outcome, Settle
from trunkline_gateway.sink import Headers
from trunkline_kit.clock import Clock
from trunkline_kit.errors import StoreUnavailable
from trunkline_kit.settings import WhenStoreIsDown

LEASE_MARGIN_S = 30.0
"""A reservation outlives the longest request by this much."""
COUNT_MAX = 2**53
"""Of anything that is counted: the store's numbers are doubles, which are exact so far. In money 9 million dollars."""
REMEMBERED_BUDGETS = 20_000
_RETRY_S = 1.0


class Demand(msgspec.Struct, frozen=True, kw_only=True):
    """What a request wants, and whose limits it meets."""

    rules: tuple[Rule, ...]
    when_down: WhenStoreIsDown
    total_s: float
    """The longest that the request may take."""
    tokens: int
    cost_nusd: int | None
    """None where no price is known: then budgets do not apply."""


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """An admitted request's reservation."""

    claims: tuple[Claim, ...] = ()
    measures: tuple[Measure, ...] = ()
    lease_key: str = ""
    """Empty where there is nothing to settle."""
    admitted_ms: int = 0
    headers: Headers = []
    degraded: bool = False
    """Decided without the store."""


NO_TICKET = Ticket()
"""Of a request that meets no limit."""


class Admission:
    """Of one gateway. `batcher` None: limits are those of this process alone."""

    def __init__(self, batcher: Batcher | None, meters: AdmissionMeters, clock: Clock) -> None:
        self._batcher = batcher
        self._meters = meters
        self._clock = clock
        self._memory = MemoryLimits()
        self._falls = 0
        # Not the request's id: callers may choose that, and choose it twice.
        self._lease_name = secrets.token_hex(8)
        self._leases = count()
        self._left: OrderedDict[str, int] = OrderedDict()
        """Of budgets: what remained when the store last said, nano-dollars."""

    @property
    def shared(self) -> bool:
        """Whether all gateways together keep the limits."""
        return self._batcher is not None

    async def admit(self, demand: Demand) -> Ticket:
        """Reserve what the request wants, at every level or at none. A request without rules costs nothing.

        Raises RateLimited, ConcurrencyExceeded or BudgetExceeded; StoreUnavailable where limits fail closed.
        """
        rules, claims = self._claims(demand)
        if not rules:
            return NO_TICKET
        measures = tuple(rule.measure for rule in rules)
        settles = any(measure is not Measure.REQUESTS for measure in measures)
        lease_key = (
            f"{claims[0].key.partition(':')[0]}:{_tag(claims[0].key)}:lease:{self._lease_name}-{next(self._leases)}"
        )
        op = Admit(
            lease_key=lease_key if settles else "",
            lease_ms=round((demand.total_s + LEASE_MARGIN_S) * 1000),
            claims=claims,
        )
        outcome, degraded = await self._decided(op, demand, rules)
        if outcome.refused:
            rule = rules[outcome.refused - 1]
            self._meters.decided(f"refused_{rule.measure.value}", rule.level.value)
            raise refusal(rule, outcome.wait_ms, limit_headers(rules, outcome.rows))
        self._meters.decided("degraded" if degraded else "admitted")
        return Ticket(
            claims=claims,
            measures=measures,
            lease_key=op.lease_key,
            admitted_ms=outcome.now_ms,
            headers=limit_headers(rules, outcome.rows) if outcome.rows else [],
            degraded=degraded,
        )

    def settle(self, ticket: Ticket, tokens: int, cost_nusd: int) -> None:
        """Put what was used in place of what was reserved. Never waits; twice is once."""
        if not ticket.lease_key:
            return
        actuals = {Measure.TOKENS: min(tokens, COUNT_MAX), Measure.BUDGET: min(cost_nusd, COUNT_MAX)}
        amends = tuple(
            Amend(claim.kind, claim.key, claim.cost, actuals.get(measure, 0), claim.shape)
            for claim, measure in zip(ticket.claims, ticket.measures, strict=True)
            if measure is not Measure.REQUESTS
        )
        op = Settle(lease_key=ticket.lease_key, admitted_ms=ticket.admitted_ms, amends=amends)
        if self._batcher is None or ticket.degraded:
            self._memory.work([op], self._now_ms())
        if self._batcher is not None:
            self._batcher.settle(op)

    async def check(self) -> str:
        """For readiness. Raises StoreUnavailable."""
        batcher = self._batcher
        if batcher is None:
            return "in this process only"
        if not batcher.up:
            raise StoreUnavailable(f"{batcher.why_down}; each key's when_store_is_down decides")
        return f"shared by {batcher.gateways} gateway{'s' if batcher.gateways > 1 else ''}"

    def _claims(self, demand: Demand) -> tuple[tuple[Rule, ...], tuple[Claim, ...]]:
        costs = {
            Measure.TOKENS: min(demand.tokens, COUNT_MAX),
            Measure.BUDGET: min(demand.cost_nusd or 0, COUNT_MAX),
        }
        # What costs nothing does not meet a budget, not even one that is used up.
        rules = tuple(r for r in demand.rules if r.measure is not Measure.BUDGET or demand.cost_nusd)
        now_ms = self._now_ms() if rules else 0
        return rules, tuple(
            Claim(rule.kind, rule.key, min(rule.limit, COUNT_MAX), costs.get(rule.measure, 1), rule.shape(now_ms))
            for rule in rules
        )

    async def _decided(self, op: Admit, demand: Demand, rules: Sequence[Rule]) -> tuple[Outcome, bool]:
        """The decision, and whether the store had no part in it."""
        if self._batcher is None:
            return self._memory.work([op], self._now_ms())[0], False
        asks = self._batcher.up
        try:
            outcome = await self._batcher.admit(op)
        except asyncio.CancelledError:
            # The caller left while the store was asked: give back what it may have reserved.
            self._give_back(op, rules)
            raise
        if outcome is not None:
            self._remember(rules, outcome)
            return outcome, False
        local = self._without_store(op, demand, rules)
        if asks and (local is None or local.refused):
            # The store did not answer in time, which does not mean that it did not reserve.
            self._give_back(op, rules)
        if local is None:
            self._meters.decided("closed")
            text = "limits cannot be checked now, and this key's requests wait for them (when_store_is_down: closed)"
            raise StoreUnavailable(text, retry_after_s=_RETRY_S)
        return local, True

    def _give_back(self, op: Admit, rules: Sequence[Rule]) -> None:
        measures = tuple(rule.measure for rule in rules)
        orphan = Ticket(claims=op.claims, measures=measures, lease_key=op.lease_key, admitted_ms=self._now_ms())
        self.settle(orphan, 0, 0)

    def _remember(self, rules: Sequence[Rule], outcome: Outcome) -> None:
        for rule, (left, _) in zip(rules, outcome.rows, strict=True):
            if rule.measure is Measure.BUDGET:
                self._left[rule.key] = left
                self._left.move_to_end(rule.key)
        while len(self._left) > REMEMBERED_BUDGETS:
            self._left.popitem(last=False)

    def _without_store(self, op: Admit, demand: Demand, rules: Sequence[Rule]) -> Outcome | None:
        """None where limits fail closed."""
        now_ms = self._now_ms()
        if demand.when_down is WhenStoreIsDown.OPEN:
            return Outcome(0, 0, now_ms)
        if demand.when_down is WhenStoreIsDown.CLOSED:
            return None
        batcher = self._batcher
        if batcher is not None and batcher.falls != self._falls:
            # What was counted while the store was last down has been settled there since.
            self._memory.clear()
            self._falls = batcher.falls
        gateways = 1 if batcher is None else batcher.gateways
        claims = tuple(self._share(claim, rule, gateways) for claim, rule in zip(op.claims, rules, strict=True))
        return self._memory.work([msgspec.structs.replace(op, claims=claims)], now_ms)[0]

    def _share(self, claim: Claim, rule: Rule, gateways: int) -> Claim:
        """The part of this gateway. A single request that fits the whole limit fits the part too, alone."""
        if rule.measure is Measure.BUDGET:
            whole = min(rule.limit, self._left.get(rule.key, rule.limit))
            return msgspec.structs.replace(claim, limit=whole // gateways)
        limit = max(1, rule.limit // gateways)
        cost = min(claim.cost, limit) if claim.cost <= rule.limit else claim.cost
        return msgspec.structs.replace(claim, limit=limit, cost=cost)

    def _now_ms(self) -> int:
        return round(self._clock.now_s() * 1000)


def _tag(key: str) -> str:
    """The hash tag of a key, with its braces."""
    return key[key.index("{") : key.index("}") + 1]
