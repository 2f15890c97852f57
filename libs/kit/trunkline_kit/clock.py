"""Time as a collaborator: services get a clock in their constructor, tests turn its hands."""

import time
from typing import Protocol


class Clock(Protocol):
    """Where time comes from."""

    def now_s(self) -> float:
        """Seconds since the epoch; may step when the machine's clock is set."""

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary start; never steps back."""


class SystemClock:
    """The machine's own clock."""

    def now_s(self) -> float:
        return time.time()  # noqa: TID251 - the one clock that reads it

    def monotonic_s(self) -> float:
        return time.monotonic()


class ManualClock:
    """Stands still until told to move."""

    def __init__(self, now_s: float = 1_700_000_000.0) -> None:
        self._now_s = now_s

    def now_s(self) -> float:
        return self._now_s

    def monotonic_s(self) -> float:
        return self._now_s

    def advance(self, seconds: float) -> None:
        """Move both clocks forward by `seconds`."""
        self._now_s += seconds
