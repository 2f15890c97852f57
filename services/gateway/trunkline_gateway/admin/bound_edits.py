"""Putting one limit or budget into a spec, or taking it out. Pure."""

from typing import Literal, TypeVar

import msgspec

from trunkline_gateway.directory.objects import Spec
from trunkline_kit.accounts import PriceOverride
from trunkline_kit.errors import InvalidRequest, ObjectNotFound
from trunkline_kit.tenants import Budget, Limit, Period

Measure = Literal["requests", "tokens", "concurrent"]
MEASURES: tuple[Measure, ...] = ("requests", "tokens", "concurrent")

T = TypeVar("T")


def measure_of(limit: Limit) -> Measure:
    """What it limits. Raises InvalidRequest where that is not exactly one thing."""
    given = [name for name in MEASURES if getattr(limit, name) is not None]
    if len(given) != 1:
        raise InvalidRequest("a limit needs exactly one of requests, tokens, concurrent")
    return given[0]


def with_limit(spec: Spec, limit: Limit) -> Spec:
    """In place of the one of the same measure and window, or at the end."""
    slot = (measure_of(limit), limit.per_s)
    limits = _limits(spec)
    return msgspec.structs.replace(
        spec, limits=_placed(limits, [(measure_of(one), one.per_s) == slot for one in limits], limit)
    )


def without_limit(spec: Spec, measure: str, per_s: float | None) -> Spec:
    """Without those of this measure, or only that of one window. Raises ObjectNotFound where there is none."""
    limits = _limits(spec)
    kept = tuple(one for one in limits if measure_of(one) != measure or per_s not in {None, one.per_s})
    if len(kept) == len(limits):
        window = "" if per_s is None else f" per {per_s:g} s"
        raise ObjectNotFound(f"there is no limit of {measure}{window} to take away")
    return msgspec.structs.replace(spec, limits=kept)


def with_budget(spec: Spec, budget: Budget) -> Spec:
    """In place of the one of the same period, or at the end."""
    budgets = _budgets(spec)
    return msgspec.structs.replace(
        spec, budgets=_placed(budgets, [one.period is budget.period for one in budgets], budget)
    )


def without_budget(spec: Spec, period: Period) -> Spec:
    """Raises ObjectNotFound where there is none of this period."""
    budgets = _budgets(spec)
    kept = tuple(one for one in budgets if one.period is not period)
    if len(kept) == len(budgets):
        raise ObjectNotFound(f"there is no budget per {period.value} to take away")
    return msgspec.structs.replace(spec, budgets=kept)


def _placed(entries: tuple[T, ...], same: list[bool], new: T) -> tuple[T, ...]:
    """`new` where the first of the same is, and none of the others."""
    if True not in same:
        return (*entries, new)
    first = same.index(True)
    return tuple(
        new if at == first else entry
        for at, (entry, is_same) in enumerate(zip(entries, same, strict=True))
        if at == first or not is_same
    )


def _limits(spec: Spec) -> tuple[Limit, ...]:
    return () if isinstance(spec, PriceOverride) else spec.limits


def _budgets(spec: Spec) -> tuple[Budget, ...]:
    return () if isinstance(spec, PriceOverride) else spec.budgets
