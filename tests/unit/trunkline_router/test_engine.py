"""Laws of the decision, over every route and every state of knowledge."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_kit.settings import Route, Rule, When
from trunkline_router.engine import Outcome, Signals, decide, judge

LABELS = ("code", "smalltalk", "maths")
shares = st.floats(0, 1)
whens = st.builds(
    When,
    intent=st.none() | st.lists(st.sampled_from(LABELS), max_size=3).map(tuple),
    complexity_below=st.none() | shares,
    complexity_above=st.none() | shares,
)
rules = st.builds(Rule, when=whens, to=st.sampled_from([("a",), ("b", "c")]))
routes = st.builds(Route, rules=st.lists(rules, max_size=6).map(tuple), otherwise=st.just(("rest",)))
known = st.builds(Signals, intent=st.sampled_from(LABELS), complexity=shares)
signals = st.builds(Signals, intent=st.none() | st.sampled_from(LABELS), complexity=st.none() | shares)


@given(routes, signals)
def test_the_first_rule_that_holds_decides(route, seen):
    decision = decide(route, seen)
    holding = [i for i, rule in enumerate(route.rules) if judge(rule.when, seen).outcome is Outcome.HOLDS]
    if holding:
        assert (decision.rule, decision.models) == (holding[0], route.rules[holding[0]].to)
        assert decision.reasons[0] == f"rule:{holding[0]}"
        assert not decision.abstained
    else:
        assert (decision.rule, decision.models, decision.reasons[0]) == (None, ("rest",), "otherwise")


@given(routes, rules, signals)
def test_a_rule_behind_the_deciding_one_changes_nothing(route, extra, seen):
    before = decide(route, seen)
    after = decide(Route(rules=(*route.rules, extra), otherwise=route.otherwise), seen)
    if before.rule is not None:
        assert (after.models, after.rule, after.reasons) == (before.models, before.rule, before.reasons)


@given(routes, known)
def test_with_all_signals_nothing_is_undecided(route, seen):
    decision = decide(route, seen)
    assert not decision.abstained
    assert len(decision.reasons) == 1
    assert all(verdict.outcome is not Outcome.UNKNOWN for verdict in decision.verdicts)


@given(whens, signals, known)
def test_learning_more_never_turns_a_settled_rule(when, little, more):
    """A rule that holds or fails on partial knowledge comes to the same once the rest is known."""
    filled = Signals(
        intent=little.intent if little.intent is not None else more.intent,
        complexity=little.complexity if little.complexity is not None else more.complexity,
    )
    early = judge(when, little).outcome
    if early is not Outcome.UNKNOWN:
        assert judge(when, filled).outcome is early


@given(routes)
def test_abstained_means_that_a_signal_might_have_changed_it(route):
    decision = decide(route, Signals())
    unknown = any(verdict.outcome is Outcome.UNKNOWN for verdict in decision.verdicts)
    assert decision.abstained == (decision.rule is None and unknown)


def test_without_signals_a_rule_without_conditions_still_holds():
    route = Route(
        rules=(Rule(when=When(intent=("code",)), to=("big",)), Rule(when=When(), to=("small",))), otherwise=("rest",)
    )
    decision = decide(route, Signals())
    assert decision.models == ("small",)
    assert decision.reasons == ("rule:1", "intent-unknown")


def test_a_route_without_rules_does_not_abstain():
    decision = decide(Route(otherwise=("only",)), Signals())
    assert (decision.models, decision.abstained, decision.reasons) == (("only",), False, ("otherwise",))


@pytest.mark.parametrize(
    ("when", "seen", "outcome", "because"),
    [
        (When(), Signals(), Outcome.HOLDS, "no conditions"),
        (When(intent=("code", "maths")), Signals(intent="maths"), Outcome.HOLDS, "intent is maths"),
        (When(intent=("code",)), Signals(intent="maths"), Outcome.FAILS, "intent maths is not code"),
        (When(intent=("code",)), Signals(), Outcome.UNKNOWN, "intent is unknown, code is wanted"),
        (When(complexity_below=0.3), Signals(complexity=0.71), Outcome.FAILS, "complexity 0.71 is not below 0.3"),
        (When(complexity_below=0.3), Signals(complexity=0.3), Outcome.FAILS, "complexity 0.3 is not below 0.3"),
        (When(complexity_above=0.3), Signals(complexity=0.71), Outcome.HOLDS, "complexity 0.71 is above 0.3"),
        (
            When(intent=("code",), complexity_above=0.9),
            Signals(complexity=0.1),
            Outcome.FAILS,
            "complexity 0.1 is not above 0.9",
        ),
        (When(intent=()), Signals(), Outcome.UNKNOWN, "intent is unknown, nothing is wanted"),
    ],
)
def test_a_rule_says_what_decided_it(when, seen, outcome, because):
    verdict = judge(when, seen)
    assert (verdict.outcome, verdict.because) == (outcome, because)
