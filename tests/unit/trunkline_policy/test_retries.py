"""Which attempt comes next: laws over every history of failures."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from trunkline_policy.faults import AGAIN, OF_THE_MODEL, FailureKind
from trunkline_policy.retries import BASE_S, CAP_S, Allowance, Chains, Failed, Rest, full_jitter_s, next_try


class Spot(Struct, frozen=True):
    model: str
    account: str


spots = st.lists(st.builds(Spot, st.sampled_from("mno"), st.sampled_from("abcd")), min_size=1, max_size=6, unique=True)
kinds = st.sampled_from(FailureKind)
rolls = st.floats(0, 1)
asked = st.none() | st.floats(0, 20)
fates = st.lists(st.tuples(kinds, asked, st.floats(0, 5)), min_size=1, max_size=20)
rests = st.dictionaries(st.sampled_from("abcd"), st.builds(Rest, st.floats(0, 40), st.floats(0, 40)))
allowances = st.builds(
    Allowance, attempts_max=st.integers(1, 16), deadline_s=st.floats(0, 60), wait_s_max=st.floats(0, 60)
)


@st.composite
def chains(draw):
    all_spots = draw(spots)
    borders = sorted(draw(st.tuples(st.integers(1, len(all_spots)), st.integers(1, len(all_spots)))))
    return Chains(
        places=tuple(all_spots[: borders[0]]),
        on_context=tuple(all_spots[borders[0] : borders[1]]),
        on_policy=tuple(all_spots[borders[1] :]),
    )


def walk(given_chains, given_fates, allowance, roll=0.5, resting=None):
    """Every try until it gives up: (try, when it was sent, the failures before it), each failing with the next fate."""
    resting = resting or {}
    failures, tries, now_s = [], [], 0.0
    while found := next_try(given_chains, failures, allowance, now_s, roll, lambda p: resting.get(p.account, Rest())):
        now_s += found.wait_s
        tries.append((found, now_s, tuple(failures)))
        kind, asked_s, took_s = given_fates[len(failures) % len(given_fates)]
        now_s += took_s
        failures.append(Failed(found.place, kind, now_s, asked_s))
    return tries


@given(chains(), fates, allowances, rolls, rests)
def test_one_budget_and_one_deadline_hold_over_everything(given_chains, given_fates, allowance, roll, resting):
    tries = walk(given_chains, given_fates, allowance, roll, resting)
    assert len(tries) <= allowance.attempts_max
    for found, sent_s, _ in tries:
        assert sent_s < allowance.deadline_s
        assert found.wait_s <= allowance.wait_s_max


@given(chains(), fates, allowances, rolls, rests)
def test_only_what_may_be_over_is_tried_again_and_after_the_wait_it_asks_for(
    given_chains, given_fates, allowance, roll, resting
):
    for found, sent_s, before in walk(given_chains, given_fates, allowance, roll, resting):
        own = [failed for failed in before if failed.place == found.place]
        assert all(failed.kind in AGAIN for failed in own)
        if own:
            assert sent_s >= own[-1].at_s + (own[-1].asked_s or 0.0) - 1e-9
        else:
            assert not found.last_resort or found.wait_s == 0


@given(chains(), fates, allowances, rolls, rests)
def test_accounts_and_models_that_cannot_are_left_alone(given_chains, given_fates, allowance, roll, resting):
    for found, _, before in walk(given_chains, given_fates, allowance, roll, resting):
        assert found.place.account not in {one.place.account for one in before if one.kind is FailureKind.ACCOUNT}
        assert found.place.model not in {one.place.model for one in before if one.kind in OF_THE_MODEL}


@given(chains(), fates, allowances, rolls, rests)
def test_nobody_is_asked_before_the_time_it_named_nor_with_an_open_breaker_while_others_are_left(
    given_chains, given_fates, allowance, roll, resting
):
    for found, sent_s, before in walk(given_chains, given_fates, allowance, roll, resting):
        rest = resting.get(found.place.account, Rest())
        assert rest.told_s <= sent_s + 1e-9
        if rest.tripped_s > sent_s:
            assert found.last_resort
            assert not any(failed.place == found.place for failed in before), "once, not again and again"


@given(chains(), fates, allowances, rolls, rests)
def test_a_model_leads_into_the_chain_for_what_it_said(given_chains, given_fates, allowance, roll, resting):
    for found, _, before in walk(given_chains, given_fates, allowance, roll, resting):
        said = {failed.kind for failed in before}
        if found.place in given_chains.on_context and found.place not in given_chains.places:
            assert FailureKind.CONTEXT in said
        if found.place in given_chains.on_policy and found.place not in given_chains.places:
            assert FailureKind.POLICY in said


@given(spots, st.integers(1, 16))
def test_each_place_comes_once_in_order_before_any_comes_again(given_spots, attempts_max):
    allowance = Allowance(attempts_max=attempts_max, deadline_s=1000)
    tries = walk(Chains(places=tuple(given_spots)), [(FailureKind.BROKEN, None, 0.0)], allowance)
    order = [found.place for found, _, _ in tries]
    assert len(order) == attempts_max
    assert order[: len(given_spots)] == given_spots[:attempts_max]
    assert all(found.wait_s == 0 for found, _, _ in tries[: len(given_spots)])
    assert max(map(order.count, given_spots)) - min(map(order.count, given_spots)) <= 1


@given(st.integers(0, 10_000), rolls)
def test_jitter_is_full_and_capped(retry, roll):
    bound_s = full_jitter_s(retry, 1.0)
    assert 0 == full_jitter_s(retry, 0.0) <= full_jitter_s(retry, roll) <= bound_s <= CAP_S
    assert bound_s == min(CAP_S, BASE_S * 2.0 ** min(retry, 32))


A, B, C, BIG, LAX = Spot("m", "a"), Spot("m", "b"), Spot("n", "c"), Spot("big", "a"), Spot("lax", "b")
ALL = Chains(places=(A, B, C), on_context=(BIG,), on_policy=(LAX,))
PLENTY = Allowance(attempts_max=16, deadline_s=100.0, wait_s_max=30.0)


def place_after(*failures, chains=ALL, allowance=PLENTY, now_s=0.0, resting=None):
    rest = resting or {}
    found = next_try(chains, failures, allowance, now_s, 0.0, lambda place: rest.get(place, Rest()))
    return found and (found.place, found.wait_s)


def test_a_longer_context_is_looked_for_at_once_and_only_there():
    assert place_after(Failed(A, FailureKind.CONTEXT)) == (BIG, 0.0)
    assert place_after(Failed(A, FailureKind.CONTEXT), Failed(BIG, FailureKind.CONTEXT)) is None
    assert place_after(Failed(A, FailureKind.POLICY)) == (LAX, 0.0)


def test_without_a_chain_for_it_the_verdict_of_the_model_asked_for_is_final():
    plain = Chains(places=(A, B, C))
    assert place_after(Failed(A, FailureKind.CONTEXT), chains=plain) is None
    assert place_after(Failed(A, FailureKind.POLICY), chains=plain) is None


def test_a_fallback_that_is_too_short_only_rules_itself_out():
    plain = Chains(places=(A, C))
    assert place_after(Failed(A, FailureKind.BROKEN), Failed(C, FailureKind.CONTEXT), chains=plain) == (A, 0.0)


def test_one_account_without_credit_rules_out_all_its_models():
    chains = Chains(places=(A, Spot("n", "a"), B))
    assert place_after(Failed(A, FailureKind.ACCOUNT), chains=chains) == (B, 0.0)


@pytest.mark.parametrize(("asked_s", "found"), [(2.0, (A, 2.0)), (31.0, None), (99.0, None)])
def test_a_wait_is_honoured_up_to_the_deadline_and_the_longest_pause(asked_s, found):
    only = Chains(places=(A,))
    assert place_after(Failed(A, FailureKind.LIMITED, 0.0, asked_s), chains=only) == found


def test_the_soonest_of_those_that_want_to_be_left_alone_is_waited_for():
    resting = {A: Rest(told_s=9.0), B: Rest(told_s=4.0), C: Rest(told_s=99.0)}
    assert place_after(resting=resting) == (B, 4.0)


def test_an_open_breaker_is_passed_by_and_is_the_last_resort():
    only = Chains(places=(A, B))
    assert place_after(chains=only, resting={A: Rest(tripped_s=9.0)}) == (B, 0.0)
    both = {A: Rest(tripped_s=9.0), B: Rest(tripped_s=4.0)}
    assert place_after(chains=only, resting=both) == (B, 0.0)
    failed = Failed(B, FailureKind.BROKEN)
    assert place_after(failed, chains=only, resting=both) == (A, 0.0)
    assert place_after(failed, Failed(A, FailureKind.BROKEN), chains=only, resting=both) is None
