"""Limits of one process, in its memory: where there is no store, and each gateway's share while the store is down.

Decides exactly as `trunkline.lua` does; a test runs both side by side.
"""

from collections import OrderedDict
from collections.abc import Sequence

import msgspec

from trunkline_gateway.admission.wire import Admit, Amend, Claim, Kind, Op, Outcome
from trunkline_policy import budgets, windows

SETTLED_MS = 120_000
NEVER = -1
RETRY_CONCURRENT_MS = 1_000


class Counter(msgspec.Struct):
    """One key."""

    cells: dict[int, int] = {}
    period: int | None = None
    """Of a budget: the start of the period that is counted."""
    spent: int = 0


class Lease(msgspec.Struct, frozen=True):
    at_ms: int
    lease_ms: int
    until_ms: int
    settled: bool = False


class Look(msgspec.Struct, frozen=True):
    """What a counter says to a claim."""

    remaining: int
    reset_ms: int
    wait_ms: int


class MemoryLimits:
    """`counters_max` counters and as many leases; those used longest ago are forgotten first."""

    def __init__(self, counters_max: int = 50_000) -> None:
        self._max = counters_max
        self._counters: OrderedDict[str, Counter] = OrderedDict()
        self._leases: OrderedDict[str, Lease] = OrderedDict()

    def work(self, ops: Sequence[Op], now_ms: int) -> list[Outcome]:
        """Each operation after the other, as of `now_ms`."""
        return [
            self._admit(op, now_ms)
            if isinstance(op, Admit)
            else self._settle(op.lease_key, op.admitted_ms, op.amends, now_ms)
            for op in ops
        ]

    def clear(self) -> None:
        """Forget everything."""
        self._counters.clear()
        self._leases.clear()

    def _admit(self, op: Admit, now_ms: int) -> Outcome:
        looks = [look(self._counter(claim.key), claim, now_ms) for claim in op.claims]
        refused = _worst(looks)
        if refused:
            rows = tuple((max(0, seen.remaining), seen.reset_ms) for seen in looks)
            return Outcome(refused, looks[refused - 1].wait_ms, now_ms, rows)
        resets = [take(self._counter(claim.key), claim, now_ms, op.lease_ms) for claim in op.claims]
        if op.lease_key:
            self._leases[op.lease_key] = Lease(now_ms, op.lease_ms, now_ms + op.lease_ms)
            self._leases.move_to_end(op.lease_key)
            _trim(self._leases, self._max)
        rows = tuple(
            (max(0, max(0, seen.remaining) - claim.cost), reset)
            for seen, claim, reset in zip(looks, op.claims, resets, strict=True)
        )
        return Outcome(0, 0, now_ms, rows)

    def _settle(self, lease_key: str, admitted_ms: int, amends: Sequence[Amend], now_ms: int) -> Outcome:
        lease = self._leases.get(lease_key)
        if lease is not None and lease.until_ms <= now_ms:
            lease = None
        if lease is not None and lease.settled:
            return Outcome(0, 0, now_ms)
        for item in amends:
            amend(self._counter(item.key), item, now_ms, admitted_ms, lease)
        self._leases[lease_key] = Lease(0, 0, now_ms + SETTLED_MS, settled=True)
        _trim(self._leases, self._max)
        return Outcome(0, 0, now_ms)

    def _counter(self, key: str) -> Counter:
        counter = self._counters.get(key)
        if counter is None:
            counter = self._counters[key] = Counter()
            _trim(self._counters, self._max)
        else:
            self._counters.move_to_end(key)
        return counter


def _trim(entries: OrderedDict[str, Counter] | OrderedDict[str, Lease], size_max: int) -> None:
    while len(entries) > size_max:
        entries.popitem(last=False)


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
        return windows.left_at_ms(now_ms // width, width) - now_ms
    reset_ms = 0
    if claim.kind is Kind.BUDGET:
        start, end = budgets.current(bounds_of(claim), now_ms)
        _begin(counter, start)
        reset_ms = 0 if end is None else end - now_ms
    counter.cells = windows.leased(counter.cells, now_ms)
    cell = windows.lease_cell(now_ms, lease_ms)
    counter.cells[cell] = counter.cells.get(cell, 0) + claim.cost
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
        more = item.actual - (item.estimate if lease else 0)
        if more > 0:
            counter.cells = windows.added(counter.cells, now_ms, width, more)
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
    start, end = budgets.current(shape, lease.at_ms if lease else admitted_ms)
    if (end is not None and end <= now_ms) or (counter.period is not None and counter.period > start):
        return
    if not _begin(counter, start) and lease:
        _release(counter, lease, item.estimate)
    counter.spent += item.actual


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
