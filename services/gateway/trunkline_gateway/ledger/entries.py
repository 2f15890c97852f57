"""From a request to its rows: one for each attempt, at its beginning and at its end, or one for a cached answer. Pure.

A row has the same id and the same start from its attempt's beginning on: whichever of its versions comes to the table
first is the one that stays.
"""

from uuid import UUID

import msgspec
from msgspec import structs

from trunkline_gateway.ledger.rows import (
    BROKEN,
    CACHED,
    CANCELLED,
    ERROR_PREFIX,
    ESTIMATED,
    FAILOVER,
    FALLBACK,
    HEDGE,
    HEDGE_LOST,
    LOST,
    NOTHING,
    OK,
    REPORTED,
    RETRY,
    REVOKED,
    TAGS_MAX,
    AttemptRow,
    plain,
)
from trunkline_gateway.ledger.slots import Found
from trunkline_gateway.prices.charges import is_charged, lasted_us, reported, said_tokens
from trunkline_gateway.prices.pricing import Billing, Cost, Pricing
from trunkline_gateway.turn import Tried, Turn
from trunkline_kit.errors import KeyRevoked
from trunkline_policy import estimates
from trunkline_policy.costs import Tokens

_MICROS = 1_000_000
_MILLIS = 1_000
NO_ID = UUID(int=0)
"""Of attempts that nobody writes down."""


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """What the rows of a request need besides the request."""

    now_s: float
    """Seconds since the epoch."""
    loop_s: float
    """The same moment on the loop's clock, on which attempts were timed."""
    body: bytes
    """The caller's, for estimates."""
    cached_id: UUID = NO_ID
    """For an answer from the cache, which is no attempt."""


class Used(msgspec.Struct, frozen=True):
    """Tokens and how they are known."""

    tokens: Tokens
    source: str


_ENDS = {"ok": OK, "broken": BROKEN, "cancelled": CANCELLED, KeyRevoked.reason: REVOKED}
"""Outcomes of requests whose last attempt is charged for, as rows have them; all others are errors."""
NOT_USED = Used(Tokens(), NOTHING)


def opened(turn: Turn) -> AttemptRow:
    """The attempt that is about to be sent, as it is if nobody ever says how it ended. `closed` gives it its cost."""
    tried = turn.tried[-1]
    return structs.replace(
        _of_request(turn, tried.attempt_id or NO_ID, tried.started_us),
        attempt=len(turn.tried),
        model=tried.target.model,
        provider=tried.target.provider,
        provider_model=plain(tried.target.provider_model),
        reason=reason_of(turn, len(turn.tried) - 1),
        uncached_input_tokens=turn.read_tokens,
        usage_source=ESTIMATED,
        outcome=LOST,
    )


def closed(found: Found, pricing: Pricing) -> AttemptRow:
    """The row of an attempt whose gateway died: settled, as it is; lost in flight, charged for what was counted."""
    row = found.row
    if found.is_settled:
        return row
    tokens = Tokens(uncached_input=row.uncached_input_tokens, output=said_tokens(found.pieces))
    duration_us = found.elapsed_ms * _MILLIS
    billing = Billing(team=row.team, duration_us=duration_us)
    cost = pricing.cost(row.provider, row.provider_model, tokens, row.started_us / _MICROS, billing)
    return structs.replace(
        row,
        output_tokens=tokens.output,
        latency_us=duration_us,
        price_version=plain(cost.version),
        cost_nusd=cost.cost_nusd,
        unpriced=cost.unpriced,
    )


def rows_of(turn: Turn, pricing: Pricing, ending: Ending) -> list[AttemptRow]:
    """In the order of the attempts. None for a request that was refused before anything was asked."""
    if turn.outcome == CACHED:
        return [_cached(turn, ending)]
    return [_row(turn, tried, pricing, ending, index) for index, tried in enumerate(turn.tried)]


def read_tokens(turn: Turn, body: bytes) -> int:
    """Of the request: as it was estimated for its limits, where it has any, else by the size of its body."""
    estimate = turn.reservation.estimate if turn.reservation is not None else None
    if estimate is not None:
        return estimate.input_tokens
    return estimates.input_tokens(estimates.text_bytes(body), estimates.PRIORS[estimates.script_of(body)])


def used_by(turn: Turn, tried: Tried, body: bytes) -> Used:
    """What an attempt is charged for: as the provider says, an explicit 0 included; else by what was counted.

    The others of a request failed before they had begun to answer, unless they were wasted.
    """
    if tried.is_wasted:
        owed = reported(tried.owed)
        if owed is not None:
            return Used(owed, REPORTED)
        read = turn.read_tokens or read_tokens(turn, body)
        return Used(Tokens(uncached_input=read, output=said_tokens(tried.pieces)), ESTIMATED)
    if tried is not turn.final or not is_charged(turn):
        return NOT_USED
    told = reported(turn.usage)
    if told is not None:
        return Used(told, REPORTED)
    read = turn.read_tokens or read_tokens(turn, body)
    return Used(Tokens(uncached_input=read, output=turn.said_tokens or said_tokens(turn.pieces)), ESTIMATED)


def outcome_of(turn: Turn, tried: Tried) -> str:
    """How an attempt ended."""
    if tried.failed == HEDGE_LOST:
        return HEDGE_LOST
    if tried.failed:
        return f"{ERROR_PREFIX}{tried.failed}"
    return _ENDS.get(turn.outcome) or f"{ERROR_PREFIX}{turn.outcome}"


def reason_of(turn: Turn, index: int) -> str:
    """Why this attempt went where it went; empty for the first."""
    target = turn.tried[index].target
    before = [tried.target for tried in turn.tried[:index]]
    if not before:
        return ""
    if turn.tried[index].is_hedge:
        return HEDGE
    if target in before:
        return RETRY
    return FAILOVER if target.model == before[0].model else FALLBACK


def _row(turn: Turn, tried: Tried, pricing: Pricing, ending: Ending, index: int) -> AttemptRow:
    used = used_by(turn, tried, ending.body)
    tokens, target = used.tokens, tried.target
    started_us = tried.started_us or _started_us(ending, tried)
    duration_us = lasted_us(turn, tried, ending.loop_s)
    cost = Cost(cost_nusd=0, version="")
    if used.source != NOTHING:
        billing = Billing(team=turn.principal.team, duration_us=duration_us)
        cost = pricing.cost(target.provider, target.provider_model, tokens, started_us / _MICROS, billing)
    has_first = turn.stream and tried.ended_s is not None and not tried.failed
    return structs.replace(
        _of_request(turn, tried.attempt_id or NO_ID, started_us),
        attempt=index + 1,
        model=target.model,
        provider=target.provider,
        provider_model=plain(target.provider_model),
        reason=reason_of(turn, index),
        uncached_input_tokens=tokens.uncached_input,
        cache_read_tokens=tokens.cache_read,
        cache_write_tokens=tokens.cache_write,
        output_tokens=tokens.output,
        reasoning_tokens=tokens.reasoning,
        audio_input_tokens=tokens.audio_input,
        audio_output_tokens=tokens.audio_output,
        image_input_tokens=tokens.image_input,
        image_output_tokens=tokens.image_output,
        search_units=tokens.searches,
        usage_source=used.source,
        price_version=plain(cost.version),
        cost_nusd=cost.cost_nusd,
        unpriced=cost.unpriced,
        latency_us=duration_us,
        ttft_us=round((tried.ended_s - tried.started_s) * _MICROS) if has_first and tried.ended_s else None,
        outcome=plain(outcome_of(turn, tried)),
    )


def _started_us(ending: Ending, tried: Tried) -> int:
    return round((ending.now_s - (ending.loop_s - tried.started_s)) * _MICROS)


def _cached(turn: Turn, ending: Ending) -> AttemptRow:
    """Nobody was asked: no provider, no cost; the tokens are those that were saved."""
    tokens = reported(turn.usage) or Tokens()
    return structs.replace(
        _of_request(turn, ending.cached_id, round((ending.now_s - turn.took_s) * _MICROS)),
        uncached_input_tokens=tokens.uncached_input,
        cache_read_tokens=tokens.cache_read,
        output_tokens=tokens.output,
        reasoning_tokens=tokens.reasoning,
        latency_us=round(turn.took_s * _MICROS),
        outcome=CACHED,
    )


def _of_request(turn: Turn, attempt_id: UUID, started_us: int) -> AttemptRow:
    """What all rows of a request have in common."""
    who = turn.principal
    return AttemptRow(
        attempt_id=attempt_id,
        started_us=started_us,
        request_id=plain(turn.request_id),
        attempt=0,
        org=who.org,
        team=who.team,
        project=who.project,
        key_id=who.key_id,
        end_user=plain(turn.end_user),
        surface=turn.surface.value,
        model_asked=plain(turn.model),
        model=plain(turn.model),
        provider="",
        provider_model="",
        route=plain(turn.route),
        streamed=turn.stream,
        cache=turn.cache,
        guardrails=plain(turn.guardrails),
        trace_id=turn.trace_id,
        tags=tuple(map(plain, turn.tags[:TAGS_MAX])),
    )
