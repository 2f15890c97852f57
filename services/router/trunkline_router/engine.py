"""The decision: a route, what is known of the request, and out comes where it goes and why. No I/O, no clock.

A condition on a signal that nobody measured is neither true nor false. A rule holds only if all its conditions are
known to hold, so an unknown signal never sends a request anywhere by accident.
"""

from collections.abc import Iterator
from enum import Enum

from msgspec import Struct

from trunkline_kit.settings import Route, When

OTHERWISE = "otherwise"


class Signals(Struct, frozen=True, kw_only=True):
    """What is known of a request. None means that nothing measured it, or not surely enough."""

    intent: str | None = None
    """Label of the classifier."""
    complexity: float | None = None
    """0 (trivial) to 1 (hard)."""


class Outcome(Enum):
    """What a rule's conditions come to."""

    HOLDS = "holds"
    FAILS = "fails"
    UNKNOWN = "unknown"


class RuleVerdict(Struct, frozen=True):
    """One rule, judged on its own."""

    outcome: Outcome
    because: str
    """For people, such as `complexity 0.71 is not below 0.3`."""
    unknown: tuple[str, ...] = ()
    """Signals that were missing, if that left the rule undecided."""


class Decision(Struct, frozen=True, kw_only=True):
    """Where a request goes."""

    models: tuple[str, ...]
    """To try in this order."""
    rule: int | None
    """Position of the rule that decided; None for `otherwise`."""
    abstained: bool
    """`otherwise` was taken while a rule was left undecided: with more signals it might have been another way."""
    reasons: tuple[str, ...]
    """Slugs, the deciding one first: `rule:2`, `otherwise`, `intent-unknown`, `complexity-unknown`."""
    verdicts: tuple[RuleVerdict, ...]
    """Of every rule, those behind the deciding one too."""


def decide(route: Route, signals: Signals) -> Decision:
    """The first rule that holds decides, else `otherwise`."""
    verdicts = tuple(judge(rule.when, signals) for rule in route.rules)
    chosen = next((index for index, verdict in enumerate(verdicts) if verdict.outcome is Outcome.HOLDS), None)
    passed = verdicts[:chosen]
    missing = tuple(dict.fromkeys(f"{name}-unknown" for verdict in passed for name in verdict.unknown))
    return Decision(
        models=route.otherwise if chosen is None else route.rules[chosen].to,
        rule=chosen,
        abstained=chosen is None and bool(missing),
        reasons=(OTHERWISE if chosen is None else f"rule:{chosen}", *missing),
        verdicts=verdicts,
    )


def judge(when: When, signals: Signals) -> RuleVerdict:
    """All conditions must hold. One that fails settles it, even beside unknown ones."""
    conditions = list(_conditions(when, signals))
    for wanted in (Outcome.FAILS, Outcome.UNKNOWN):
        found = [condition for condition in conditions if condition.outcome is wanted]
        if found:
            unknown = tuple(dict.fromkeys(name for condition in found for name in condition.unknown))
            return RuleVerdict(wanted, "; ".join(condition.because for condition in found), unknown)
    because = "; ".join(condition.because for condition in conditions) or "no conditions"
    return RuleVerdict(Outcome.HOLDS, because)


def _conditions(when: When, signals: Signals) -> Iterator[RuleVerdict]:
    if when.intent is not None:
        yield _intent(when.intent, signals.intent)
    if when.complexity_below is not None:
        yield _complexity("below", when.complexity_below, signals.complexity)
    if when.complexity_above is not None:
        yield _complexity("above", when.complexity_above, signals.complexity)


def _intent(wanted: tuple[str, ...], intent: str | None) -> RuleVerdict:
    if intent is None:
        return RuleVerdict(Outcome.UNKNOWN, f"intent is unknown, {_any_of(wanted)} is wanted", ("intent",))
    if intent in wanted:
        return RuleVerdict(Outcome.HOLDS, f"intent is {intent}")
    return RuleVerdict(Outcome.FAILS, f"intent {intent} is not {_any_of(wanted)}")


def _complexity(side: str, bound: float, complexity: float | None) -> RuleVerdict:
    if complexity is None:
        return RuleVerdict(Outcome.UNKNOWN, f"complexity is unknown, {side} {bound:g} is wanted", ("complexity",))
    holds = complexity < bound if side == "below" else complexity > bound
    if holds:
        return RuleVerdict(Outcome.HOLDS, f"complexity {complexity:g} is {side} {bound:g}")
    return RuleVerdict(Outcome.FAILS, f"complexity {complexity:g} is not {side} {bound:g}")


def _any_of(labels: tuple[str, ...]) -> str:
    return " or ".join(labels) or "nothing"
