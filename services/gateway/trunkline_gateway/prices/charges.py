"""What of a request a provider charges for: one rule for limits, budgets and the ledger."""

from functools import lru_cache

from msgspec import structs

from trunkline_gateway.surface import UNCHARGED
from trunkline_gateway.turn import Tried, Turn
from trunkline_gateway.usage import Usage
from trunkline_kit.errors import KeyRevoked
from trunkline_policy.costs import MICROS_PER_SECOND, Counts, Tokens, classified

CHARGED = frozenset({"ok", "broken", "cancelled", KeyRevoked.reason})
"""Outcomes of requests whose last attempt the provider took on: to the end, until it broke, until the caller left, or
their key was revoked."""


def is_charged(turn: Turn) -> bool:
    """Whether the attempt that answered is charged for. Of the others only those are that were `wasted`.

    Nor by a request that the provider judged wrong, though that attempt is not one of the failures.
    """
    return turn.outcome in CHARGED and bool(turn.tried) and not turn.final.failed and turn.surface not in UNCHARGED


def wasted(turn: Turn) -> list[Tried]:
    """Attempts that were given up while the provider worked on them: it charges for those as well."""
    return [tried for tried in turn.tried if tried.is_wasted]


def said_tokens(pieces: int) -> int:
    """Of so many events of a stream. The first one is the role."""
    return max(0, pieces - 1)


@lru_cache(maxsize=64)  # The header with the cost and the row in the ledger ask about the same answer.
def reported(usage: Usage | None) -> Tokens | None:
    """A provider's counts as disjoint classes. An explicit 0 is a report; an object without any count is none."""
    if usage is None or (usage.prompt_tokens is None and usage.completion_tokens is None):
        return Tokens(searches=usage.searches) if usage is not None and usage.search_units is not None else None
    found = classified(
        Counts(
            prompt=usage.input_tokens,
            cache_read=usage.cached_tokens,
            cache_write=usage.cache_write_tokens,
            audio_input=usage.audio_input_tokens,
            image_input=usage.image_input_tokens,
            completion=usage.output_tokens,
            reasoning=usage.reasoning_tokens,
            audio_output=usage.audio_output_tokens,
            image_output=usage.image_output_tokens,
        )
    )
    return structs.replace(found, searches=usage.searches) if usage.searches else found


def lasted_us(turn: Turn, tried: Tried, loop_s: float) -> int:
    """How long an attempt took, to the microsecond; `loop_s` is now, on the loop's clock.

    A stream lasts until it was settled, a whole answer until it was there: what its caller does with it later does not
    count.
    """
    open_end = tried.ended_s is None or (turn.stream and not tried.failed and tried is turn.final)
    ended_s = loop_s if open_end or tried.ended_s is None else tried.ended_s
    return max(0, round((ended_s - tried.started_s) * MICROS_PER_SECOND))
