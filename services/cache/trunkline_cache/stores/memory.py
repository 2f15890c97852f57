"""Entries of one process: bounded by bytes and by number, least recently used out first. Forgets on restart."""

from collections import OrderedDict
from collections.abc import Callable

from trunkline_cache.config import Bounds
from trunkline_cache.counts import ScopeCounts
from trunkline_cache.entries import Answer, Entry, Found, Outcome, Statistics, Stored, size_of
from trunkline_cache.keys import EntryId, Key, Scope
from trunkline_kit.clock import Clock

TOO_LARGE = "too-large"


class MemoryStore:
    """Every call is one step of the event loop: nothing is ever half done.

    Lookup and store cost O(1), invalidation and the statistics of a scope O(entries of that scope). An entry past its
    time is dropped when it is met; until then it holds its room, but it drifts to the end that is evicted first.
    """

    def __init__(self, bounds: Bounds, clock: Clock, new_id: Callable[[], EntryId]) -> None:
        self._bounds = bounds
        self._clock = clock
        self._new_id = new_id
        self._entries: OrderedDict[Key, Entry] = OrderedDict()
        """Least recently used first."""
        self._scopes: dict[Scope, dict[EntryId, Key]] = {}
        self._counts = ScopeCounts(bounds.counted_scopes_limit)
        self._size_bytes = 0

    def lookup(self, key: Key, max_age_s: float = 0.0) -> Found:
        """The living answer for exactly `key`, at most `max_age_s` old; 0 takes any age."""
        found = self._look(key, max_age_s)
        self._counts.looked_up(key.scope, hit=found.outcome is Outcome.HIT)
        return found

    def _look(self, key: Key, max_age_s: float) -> Found:
        entry = self._entries.get(key)
        if entry is None:
            return Found(Outcome.NOT_FOUND)
        age_s = max(0.0, self._clock.monotonic_s() - entry.stored_s)
        if age_s >= entry.ttl_s:
            self._drop(entry)
            return Found(Outcome.EXPIRED, age_s=age_s)
        if 0 < max_age_s < age_s:
            return Found(Outcome.TOO_OLD, age_s=age_s)
        self._entries.move_to_end(key)
        return Found(Outcome.HIT, entry, age_s)

    def store(self, key: Key, answer: Answer, ttl_s: float, tags: frozenset[str] = frozenset()) -> Stored:
        """Keep `answer` for `ttl_s` seconds in place of what was there. Makes room by evicting; refuses `too-large`."""
        size_bytes = size_of(key, answer, tags)
        if size_bytes > min(self._bounds.entry_limit_bytes, self._bounds.memory_limit_bytes):
            return Stored(None, TOO_LARGE)
        old = self._entries.get(key)
        if old is not None:
            self._drop(old)
        entry = Entry(
            id=self._new_id(),
            key=key,
            answer=answer,
            tags=tags,
            stored_s=self._clock.monotonic_s(),
            ttl_s=ttl_s,
            size_bytes=size_bytes,
        )
        self._make_room(size_bytes)
        self._entries[key] = entry
        self._scopes.setdefault(key.scope, {})[entry.id] = key
        self._size_bytes += size_bytes
        return Stored(entry.id)

    def invalidate(self, scope: Scope, doomed: Callable[[Entry], bool]) -> int:
        """Remove the entries of `scope`, and of no other, that `doomed` picks. Returns how many."""
        entries = [self._entries[key] for key in self._scopes.get(scope, {}).values()]
        removed = [entry for entry in entries if doomed(entry)]
        for entry in removed:
            self._drop(entry)
        return len(removed)

    def holds(self, scope: Scope, entry_id: EntryId) -> bool:
        """Whether that entry is still there, in that scope."""
        return entry_id in self._scopes.get(scope, {})

    def statistics(self, scope: Scope | None = None) -> Statistics:
        """Of one scope, or of all."""
        counts = self._counts.of(scope)
        if scope is None:
            entries, size_bytes = len(self._entries), self._size_bytes
        else:
            keys = self._scopes.get(scope, {}).values()
            entries, size_bytes = len(keys), sum(self._entries[key].size_bytes for key in keys)
        return Statistics(
            hits=counts.hits, misses=counts.misses, evicted=counts.evicted, entries=entries, size_bytes=size_bytes
        )

    def _make_room(self, size_bytes: int) -> None:
        while self._entries and (
            len(self._entries) >= self._bounds.entries_limit
            or self._size_bytes + size_bytes > self._bounds.memory_limit_bytes
        ):
            coldest = next(iter(self._entries.values()))
            self._drop(coldest)
            self._counts.evicted(coldest.key.scope)

    def _drop(self, entry: Entry) -> None:
        del self._entries[entry.key]
        self._size_bytes -= entry.size_bytes
        ids = self._scopes[entry.key.scope]
        del ids[entry.id]
        if not ids:
            del self._scopes[entry.key.scope]
