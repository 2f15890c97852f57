from trunkline_cache.counts import ScopeCounts
from trunkline_cache.keys import Scope


def test_scopes_are_counted_apart_and_together():
    counts = ScopeCounts(scopes_limit=10)
    counts.looked_up(Scope("a"), hit=True)
    counts.looked_up(Scope("a"), hit=False)
    counts.looked_up(Scope("b"), hit=False)
    counts.evicted(Scope("b"))
    a, b, both = counts.of(Scope("a")), counts.of(Scope("b")), counts.of(None)
    assert (a.hits, a.misses, a.evicted) == (1, 1, 0)
    assert (b.hits, b.misses, b.evicted) == (0, 1, 1)
    assert (both.hits, both.misses, both.evicted) == (1, 2, 1)


def test_scopes_beyond_the_bound_are_forgotten_but_not_the_sum():
    counts = ScopeCounts(scopes_limit=2)
    for name in ("a", "b", "a", "c"):
        counts.looked_up(Scope(name), hit=True)
    assert [counts.of(Scope(name)).hits for name in ("a", "b", "c")] == [2, 0, 1]
    assert counts.of(None).hits == 4


def test_asking_does_not_make_a_scope_known():
    counts = ScopeCounts(scopes_limit=1)
    counts.looked_up(Scope("a"), hit=True)
    assert counts.of(Scope("b")).hits == 0
    assert counts.of(Scope("a")).hits == 1
