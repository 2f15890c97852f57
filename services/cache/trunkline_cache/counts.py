"""Hits, misses and evictions: all together, and apart for a bounded number of scopes."""

from collections import OrderedDict

from msgspec import Struct

from trunkline_cache.keys import Scope


class Counts(Struct):
    """Since start, or since the scope was last forgotten."""

    hits: int = 0
    misses: int = 0
    evicted: int = 0


class ScopeCounts:
    """Anybody may name a scope, so only the `scopes_limit` seen last are counted apart. The sum is always whole."""

    def __init__(self, scopes_limit: int) -> None:
        self._scopes_limit = scopes_limit
        self._all = Counts()
        self._scopes: OrderedDict[Scope, Counts] = OrderedDict()

    def looked_up(self, scope: Scope, *, hit: bool) -> None:
        for counts in (self._all, self._seen(scope)):
            if hit:
                counts.hits += 1
            else:
                counts.misses += 1

    def evicted(self, scope: Scope) -> None:
        for counts in (self._all, self._seen(scope)):
            counts.evicted += 1

    def of(self, scope: Scope | None) -> Counts:
        """What was counted for `scope`, or for all."""
        return self._all if scope is None else self._scopes.get(scope, Counts())

    def _seen(self, scope: Scope) -> Counts:
        counts = self._scopes.setdefault(scope, Counts())
        self._scopes.move_to_end(scope)
        if len(self._scopes) > self._scopes_limit:
            self._scopes.popitem(last=False)
        return counts
