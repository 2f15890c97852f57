"""When to send a second request because the first is slower than usual, and how often that may be done.

Source: Dean and Barroso, "The Tail at Scale", CACM 56(2), 2013 (hedged requests, deferred until the 95th percentile).
"""

import math
from bisect import bisect_left, insort
from collections import deque

from msgspec import Struct
from msgspec.structs import replace

SAMPLES = 128
SAMPLES_MIN = 20
"""With fewer, nobody knows what is usual."""
BURST = 4.0
"""Extra requests that may have been saved up."""
_ROUNDING = 1e-9
"""Twenty times 0.05 is a whole request."""


class FirstTokenTimes:
    """The last times to a first token, in seconds: a window of at most `size`."""

    __slots__ = ("_arrived", "_sorted")

    def __init__(self, size: int = SAMPLES) -> None:
        self._arrived: deque[float] = deque(maxlen=size)
        self._sorted: list[float] = []

    def __len__(self) -> int:
        return len(self._arrived)

    def add(self, took_s: float) -> None:
        """One more; the oldest leaves a full window. O(size).

        Attempts that were given up before their first token count with the time they had: it was at least that, and
        leaving them out would make what is usual ever faster.
        """
        if len(self._arrived) == self._arrived.maxlen:
            del self._sorted[bisect_left(self._sorted, self._arrived[0])]
        self._arrived.append(took_s)
        insort(self._sorted, took_s)

    def quantile_s(self, share: float) -> float | None:
        """The time within which `share` of the attempts had their first token; None while too few are known. O(1)."""
        count = len(self._sorted)
        if count < min(SAMPLES_MIN, self._arrived.maxlen or SAMPLES_MIN):
            return None
        return self._sorted[min(count - 1, max(0, math.ceil(share * count) - 1))]


class HedgeBudget(Struct, frozen=True):
    """A bucket of tokens: extra requests that may be sent now."""

    saved: float = 0.0


def earned(budget: HedgeBudget, ratio: float) -> HedgeBudget:
    """A request was sent that is no hedge: `ratio` of another one may be."""
    return replace(budget, saved=min(BURST, budget.saved + ratio))


def spent(budget: HedgeBudget) -> HedgeBudget | None:
    """The budget after one hedge; None if there is none to spend."""
    return HedgeBudget(max(0.0, budget.saved - 1.0)) if budget.saved >= 1.0 - _ROUNDING else None
