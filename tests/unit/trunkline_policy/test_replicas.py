"""Seconds of work: laws over every rule, and what each is for."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from trunkline_policy.replicas import (
    FOLLOWERS,
    MEMORY_S,
    READING_SHARE,
    RULES,
    SAME_S,
    TOKENS_PER_S,
    Asked,
    Load,
    Replica,
    backlog_tokens,
    bounded_hash,
    least_seconds,
    price_s,
    round_robin,
    two_choices,
    usual_of,
)

loads = st.builds(
    Load,
    waiting_tokens=st.floats(0, 1e6),
    running=st.integers(0, 64),
    waiting=st.integers(0, 64),
    slots=st.integers(0, 64),
    memory_share=st.floats(0, 1.5),
    tokens_per_s=st.floats(0, 1e5),
)
replicas = st.builds(
    Replica,
    key=st.text(min_size=1, max_size=4),
    load=st.none() | loads,
    sent=st.integers(0, 50),
    sent_tokens=st.floats(0, 1e5),
    unread_tokens=st.floats(0, 1e5),
    in_flight=st.integers(0, 50),
    hit_tokens=st.floats(0, 1e4),
    request_s=st.floats(0, 60),
    stay_s=st.floats(0, 60),
)
fleets = st.lists(replicas, min_size=1, max_size=6, unique_by=lambda one: one.key)
prompts = st.builds(
    Asked, tokens=st.floats(0, 1e5), key=st.binary(max_size=16), number=st.integers(min_value=0, max_value=2**31)
)
IDLE = Load(slots=8, tokens_per_s=1000.0)


def idle(key="a", **changes):
    return Replica(key=key, load=replace(IDLE, **changes))


@pytest.mark.parametrize("rule", RULES)
@given(asked=prompts, fleet=fleets, seed=st.integers(0, 9))
def test_every_rule_names_one_of_them(rule, asked, fleet, seed):
    assert 0 <= RULES[rule](asked, fleet, Random(seed).random) < len(fleet)


@given(asked=prompts, fleet=fleets, seed=st.integers(0, 9))
def test_nobody_is_chosen_who_costs_more_than_another(asked, fleet, seed):
    usual = usual_of(fleet)
    prices = [price_s(asked.tokens, one, usual) for one in fleet]
    assert all(price >= 0 for price in prices)
    assert prices[least_seconds(asked, fleet, Random(seed).random)] <= min(prices) + SAME_S


@given(tokens=st.floats(0, 1e5), one=replicas, more=st.floats(0, 1e5), fleet=fleets)
def test_more_to_do_never_costs_less(tokens, one, more, fleet):
    usual = usual_of(fleet)
    price = price_s(tokens, one, usual)
    assert price_s(tokens + more, one, usual) >= price
    assert price_s(tokens, replace(one, unread_tokens=one.unread_tokens + more), usual) >= price
    assert price_s(tokens, replace(one, hit_tokens=one.hit_tokens + more), usual) <= price
    if one.load is not None:
        assert price_s(tokens, replace(one, sent=one.sent + 1, sent_tokens=one.sent_tokens + more), usual) >= price


def test_the_price_is_the_sum_of_its_parts():
    busy = Replica(
        key="a",
        load=Load(waiting_tokens=500, running=8, waiting=2, slots=8, memory_share=0.5, tokens_per_s=1000),
        sent=1,
        sent_tokens=250,
        hit_tokens=100,
        request_s=4.0,
        stay_s=5.0,
    )
    queue_s, own_s, slot_s = 0.75 / READING_SHARE, 0.25 / READING_SHARE, 4 * 4.0 / 8
    others_s = FOLLOWERS * 11 / 5.0 * own_s * (queue_s + own_s / 2)
    assert price_s(350, busy, usual_of([busy])) == pytest.approx(queue_s + own_s + others_s + slot_s + MEMORY_S)


def test_what_we_wait_for_counts_though_a_report_does_not_know_of_it():
    waited_for = Replica(key="a", unread_tokens=900, first_tokens=200, sent_tokens=100)
    assert backlog_tokens(waited_for, Load(waiting_tokens=300), 1000) == 700
    assert backlog_tokens(replace(waited_for, unread_tokens=300), Load(waiting_tokens=300), 1000) == 400


def test_what_was_said_a_while_ago_is_partly_read_by_now():
    sent = Replica(key="a", sent_tokens=100)
    left = [backlog_tokens(sent, Load(waiting_tokens=300, age_s=age_s), 1000) for age_s in (0.0, 0.1, 0.6, 2.0)]
    assert left == [400, pytest.approx(400 - 100 * READING_SHARE), 100, 100]


def test_a_prefix_is_worth_the_queue_that_it_saves_and_no_more():
    warm, cold = replace(idle("warm", waiting_tokens=1900), hit_tokens=1000), idle("cold")
    assert least_seconds(Asked(tokens=2000), [warm, cold], Random(1).random) == 0
    crowded = replace(warm, load=replace(IDLE, waiting_tokens=2100))
    assert least_seconds(Asked(tokens=2000), [crowded, cold], Random(1).random) == 1


def test_a_beginning_stays_at_home_the_longer_the_more_come():
    prompt = Asked(tokens=1000)
    home = replace(idle("home", waiting_tokens=1200, running=4), hit_tokens=900, stay_s=1.0)
    quiet, busy = replace(idle("quiet"), stay_s=1.0), replace(idle("busy", running=4), stay_s=1.0)
    assert least_seconds(prompt, [home, quiet], Random(1).random) == 1
    assert least_seconds(prompt, [home, busy], Random(1).random) == 0


def test_a_long_prompt_goes_where_few_others_are():
    popular = replace(idle("popular", running=6), stay_s=1.0)
    lonely = replace(idle("lonely", running=1, waiting_tokens=300), stay_s=1.0)
    assert least_seconds(Asked(tokens=4000), [popular, lonely], Random(1).random) == 1
    assert least_seconds(Asked(tokens=10), [popular, lonely], Random(1).random) == 0


def test_how_long_one_stays_is_the_same_for_all():
    """A slow one would seem to be asked seldom, and get the long prompts for it."""
    fleet = [replace(idle("a"), stay_s=1.0), replace(idle("b"), stay_s=3.0), idle("new"), Replica(key="silent")]
    assert usual_of(fleet).stay_s == 2.0
    assert usual_of(fleet[2:]).stay_s == 0.0


def test_what_would_be_as_soon_is_not_read_twice():
    behind = replace(idle("home"), unread_tokens=2000.0, hit_tokens=1000)
    assert {
        least_seconds(Asked(tokens=1000), [behind, idle("cold")], dice.random) for dice in map(Random, range(20))
    } == {0}


def test_who_is_slow_gets_less():
    assert least_seconds(Asked(tokens=1000), [idle("slow", tokens_per_s=100.0), idle("fast")], Random(1).random) == 1


def test_nothing_said_is_not_idle():
    silent = Replica(key="silent")
    fleet = [idle("busy", waiting_tokens=5000), silent, idle("idle")]
    usual = usual_of(fleet)
    assert usual.backlog_tokens == 2500
    assert price_s(0, fleet[2], usual) < price_s(0, silent, usual) < price_s(0, fleet[0], usual)
    waited_for = replace(silent, unread_tokens=9000.0)
    assert price_s(0, waited_for, usual) == pytest.approx(9.0 / READING_SHARE)


def test_where_nobody_says_anything_the_shortest_queue_is_taken():
    fleet = [Replica(key="a", unread_tokens=400.0), Replica(key="b", unread_tokens=100.0)]
    assert least_seconds(Asked(tokens=10), fleet, Random(1).random) == 1
    assert usual_of(fleet).tokens_per_s == TOKENS_PER_S


def test_a_full_memory_is_dear_but_not_infinitely():
    usual = usual_of([idle()])
    prices = [price_s(0, idle(memory_share=share), usual) for share in (0.0, 0.5, 0.9, 1.0, 7.0)]
    assert prices == sorted(prices)
    assert prices[-1] == prices[-2] < 1000


def test_equals_are_drawn_from():
    fleet = [idle(key) for key in "abcd"]
    drawn = Counter(least_seconds(Asked(tokens=100), fleet, dice.random) for dice in map(Random, range(400)))
    assert set(drawn) == {0, 1, 2, 3}
    assert min(drawn.values()) > 60


def test_round_robin_goes_round_whatever_their_order():
    fleet = [idle(key) for key in "cab"]
    chosen = [fleet[round_robin(Asked(number=number), fleet, Random(1).random)].key for number in range(6)]
    assert "".join(chosen) == "abcabc"


def test_of_two_the_less_busy_is_taken():
    fleet = [replace(idle("a"), in_flight=9), replace(idle("b"), in_flight=1)]
    assert {two_choices(Asked(), fleet, dice.random) for dice in map(Random, range(20))} == {1}


@given(key=st.binary(min_size=1, max_size=16), fleet=fleets, seed=st.integers(0, 9))
def test_the_same_beginning_goes_to_the_same_place_while_that_has_room(key, fleet, seed):
    calm = [replace(one, in_flight=0) for one in fleet]
    chosen = calm[bounded_hash(Asked(key=key), calm, Random(seed).random)].key
    assert calm[bounded_hash(Asked(key=key), calm[::-1][::-1], Random(seed + 1).random)].key == chosen
    others = [one for one in calm if one.key == chosen or len(one.key) % 2]
    assert others[bounded_hash(Asked(key=key), others, Random(seed).random)].key == chosen


def test_a_popular_beginning_spills_over():
    fleet = [idle("a"), idle("b"), idle("c")]
    for _ in range(30):
        chosen = bounded_hash(Asked(key=b"popular"), fleet, Random(1).random)
        fleet[chosen] = replace(fleet[chosen], in_flight=fleet[chosen].in_flight + 1)
    assert max(one.in_flight for one in fleet) <= 13
