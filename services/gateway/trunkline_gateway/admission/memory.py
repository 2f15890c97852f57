"""Limits of one process, in its memory: where there is no store, and each gateway's share while the store is down.

Decides exactly as `trunkline.lua` does; a test runs both side by side.
"""

from collections import OrderedDict
from collections.abc import Sequence

import msgspec

from trunkline_gateway.admission.counters import Counter, Counters
from trunkline_gateway.admission.wire import Admit, Amend, Claim, Kind, Op, Outcome, Query, Renew, Settle
from trunkline_policy import budgets, windows

SETTLED_MS = 120_000
NEVER = -1
RETRY_CONCURRENT_MS = 1_000


class Lease(msgspec.Struct, frozen=True):
    at_ms: int
    lease_ms: int
    until_ms: int
    settled: bool = False
    anew: bool = False
    """It was not there when it was renewed, so nobody knows whether windows have counted the request."""


class Look(msgspec.Struct, frozen=True):
    """What a counter says to a claim."""

    remaining: int
    reset_ms: int
    wait_ms: int


class MemoryLimits:
    """`counters_max` counters, as many of end users, as many leases. See `counters` for what is forgotten first."""

    def __init__(self, counters_max: int = 50_000) -> None:
        self._max = counters_max
        self._counters = Counters(counters_max)
        self._leases: OrderedDict[str, Lease] = OrderedDict()
        self._settled: OrderedDict[str, Lease] = OrderedDict()

    def work(self, ops: Sequence[Op], now_ms: int) -> list[Outcome]:
        """Each operation after the other, as of `now_ms`."""
        return [self._done(op, now_ms) for op in ops]

    def peek(self, queries: Sequence[Query], now_ms: int) -> list[tuple[int, int]]:
        """Of each: what is used, and in how many ms it is not any more."""
        found = []
        for one in queries:
            counter = self._counters.get(one.kind, one.key)
            seen = look(counter, Claim(one.kind, one.key, 0, 0, one.shape), now_ms)
            found.append((-seen.remaining, seen.reset_ms))
        return found

    def clear(self) -> None:
        """Forget everything."""
        self._counters.clear()
        self._leases.clear()
        self._settled.clear()

    def _done(self, op: Op, now_ms: int) -> Outcome:
        if isinstance(op, Admit):
            return self._admit(op, now_ms)
        return self._settle(op, now_ms) if isinstance(op, Settle) else self._renew(op, now_ms)

    def _admit(self, op: Admit, now_ms: int) -> Outcome:
        lease = self._lease(op.lease_key, now_ms)
        if lease is not None:
            return self._known(op, lease, now_ms)
        looks = self._looks(op.claims, now_ms)
        refused = _worst(looks)
        if refused:
            rows = tuple((max(0, seen.remaining), seen.reset_ms) for seen in looks)
            return Outcome(refused, looks[refused - 1].wait_ms, now_ms, rows)
        resets = [take(self._counters.made(c.kind, c.key, now_ms), c, now_ms, op.lease_ms) for c in op.claims]
        if op.lease_key:
            self._remember(op.lease_key, Lease(now_ms, op.lease_ms, now_ms + op.lease_ms))
        rows = tuple(
            (max(0, max(0, seen.remaining) - claim.cost), reset)
            for seen, claim, reset in zip(looks, op.claims, resets, strict=True)
        )
        return Outcome(0, 0, now_ms, rows)

    def _known(self, op: Admit, lease: Lease, now_ms: int) -> Outcome:
        """Of an admission that was done before."""
        looks = self._looks([msgspec.structs.replace(claim, cost=0) for claim in op.claims], now_ms)
        rows = tuple((max(0, seen.remaining), seen.reset_ms) for seen in looks)
        return Outcome(0, 0, now_ms if lease.settled else lease.at_ms, rows)

    def _settle(self, op: Settle, now_ms: int) -> Outcome:
        lease = self._lease(op.lease_key, now_ms)
        if lease is not None and lease.settled:
            return Outcome(0, 0, now_ms)
        for item in op.amends:
            amend(self._counters.made(item.kind, item.key, now_ms), item, now_ms, op.admitted_ms, lease)
        self._remember(op.lease_key, Lease(0, 0, now_ms + SETTLED_MS, settled=True))
        return Outcome(0, 0, now_ms)

    def _renew(self, op: Renew, now_ms: int) -> Outcome:
        lease = self._lease(op.lease_key, now_ms)
        if lease is not None and lease.settled:
            return Outcome(0, 0, now_ms)
        at_ms = lease.at_ms if lease else op.admitted_ms
        lease_ms = max(now_ms + op.lease_ms - at_ms, lease.lease_ms if lease else 0)
        longer = Lease(at_ms, lease_ms, at_ms + lease_ms, anew=lease is None or lease.anew)
        for claim in op.claims:
            move(self._counters.made(claim.kind, claim.key, now_ms), claim, now_ms, lease, longer)
        self._remember(op.lease_key, longer)
        return Outcome(0, 0, now_ms)

    def _looks(self, claims: Sequence[Claim], now_ms: int) -> list[Look]:
        return [look(self._counters.get(claim.kind, claim.key), claim, now_ms) for claim in claims]

    def _lease(self, lease_key: str, now_ms: int) -> Lease | None:
        lease = self._leases.get(lease_key) or self._settled.get(lease_key)
        return lease if lease is not None and lease.until_ms > now_ms else None

    def _remember(self, lease_key: str, lease: Lease) -> None:
        self._leases.pop(lease_key, None)
        self._settled.pop(lease_key, None)
        leases = self._settled if lease.settled else self._leases
        leases[lease_key] = lease
        self._trim()

    def _trim(self) -> None:
        """That something is settled is forgotten by itself: what is under way does not make room for it."""
        for leases in (self._leases, self._settled):
            while len(leases) > self._max:
                leases.popitem(last=False)


def _worst(looks: Sequence[Look]) -> int:
    """The number of the look with the longest wait, from 1; 0 where all fit."""
    refused, longest = 0, 0
    for number, seen in enumerate(looks, 1):
        if seen.wait_ms and longest != NEVER and (seen.wait_ms == NEVER or seen.wait_ms > longest):
            refused, longest = number, seen.wait_ms
    return refused


def look(counter: Counter, claim: Claim, now_ms: int) -> Look:
    """What remains for a claim, before it."""
    if claim.kind is Kind.WINDOW:
        width = width_of(claim)
        used = windows.used(counter.cells, now_ms, width)
        wait_ms = windows.wait_ms(counter.cells, now_ms, width, claim.limit, claim.cost)
        reset_ms = windows.reset_ms(counter.cells, now_ms, width)
        return Look(claim.limit - used, reset_ms, NEVER if wait_ms is None else wait_ms)
    if claim.kind is Kind.CONCURRENT:
        used = sum(windows.leased(counter.cells, now_ms).values())
        return Look(claim.limit - used, 0, RETRY_CONCURRENT_MS if used + claim.cost > claim.limit else 0)
    return _look_at_money(counter, claim, now_ms)


def _look_at_money(counter: Counter, claim: Claim, now_ms: int) -> Look:
    start, end = budgets.current(bounds_of(claim), now_ms)
    used = 0
    if counter.period is not None and counter.period >= start:
        used = counter.spent + sum(windows.leased(counter.cells, now_ms).values())
    left_ms = 0 if end is None else end - now_ms
    wait_ms = 0
    if used + claim.cost > claim.limit:
        wait_ms = left_ms if end is not None and claim.cost <= claim.limit else NEVER
    return Look(claim.limit - used, left_ms, wait_ms)


def take(counter: Counter, claim: Claim, now_ms: int, lease_ms: int) -> int:
    """Count a claim that fits; returns the reset, ms."""
    if claim.kind is Kind.WINDOW:
        width = width_of(claim)
        counter.cells = windows.added(counter.cells, now_ms, width, claim.cost)
        counter.lasts(left_ms := windows.left_at_ms(now_ms // width, width))
        return left_ms - now_ms
    reset_ms = 0
    if claim.kind is Kind.BUDGET:
        start, end = budgets.current(bounds_of(claim), now_ms)
        _begin(counter, start)
        reset_ms = 0 if end is None else end - now_ms
    counter.cells = windows.leased(counter.cells, now_ms)
    _reserve(counter, windows.lease_cell(now_ms, lease_ms), claim.cost)
    return reset_ms


def _begin(counter: Counter, start: int) -> bool:
    """Whether a new period has begun with this."""
    if counter.period is not None and counter.period >= start:
        return False
    counter.period, counter.spent, counter.cells = start, 0, {}
    return True


def amend(counter: Counter, item: Amend, now_ms: int, admitted_ms: int, lease: Lease | None) -> None:
    """Put actuals in place of an estimate. `lease` is None where no reservation stands (any more)."""
    if item.kind is Kind.WINDOW:
        width = item.shape if isinstance(item.shape, int) else 1
        more = item.actual - (item.estimate if lease and not lease.anew else 0)
        if more > 0:
            counter.cells = windows.added(counter.cells, now_ms, width, more)
            counter.lasts(windows.left_at_ms(now_ms // width, width))
        elif lease and more < 0:
            counter.cells = windows.given_back(counter.cells, lease.at_ms, now_ms, width, -more)
    elif item.kind is Kind.CONCURRENT:
        if lease:
            _release(counter, lease, item.estimate)
    else:
        _spend(counter, item, now_ms, admitted_ms, lease)


def _spend(counter: Counter, item: Amend, now_ms: int, admitted_ms: int, lease: Lease | None) -> None:
    """Money counts in the period in which the request was admitted; one that is over is left alone."""
    shape = item.shape if isinstance(item.shape, tuple) else (0,)
    if _open_period(counter, shape, now_ms, lease.at_ms if lease else admitted_ms, lease, item.estimate):
        counter.spent += item.actual


def _open_period(
    counter: Counter, bounds: tuple[int, ...], now_ms: int, at_ms: int, lease: Lease | None, estimate: int
) -> bool:
    """Take a reservation out of the period that `at_ms` is in. False where that period is over and done with."""
    start, end = budgets.current(bounds, at_ms)
    if (end is not None and end <= now_ms) or (counter.period is not None and counter.period > start):
        return False
    if not _begin(counter, start) and lease:
        _release(counter, lease, estimate)
    return True


def move(counter: Counter, claim: Claim, now_ms: int, lease: Lease | None, longer: Lease) -> None:
    """Let a reservation run out later. `lease` is None where it had run out already."""
    if claim.kind is Kind.WINDOW:
        return
    if claim.kind is Kind.CONCURRENT:
        if lease:
            _release(counter, lease, claim.cost)
    elif not _open_period(counter, bounds_of(claim), now_ms, longer.at_ms, lease, claim.cost):
        return
    _reserve(counter, windows.lease_cell(longer.at_ms, longer.lease_ms), claim.cost)


def _reserve(counter: Counter, cell: int, count: int) -> None:
    counter.cells[cell] = counter.cells.get(cell, 0) + count
    counter.lasts(cell * windows.LEASE_CELL_MS)


def _release(counter: Counter, lease: Lease, count: int) -> None:
    cell = windows.lease_cell(lease.at_ms, lease.lease_ms)
    left = counter.cells.get(cell, 0) - count
    if left > 0:
        counter.cells[cell] = left
    else:
        counter.cells.pop(cell, None)


def width_of(claim: Claim) -> int:
    """Of a window's cells, ms."""
    return claim.shape if isinstance(claim.shape, int) else 1


def bounds_of(claim: Claim) -> tuple[int, ...]:
    """Of a budget's periods, ms."""
    return claim.shape if isinstance(claim.shape, tuple) else (0,)
