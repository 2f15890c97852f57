"""What of a request a provider charges for: one rule for limits, budgets and the ledger."""

from trunkline_gateway.turn import Turn
from trunkline_gateway.usage import Usage
from trunkline_policy.costs import Tokens, classified

CHARGED = frozenset({"ok", "broken", "cancelled"})
"""Outcomes of requests whose last attempt the provider took on: to the end, until it broke, until the caller left."""


def is_charged(turn: Turn) -> bool:
    """Whether the last attempt is charged for. The others failed before they answered: nothing is used by those.

    Nor by a request that the provider judged wrong, though that attempt is not one of the failures.
    """
    return turn.outcome in CHARGED and bool(turn.tried) and not turn.tried[-1].failed


def reported(usage: Usage | None) -> Tokens | None:
    """A provider's counts as disjoint classes. An explicit 0 is a report; an object without any count is none."""
    if usage is None or (usage.prompt_tokens is None and usage.completion_tokens is None):
        return None
    return classified(
        prompt=usage.input_tokens,
        cache_read=usage.cached_tokens,
        cache_write=0,
        completion=usage.output_tokens,
        reasoning=usage.reasoning_tokens,
    )
