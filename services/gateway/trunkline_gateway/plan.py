"""Where a request may go, and where it goes next after a failure. Pure: failures and dice in, the next step out."""

from collections.abc import Iterator, Sequence
from enum import Enum

import msgspec

from trunkline_policy import backoff, weighted


class Target(msgspec.Struct, frozen=True):
    """One deployment of one model."""

    model: str
    """The public name."""
    provider: str
    """A key of `providers:`."""
    provider_model: str
    weight: float = 1.0


class FailureKind(Enum):
    """What a failed attempt says about trying that target again. The value is its label in metrics."""

    BROKEN = "broken"
    """Refused, cut off, or an error of the provider's own: may work a moment later."""
    SILENT = "timeout"
    """A clock ran out: trying again would only double the wait."""
    LIMITED = "rate_limited"
    """Over the provider's rate."""
    UNFIT = "unfit"
    """Wrong credentials, no such model, or a feature it does not have: the same again every time."""


class Failure(msgspec.Struct, frozen=True):
    target: Target
    kind: FailureKind


class Step(msgspec.Struct, frozen=True):
    """The next attempt."""

    target: Target
    wait_s: float = 0.0


def order(groups: Sequence[Sequence[Target]], rolls: Iterator[float]) -> tuple[Target, ...]:
    """Targets in the order they are tried: group after group (the model, then each fallback), by weight inside each.

    A target that is in several groups keeps its first place.
    """
    ordered: dict[Target, None] = {}
    for group in groups:
        if len(group) == 1:
            ordered[group[0]] = None
            continue
        chosen = weighted.order([target.weight for target in group], [next(rolls) for _ in group])
        ordered.update((group[index], None) for index in chosen)
    return tuple(ordered)


def next_step(
    targets: Sequence[Target], failures: Sequence[Failure], max_attempts: int, roll: float = 0.0
) -> Step | None:
    """The attempt after `failures`, None when nothing is left to try.

    First every target once, in order and at once. Then those again that only ever broke, the least tried first, each
    round after a longer pause. Retries and fallbacks share one budget of `max_attempts`.
    """
    if len(failures) >= max_attempts:
        return None
    tried: dict[Target, int] = {}
    hopeless = set()
    for failure in failures:
        tried[failure.target] = tried.get(failure.target, 0) + 1
        if failure.kind is not FailureKind.BROKEN:
            hopeless.add(failure.target)
    for target in targets:
        if target not in tried:
            return Step(target)
    again = [target for target in targets if target not in hopeless]
    if not again:
        return None
    chosen = min(again, key=tried.__getitem__)
    return Step(chosen, backoff.delay_s(tried[chosen] - 1, roll))
