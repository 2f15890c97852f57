"""Whether a stream comes too slowly, judged over a window of the time that was spent waiting for its sender.

Time in which nobody was ready to take anything does not count: what piled up meanwhile comes at once, and a reader who
is slow makes no sender slow. Pure.
"""

import math
from collections import deque


class Pace:
    """Of one stream. It is too slow when its last `rate_per_s` x `window_s` events took longer than `window_s`."""

    __slots__ = ("_moments_s", "_waited_s", "_window_s")

    def __init__(self, rate_per_s: float, window_s: float) -> None:
        """`rate_per_s` above 0."""
        needed = max(1, math.ceil(rate_per_s * window_s - 1e-9))
        self._window_s = window_s
        # The beginning counts as if all that is needed had just come: the first window is for free.
        self._moments_s: deque[float] = deque([0.0] * needed, maxlen=needed)
        self._waited_s = 0.0

    @property
    def patience_s(self) -> float:
        """How much longer it may be waited for if nothing comes; 0.0 or less when it is too slow. O(1)."""
        return self._moments_s[0] + self._window_s - self._waited_s

    def came(self, events: int, after_s: float) -> None:
        """So many events came after so much more waiting. O(events), and never more than the window holds."""
        if after_s > 0.0:
            self._waited_s += after_s
        if events == 1:
            self._moments_s.append(self._waited_s)
        elif events:
            self._moments_s.extend([self._waited_s] * min(events, self._moments_s.maxlen or 0))
