"""Counters in memory, bounded: where there are too many, those go first that make the least difference."""

from collections import OrderedDict
from collections.abc import Iterator

import msgspec

from trunkline_gateway.admission.wire import USER_PART, Kind

LOOKS = 8
"""Counters that are looked at in search of one that is over, each time that room is needed."""


class Counter(msgspec.Struct):
    """One key."""

    cells: dict[int, int] = {}
    period: int | None = None
    """Of a budget: the start of the period that is counted."""
    spent: int = 0
    until_ms: int = 0
    """After this nothing in its cells counts any more."""

    def lasts(self, until_ms: int) -> None:
        """What is in its cells counts so long, or longer."""
        self.until_ms = max(self.until_ms, until_ms)


class Counters:
    """At most `size_max` of end users, of whom callers make as many as they like, and as many of all others."""

    def __init__(self, size_max: int) -> None:
        self._of_users = _Pool(size_max)
        self._of_others = _Pool(size_max)

    def __len__(self) -> int:
        return len(self._of_users) + len(self._of_others)

    def get(self, kind: Kind, key: str) -> Counter:
        """An empty one, which is not kept, where there is none."""
        return self._pool(key).kinds[kind].get(key) or Counter()

    def made(self, kind: Kind, key: str, now_ms: int) -> Counter:
        """The one that is kept, to be changed."""
        return self._pool(key).made(kind, key, now_ms)

    def items(self) -> Iterator[tuple[str, Counter]]:
        for pool in (self._of_users, self._of_others):
            for counters in pool.kinds.values():
                yield from counters.items()

    def clear(self) -> None:
        """Forget all."""
        for pool in (self._of_users, self._of_others):
            for counters in pool.kinds.values():
                counters.clear()

    def _pool(self, key: str) -> "_Pool":
        return self._of_users if USER_PART in key else self._of_others


class _Pool:
    """Those used longest ago first, by kind."""

    def __init__(self, size_max: int) -> None:
        self._max = size_max
        self.kinds: dict[Kind, OrderedDict[str, Counter]] = {kind: OrderedDict() for kind in Kind}

    def __len__(self) -> int:
        return sum(map(len, self.kinds.values()))

    def made(self, kind: Kind, key: str, now_ms: int) -> Counter:
        counters = self.kinds[kind]
        counter = counters.get(key)
        if counter is not None:
            counters.move_to_end(key)
            return counter
        while len(self) >= self._max:
            self._make_room(now_ms)
        counter = counters[key] = Counter()
        return counter

    def _make_room(self, now_ms: int) -> None:
        """What is over goes first, then a window, which is soon over, then places, and money last."""
        if self._drop_idle(Kind.WINDOW, now_ms) or self._drop_idle(Kind.CONCURRENT, now_ms):
            return
        for kind in (Kind.WINDOW, Kind.CONCURRENT, Kind.BUDGET):
            if self.kinds[kind]:
                self.kinds[kind].popitem(last=False)
                return

    def _drop_idle(self, kind: Kind, now_ms: int) -> bool:
        """Looks at a few; those that still count go to the end, so that the next time others are looked at."""
        counters = self.kinds[kind]
        for _ in range(min(LOOKS, len(counters))):
            key, counter = next(iter(counters.items()))
            if counter.until_ms <= now_ms:
                del counters[key]
                return True
            counters.move_to_end(key)
        return False
