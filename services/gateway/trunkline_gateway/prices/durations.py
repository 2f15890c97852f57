"""How long attempts probably take where that decides what they cost. Bounded; of one gateway process."""

from collections import OrderedDict, deque

from trunkline_policy import estimates

SAMPLES = 64
"""Attempts remembered for each place."""
PLACES_MAX = 1_024
UNKNOWN_US = 1_000_000
"""Assumed of a place where no attempt has ended yet: the order of a short answer."""

Place = tuple[str, str]


class Durations:
    """The last attempts at each place: a provider and its name of a model."""

    def __init__(self, places_max: int = PLACES_MAX) -> None:
        self._places_max = places_max
        self._recent: OrderedDict[Place, deque[int]] = OrderedDict()

    def learn(self, place: Place, duration_us: int) -> None:
        """An attempt that was charged for has ended."""
        recent = self._recent.setdefault(place, deque(maxlen=SAMPLES))
        recent.append(duration_us)
        self._recent.move_to_end(place)
        if len(self._recent) > self._places_max:
            self._recent.popitem(last=False)

    def likely_us(self, place: Place) -> int:
        """The 95th percentile, so that a budget is rather reserved too much of than too little."""
        recent = self._recent.get(place)
        return estimates.quantile(tuple(recent)) if recent else UNKNOWN_US
