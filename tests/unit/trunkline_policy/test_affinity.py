"""Rendezvous hashing: shares by weight, few moves, bounded loads; and what is remembered instead."""

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline_policy.affinity import Pins, has_room, key_of, lean, prefix_key, spread

names = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=8, unique=True)
keys = st.binary(min_size=1, max_size=80)
weights = st.lists(st.floats(0.01, 100), min_size=1, max_size=8)


def ranked(key, places, given_weights=None):
    scores = spread(given_weights or [1.0] * len(places), [lean(key, place) for place in places])
    return [place for _, place in sorted(zip(scores, places, strict=True), reverse=True)]


@given(keys, names)
def test_a_place_that_goes_moves_only_what_it_held(key, places):
    before = ranked(key, places)
    for gone in places:
        assert ranked(key, [place for place in places if place != gone]) == [p for p in before if p != gone]


@given(keys, names)
def test_leans_are_within_the_open_interval_and_always_the_same(key, places):
    for place in places:
        assert 0 < lean(key, place) < 1
        assert lean(key, place) == lean(bytes(key), str(place))


def test_keys_are_shared_out_by_weight():
    places, given_weights = ["a", "b", "c"], [1.0, 2.0, 5.0]
    wins = Counter(ranked(b"%d" % number, places, given_weights)[0] for number in range(4000))
    for place, weight in zip(places, given_weights, strict=True):
        assert wins[place] / 4000 == pytest.approx(weight / 8, abs=0.03)


@given(weights, st.data())
def test_scores_are_over_0_up_to_1(given_weights, data):
    rolls = data.draw(
        st.lists(st.floats(0, 1, exclude_max=True), min_size=len(given_weights), max_size=len(given_weights))
    )
    assert all(0 < score <= 1 for score in spread(given_weights, rolls))


@settings(max_examples=30, deadline=None)
@given(names, st.integers(1, 60), st.data())
def test_no_load_is_clearly_over_its_share(places, count, data):
    given_weights = data.draw(st.lists(st.floats(0.5, 4), min_size=len(places), max_size=len(places)))
    weight_of = dict(zip(places, given_weights, strict=True))
    loads = Counter(dict.fromkeys(places, 0))
    total_weight = sum(given_weights)
    for number in range(count):
        order = ranked(b"one popular prefix", places, given_weights)
        free = [place for place in order if has_room(loads[place], weight_of[place], number, total_weight)]
        assert free, "somebody always has room"
        loads[free[0]] += 1
    for place in places:
        assert loads[place] <= math.ceil(1.25 * count * weight_of[place] / total_weight)


@given(st.lists(st.binary(max_size=20), max_size=4), st.lists(st.binary(max_size=20), max_size=4))
def test_keys_are_the_same_for_the_same_parts_only(one, other):
    assert (key_of(*one) == key_of(*other)) == (one == other)
    assert len(key_of(*one)) == 16


@given(st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=40))
def test_only_the_beginning_counts_and_tenants_never_share(shared, first, more):
    key = prefix_key(b"acme", shared, first, 32)
    assert prefix_key(b"other", shared, first, 32) != key
    if len(shared) >= 32:
        assert prefix_key(b"acme", shared + more, first + more, 32) == key
    elif len(shared) + len(first) >= 32:
        assert prefix_key(b"acme", shared, first + more, 32) == key


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0, 10)), max_size=60), st.integers(1, 5))
def test_pins_are_bounded_and_run_out(puts, size):
    pins, now_s, model = Pins(size, ttl_s=15.0), 0.0, {}
    for name, passed_s in puts:
        now_s += passed_s
        pins.put(str(name), f"at {now_s}", now_s)
        model.pop(name, None)
        model[name] = now_s
        assert len(pins) <= size
    newest = list(model.items())[-size:]
    for name, put_s in newest:
        expected = f"at {put_s}" if now_s < put_s + 15.0 else None
        assert pins.place_of(str(name), now_s) == expected
    assert pins.place_of("never", now_s) is None
