"""The store against a model so plain that it is plainly right, then its single promises."""

import itertools

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from trunkline_cache.config import Bounds
from trunkline_cache.entries import ENTRY_OVERHEAD_BYTES, Answer, Outcome, size_of
from trunkline_cache.keys import EntryId, Key, Scope
from trunkline_cache.stores.memory import MemoryStore
from trunkline_kit.clock import ManualClock

BOUNDS = Bounds(
    memory_limit_bytes=5 * ENTRY_OVERHEAD_BYTES,
    entries_limit=4,
    entry_limit_bytes=2 * ENTRY_OVERHEAD_BYTES,
    counted_scopes_limit=100,
)


def make_store(clock, bounds=BOUNDS):
    numbers = itertools.count()
    return MemoryStore(bounds, clock, lambda: EntryId(f"entry-{next(numbers)}"))


def key(tenant="a", number=0, namespace="", version=1):
    return Key(Scope(tenant, namespace), version, bytes([number]) * 32)


def answer(text="x", model="m"):
    return Answer(body_json=text.encode(), model=model)


scopes = st.builds(Scope, st.sampled_from("ab"), st.sampled_from(["", "n"]))
keys = st.builds(Key, scopes, st.sampled_from([1, 2]), st.sampled_from([bytes(32), b"\1" * 32]))
sizes = st.sampled_from([1, 500, ENTRY_OVERHEAD_BYTES, 2 * ENTRY_OVERHEAD_BYTES])
ttls_s = st.sampled_from([1.0, 10.0, 1000.0])


class AgainstTheModel(RuleBasedStateMachine):
    """The model is a list of rows, coldest first, searched from end to end."""

    def __init__(self):
        super().__init__()
        self.clock = ManualClock()
        self.store = make_store(self.clock)
        self.rows = []
        self.hits = self.misses = self.evicted = 0

    @rule(key=keys, size=sizes, ttl_s=ttls_s, model=st.sampled_from("mn"), tags=st.frozensets(st.sampled_from("tu")))
    def put(self, key, size, ttl_s, model, tags):
        given = Answer(body_json=b"b" * size, model=model)
        size_bytes = size_of(key, given, tags)
        stored = self.store.store(key, given, ttl_s, tags)
        if size_bytes > BOUNDS.entry_limit_bytes:
            assert (stored.entry_id, stored.reason) == (None, "too-large")
            return
        self.rows = [row for row in self.rows if row["key"] != key]
        while len(self.rows) >= 4 or sum(row["size"] for row in self.rows) + size_bytes > BOUNDS.memory_limit_bytes:
            self.rows.pop(0)
            self.evicted += 1
        now_s = self.clock.monotonic_s()
        row = {"key": key, "answer": given, "tags": tags, "at": now_s, "ttl": ttl_s, "size": size_bytes}
        self.rows.append(row | {"id": stored.entry_id})

    @rule(key=keys, max_age_s=st.sampled_from([0.0, 2.0, 20.0]))
    def get(self, key, max_age_s):
        found = self.store.lookup(key, max_age_s)
        row = next((row for row in self.rows if row["key"] == key), None)
        age_s = None if row is None else self.clock.monotonic_s() - row["at"]
        if row is None:
            expected = Outcome.NOT_FOUND
        elif age_s >= row["ttl"]:
            expected = Outcome.EXPIRED
            self.rows.remove(row)
        elif max_age_s and age_s > max_age_s:
            expected = Outcome.TOO_OLD
        else:
            expected = Outcome.HIT
            self.rows.remove(row)
            self.rows.append(row)
        assert found.outcome is expected
        self.hits += expected is Outcome.HIT
        self.misses += expected is not Outcome.HIT
        if expected is Outcome.HIT:
            assert (found.entry.answer, found.entry.id, found.age_s) == (row["answer"], row["id"], age_s)
            assert found.entry.key == key
        else:
            assert found.entry is None

    @rule(scope=scopes, tag=st.sampled_from("tu"))
    def drop_by_tag(self, scope, tag):
        doomed = [row for row in self.rows if row["key"].scope == scope and tag in row["tags"]]
        assert self.store.invalidate(scope, lambda entry: tag in entry.tags) == len(doomed)
        self.rows = [row for row in self.rows if row not in doomed]

    @rule(scope=scopes)
    def drop_a_scope(self, scope):
        doomed = [row for row in self.rows if row["key"].scope == scope]
        assert self.store.invalidate(scope, lambda _: True) == len(doomed)
        self.rows = [row for row in self.rows if row not in doomed]

    @rule(seconds=st.sampled_from([0.5, 1.0, 5.0, 100.0]))
    def wait(self, seconds):
        self.clock.advance(seconds)

    @invariant()
    def says_what_it_holds(self):
        now = self.store.statistics()
        assert now.entries == len(self.rows) <= BOUNDS.entries_limit
        assert now.size_bytes == sum(row["size"] for row in self.rows) <= BOUNDS.memory_limit_bytes
        assert (now.hits, now.misses, now.evicted) == (self.hits, self.misses, self.evicted)

    @invariant()
    def scopes_add_up(self):
        parts = [self.store.statistics(Scope(tenant, name)) for tenant in "ab" for name in ("", "n")]
        whole = self.store.statistics()
        for field in ("hits", "misses", "entries", "size_bytes", "evicted"):
            assert sum(getattr(part, field) for part in parts) == getattr(whole, field)

    @invariant()
    def knows_its_ids(self):
        for row in self.rows:
            assert self.store.holds(row["key"].scope, row["id"])
            assert not self.store.holds(Scope("stranger"), row["id"])


TestAgainstTheModel = AgainstTheModel.TestCase


@pytest.mark.parametrize(
    "other", [key(tenant="b"), key(namespace="n"), key(version=2), key(number=1)], ids=lambda other: repr(other)[:40]
)
def test_an_answer_is_found_under_its_own_key_only(other):
    store = make_store(ManualClock())
    store.store(key(), answer("mine"), 60)
    assert store.lookup(other).outcome is Outcome.NOT_FOUND
    assert store.lookup(key()).entry.answer == answer("mine")


def test_an_answer_lives_as_long_as_it_was_given_and_no_longer():
    clock = ManualClock()
    store = make_store(clock)
    store.store(key(), answer(), 60)
    clock.advance(59.9)
    assert store.lookup(key()).age_s == pytest.approx(59.9)
    clock.advance(0.1)
    assert store.lookup(key()).outcome is Outcome.EXPIRED
    assert store.lookup(key()).outcome is Outcome.NOT_FOUND


def test_a_hit_does_not_make_an_answer_younger():
    clock = ManualClock()
    store = make_store(clock)
    store.store(key(), answer(), 60)
    for _ in range(6):
        clock.advance(10)
        found = store.lookup(key())
    assert found.outcome is Outcome.EXPIRED


def test_one_caller_may_ask_for_fresher_than_another():
    clock = ManualClock()
    store = make_store(clock)
    store.store(key(), answer(), 60)
    clock.advance(30)
    assert store.lookup(key(), max_age_s=10).outcome is Outcome.TOO_OLD
    assert store.lookup(key(), max_age_s=30).outcome is Outcome.HIT


def test_an_answer_that_is_too_large_leaves_the_old_one_in_place():
    store = make_store(ManualClock())
    store.store(key(), answer("small"), 60)
    assert store.store(key(), answer("x" * BOUNDS.entry_limit_bytes), 60).reason == "too-large"
    assert store.lookup(key()).entry.answer == answer("small")


def test_the_least_recently_used_goes_first():
    store = make_store(ManualClock())
    for number in range(4):
        store.store(key(number=number), answer(), 60)
    store.lookup(key(number=0))
    store.store(key(number=4), answer(), 60)
    assert [store.lookup(key(number=number)).outcome is Outcome.HIT for number in range(5)] == [
        True,
        False,
        True,
        True,
        True,
    ]
