"""What is forgotten first where there are too many counters."""

from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.admission.counters import LOOKS, Counters
from trunkline_gateway.admission.wire import Kind

NOW_MS = 1_000_000


def kept(counters):
    return {key for key, _ in counters.items()}


def fill(counters, kind, keys, until_ms=NOW_MS + 1):
    for key in keys:
        counters.made(kind, key, NOW_MS).lasts(until_ms)


def names(word, count):
    return [f"tl:{{o}}:{word}{number}" for number in range(count)]


def test_reading_makes_nothing():
    counters = Counters(5)
    assert counters.get(Kind.WINDOW, "tl:{o}:w").cells == {}
    assert len(counters) == 0


def test_what_is_over_goes_before_what_counts():
    counters = Counters(10)
    fill(counters, Kind.WINDOW, names("live", 4))
    fill(counters, Kind.WINDOW, names("over", 3), NOW_MS)
    fill(counters, Kind.CONCURRENT, names("idle", 3), NOW_MS)
    fill(counters, Kind.WINDOW, names("new", 6))
    assert kept(counters) == {*names("live", 4), *names("new", 6)}
    assert len(counters) == 10


def test_windows_go_before_places_and_these_before_money():
    counters = Counters(9)
    fill(counters, Kind.BUDGET, names("b", 3))
    fill(counters, Kind.CONCURRENT, names("c", 3))
    fill(counters, Kind.WINDOW, names("w", 50))
    assert {*names("b", 3), *names("c", 3)} < kept(counters)
    fill(counters, Kind.CONCURRENT, names("d", 6))
    assert kept(counters) == {*names("b", 3), *names("d", 6)}
    fill(counters, Kind.BUDGET, names("e", 20))
    assert kept(counters) == set(names("e", 20)[-9:])


def test_end_users_push_only_each_other_out():
    counters = Counters(5)
    fill(counters, Kind.WINDOW, names("w", 5))
    fill(counters, Kind.BUDGET, names("key:k:user:", 100))
    assert set(names("w", 5)) < kept(counters)
    assert len(counters) == 10
    counters.clear()
    assert len(counters) == 0


def test_one_that_is_over_is_found_behind_many_that_are_not():
    counters = Counters(10 * LOOKS)
    fill(counters, Kind.WINDOW, names("live", 10 * LOOKS - 1))
    fill(counters, Kind.WINDOW, names("over", 1), NOW_MS)
    fill(counters, Kind.WINDOW, names("new", 10))
    assert not set(names("over", 1)) & kept(counters)
    assert len(set(names("live", 10 * LOOKS)) & kept(counters)) >= 10 * LOOKS - 10


@given(st.lists(st.tuples(st.sampled_from(Kind), st.integers(0, 30), st.booleans(), st.booleans()), max_size=200))
def test_there_are_never_too_many_and_the_one_in_use_is_there(steps):
    counters = Counters(7)
    for kind, number, of_user, live in steps:
        key = f"tl:{{o}}:{kind.value}{':user:' if of_user else ':'}{number}"
        counter = counters.made(kind, key, NOW_MS)
        counter.lasts(NOW_MS + live)
        assert counters.get(kind, key) is counter
        assert sum((":user:" in key) == of_user for key in kept(counters)) <= 7
