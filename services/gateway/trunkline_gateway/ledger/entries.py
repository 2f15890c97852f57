"""From a finished request to its rows. Pure: one row for each attempt, or one for an answer from the cache."""

from collections.abc import Sequence
from uuid import UUID

import msgspec
from msgspec import structs

from trunkline_gateway.ledger.rows import (
    BROKEN,
    CACHED,
    CANCELLED,
    ERROR_PREFIX,
    ESTIMATED,
    NOTHING,
    OK,
    REPORTED,
    AttemptRow,
    plain,
)
from trunkline_gateway.prices.charges import is_charged, reported
from trunkline_gateway.prices.pricing import Cost, Pricing
from trunkline_gateway.turn import Tried, Turn
from trunkline_policy import estimates
from trunkline_policy.costs import Tokens

_MICROS = 1_000_000


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """What the rows of a request need besides the request."""

    now_s: float
    """Seconds since the epoch."""
    loop_s: float
    """The same moment on the loop's clock, on which attempts were timed."""
    body: bytes
    """The caller's, for estimates."""
    trace_id: str
    ids: Sequence[UUID]
    """One for each row."""


class Used(msgspec.Struct, frozen=True):
    """Tokens and how they are known."""

    tokens: Tokens
    source: str


NOT_USED = Used(Tokens(), NOTHING)


def rows_needed(turn: Turn) -> int:
    """How many rows a request makes."""
    return 1 if turn.outcome == CACHED else len(turn.tried)


def rows_of(turn: Turn, pricing: Pricing, ending: Ending) -> list[AttemptRow]:
    """In the order of the attempts. None for a request that was refused before anything was asked."""
    if turn.outcome == CACHED:
        return [_cached(turn, ending)]
    return [_row(turn, tried, pricing, ending, index) for index, tried in enumerate(turn.tried)]


def used_by(turn: Turn, tried: Tried, body: bytes) -> Used:
    """What an attempt is charged for: as the provider says, an explicit 0 included; else by what was counted.

    Only the last attempt of a request has anything: the others failed before their first meaningful event.
    """
    if tried is not turn.tried[-1] or not is_charged(turn):
        return NOT_USED
    told = reported(turn.usage)
    if told is not None:
        return Used(told, REPORTED)
    size_bytes = estimates.text_bytes(body)
    read = estimates.input_tokens(size_bytes, estimates.PRIORS[estimates.script_of(body)])
    # The first piece of a stream is the role.
    said = turn.said_tokens or max(0, turn.pieces - 1)
    return Used(Tokens(uncached_input=read, output=said), ESTIMATED)


def outcome_of(turn: Turn, tried: Tried) -> str:
    """How an attempt ended."""
    if tried.failed:
        return f"{ERROR_PREFIX}{tried.failed}"
    if turn.outcome == "ok":
        return OK
    if turn.outcome == "broken":
        return BROKEN
    return CANCELLED if turn.outcome == "cancelled" else f"{ERROR_PREFIX}{turn.outcome}"


def _row(turn: Turn, tried: Tried, pricing: Pricing, ending: Ending, index: int) -> AttemptRow:
    outcome = outcome_of(turn, tried)
    used = used_by(turn, tried, ending.body)
    ended_s = ending.loop_s if tried.ended_s is None or tried is turn.tried[-1] else tried.ended_s
    started_s = ending.now_s - (ending.loop_s - tried.started_s)
    target = tried.target
    cost = Cost(cost_nusd=0, version="")
    if used.source != NOTHING:
        cost = pricing.cost(target.provider, target.provider_model, used.tokens, started_s)
    has_first = turn.stream and tried.ended_s is not None and not tried.failed
    return structs.replace(
        _of_request(turn, ending, index, started_s),
        attempt=index + 1,
        model=target.model,
        provider=target.provider,
        provider_model=plain(target.provider_model),
        uncached_input_tokens=used.tokens.uncached_input,
        cache_read_tokens=used.tokens.cache_read,
        cache_write_tokens=used.tokens.cache_write,
        output_tokens=used.tokens.output,
        reasoning_tokens=used.tokens.reasoning,
        usage_source=used.source,
        price_version=plain(cost.version),
        cost_nusd=cost.cost_nusd,
        unpriced=cost.unpriced,
        latency_us=round((ended_s - tried.started_s) * _MICROS),
        ttft_us=round((tried.ended_s - tried.started_s) * _MICROS) if has_first and tried.ended_s else None,
        outcome=plain(outcome),
    )


def _cached(turn: Turn, ending: Ending) -> AttemptRow:
    """Nobody was asked: no provider, no cost; the tokens are those that were saved."""
    tokens = reported(turn.usage) or Tokens()
    return structs.replace(
        _of_request(turn, ending, 0, ending.now_s - turn.took_s),
        uncached_input_tokens=tokens.uncached_input,
        cache_read_tokens=tokens.cache_read,
        output_tokens=tokens.output,
        reasoning_tokens=tokens.reasoning,
        latency_us=round(turn.took_s * _MICROS),
        outcome=CACHED,
    )


def _of_request(turn: Turn, ending: Ending, index: int, started_s: float) -> AttemptRow:
    """What all rows of a request have in common."""
    who = turn.principal
    return AttemptRow(
        attempt_id=ending.ids[index],
        started_us=round(started_s * _MICROS),
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
        trace_id=ending.trace_id,
    )
