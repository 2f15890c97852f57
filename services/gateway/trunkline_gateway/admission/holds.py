"""What is reserved for requests that are under way, and which of it must be renewed."""

from collections import OrderedDict
from collections.abc import Iterator

import msgspec

from trunkline_gateway.admission.levels import Measure
from trunkline_gateway.admission.memory import MemoryLimits
from trunkline_gateway.admission.wire import Amend, Claim, Settle
from trunkline_gateway.sink import Headers

LEASE_MS = 30_000
"""What a gateway that dies held is free after this, and up to one cell of leases (5 s) more."""
RENEW_S = 10.0
"""Reservations that are older are renewed: a store may be away for the rest of the lease and nothing runs out."""
OVERDUE_S = 30.0
"""A request that is not settled so long after its longest time is not believed to be under way."""


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """One reservation, on one server."""

    lease_key: str = ""
    """Empty where there is nothing to settle."""
    tag: str
    """Leads to its server."""
    claims: tuple[Claim, ...]
    measures: tuple[Measure, ...]
    admitted_ms: int
    due_s: float
    """On the monotonic clock: when its request must have ended."""
    local: MemoryLimits | None = None
    """Where it was counted, if not by the store."""

    def settlement(self, actuals: dict[Measure, int], *, undo: bool = False) -> Settle:
        """`actuals` in place of what was reserved. Requests count as soon as they are admitted, unless undone."""
        amends = tuple(
            Amend(claim.kind, claim.key, claim.cost, actuals.get(measure, 0), claim.shape)
            for claim, measure in zip(self.claims, self.measures, strict=True)
            if undo or measure is not Measure.REQUESTS
        )
        return Settle(lease_key=self.lease_key, admitted_ms=self.admitted_ms, amends=amends)


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """An admitted request's reservations: one, or one more where a limit is on another server of a cluster."""

    holds: tuple[Hold, ...] = ()
    headers: Headers = []
    degraded: bool = False
    """Decided without the store."""

    @property
    def keys(self) -> Iterator[str]:
        """Counters that have room again when it is settled."""
        return (
            claim.key
            for hold in self.holds
            if hold.lease_key
            for claim, measure in zip(hold.claims, hold.measures, strict=True)
            if measure is not Measure.REQUESTS
        )


NO_TICKET = Ticket()
"""Of a request that meets no limit."""


class Holds:
    """Of all requests under way that have something to settle, those renewed longest ago first."""

    def __init__(self) -> None:
        self._live: OrderedDict[str, tuple[float, Hold]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._live)

    def add(self, hold: Hold, now_s: float) -> None:
        self._live[hold.lease_key] = (now_s, hold)

    def remove(self, hold: Hold) -> None:
        """Its request is over."""
        self._live.pop(hold.lease_key, None)

    def due(self, now_s: float) -> list[Hold]:
        """Those to be renewed now. They count as renewed; what is overdue is given up. O(what is due)."""
        found = []
        while self._live:
            lease_key, (renewed_s, hold) = next(iter(self._live.items()))
            if now_s - renewed_s < RENEW_S:
                break
            del self._live[lease_key]
            if now_s < hold.due_s:
                self._live[lease_key] = (now_s, hold)
                found.append(hold)
        return found
