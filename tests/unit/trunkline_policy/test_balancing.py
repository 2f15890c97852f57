"""Filter, Score, Pick: laws over every rule, and what each is for."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_policy.balancing import (
    SCORERS,
    Candidate,
    Ruling,
    Wanted,
    arrange,
    least_busy,
    least_cost,
    prefix_affinity,
    weighted,
)

SOME = frozenset({"tools"})
sets = st.sampled_from([frozenset(), SOME, frozenset({"tools", "json"})])
candidates = st.lists(
    st.builds(
        Candidate,
        key=st.text(min_size=1, max_size=6),
        weight=st.floats(0.1, 50),
        healthy=st.booleans(),
        abilities=sets,
        tags=sets,
        context_tokens=st.none() | st.integers(1, 1000),
        in_flight=st.integers(0, 100),
        queued_s=st.floats(0, 100),
        own_s=st.floats(0, 10),
    ),
    max_size=6,
    unique_by=lambda one: one.key,
)
wishes = st.builds(
    Wanted,
    tokens=st.integers(0, 1000),
    abilities=sets,
    tags=sets,
    only=st.none() | st.text(max_size=2),
    affinity=st.binary(max_size=8),
)
scorers = st.sampled_from(sorted(SCORERS)).map(SCORERS.__getitem__)


def dice(seed=1):
    return iter(Random(seed).random, None)


def order(scorer, wanted, given_candidates, seed=1):
    found = arrange(scorer, wanted, given_candidates, dice(seed))
    return [given_candidates[index].key for index in found.order]


@given(scorers, wishes, candidates, st.integers(0, 1000))
def test_everybody_who_may_is_in_the_order_once_and_the_rest_is_accounted_for(scorer, wanted, some, seed):
    found = arrange(scorer, wanted, some, dice(seed))
    assert len(set(found.order)) == len(found.order)
    removed = [key for ruling in found.rulings if not ruling.last for key in ruling.keys]
    assert sorted([*removed, *(some[index].key for index in found.order)]) == sorted(one.key for one in some)
    for index in found.order:
        assert wanted.abilities <= some[index].abilities
        assert wanted.tags <= some[index].tags
        assert wanted.only in {None, some[index].key}


@given(scorers, wishes, candidates, st.integers(0, 1000))
def test_the_sick_and_the_small_come_last(scorer, wanted, some, seed):
    found = arrange(scorer, wanted, some, dice(seed))
    good = [
        some[index].healthy and (some[index].context_tokens is None or wanted.tokens <= some[index].context_tokens)
        for index in found.order
    ]
    assert good == sorted(good, reverse=True)


@given(scorers, wishes, candidates, st.lists(st.floats(0, 1, exclude_max=True), min_size=6, max_size=6))
def test_every_rule_scores_everybody_from_0_to_1(scorer, wanted, some, rolls):
    scores = scorer(wanted, some, rolls[: len(some)])
    assert len(scores) == len(some)
    assert all(0 <= score <= 1 for score in scores)


def test_by_weight_everybody_has_their_share():
    some = [Candidate(key="a", weight=1), Candidate(key="b", weight=3)]
    rolls = dice()
    firsts = Counter(arrange(weighted, Wanted(), some, rolls).order[0] for _ in range(4000))
    assert firsts[1] / 4000 == pytest.approx(0.75, abs=0.03)


def test_the_least_busy_for_its_weight_goes_first():
    some = [Candidate(key="a", in_flight=3), Candidate(key="b", in_flight=5, weight=2), Candidate(key="c", in_flight=9)]
    assert order(least_busy, Wanted(), some) == ["b", "a", "c"]


def test_those_equally_busy_are_drawn_by_weight():
    some = [Candidate(key="a"), Candidate(key="b")]
    rolls = dice()
    firsts = Counter(arrange(least_busy, Wanted(), some, rolls).order[0] for _ in range(2000))
    assert firsts[0] / 2000 == pytest.approx(0.5, abs=0.05)


def test_the_soonest_done_goes_first_and_the_unknown_is_tried_out():
    some = [
        Candidate(key="fast but full", queued_s=9, own_s=1),
        Candidate(key="slow but idle", queued_s=0, own_s=4),
        Candidate(key="unknown"),
    ]
    assert order(least_cost, Wanted(), some) == ["unknown", "slow but idle", "fast but full"]


def test_the_same_beginning_goes_to_the_same_place_whatever_the_dice_say():
    some = [Candidate(key=key) for key in "abcd"]
    wanted = Wanted(affinity=b"once upon a time")
    assert len({tuple(order(prefix_affinity, wanted, some, seed)) for seed in range(20)}) == 1
    firsts = {order(prefix_affinity, Wanted(affinity=b"%d" % number), some)[0] for number in range(60)}
    assert firsts == set("abcd")


def test_a_place_with_clearly_more_than_its_share_is_passed_by_but_stays_in_the_order():
    some = [Candidate(key=key) for key in "abcd"]
    wanted = Wanted(affinity=b"popular")
    favourite, second = order(prefix_affinity, wanted, some)[:2]
    busy = [Candidate(key=key, in_flight=8 if key == favourite else 1) for key in "abcd"]
    found = order(prefix_affinity, wanted, busy)
    assert (found[0], found[-1]) == (second, favourite)


def test_without_a_beginning_affinity_goes_by_weight():
    some = [Candidate(key="a"), Candidate(key="b")]
    assert len({tuple(order(prefix_affinity, Wanted(), some, seed)) for seed in range(20)}) == 2


def test_what_can_only_be_continued_in_one_place_goes_nowhere_else():
    some = [Candidate(key="a"), Candidate(key="b", healthy=False)]
    found = arrange(weighted, Wanted(only="b"), some, dice())
    assert found.order == (1,)
    assert found.rulings == (Ruling("continuation", ("a",)), Ruling("health", ("b",), last=True))


def test_every_rule_is_in_the_table():
    assert set(SCORERS) == {"weighted", "least_busy", "least_cost", "prefix_affinity"}


def test_what_an_account_keeps_goes_to_any_deployment_of_it():
    some = [Candidate(key=f"{account}/{name}", account=account) for account in ("up", "spare") for name in "xy"]
    found = arrange(weighted, Wanted(only="up"), some, dice())
    assert sorted(found.order) == [0, 1]
    assert found.rulings[0].keys == ("spare/x", "spare/y")
