"""Numbers and spans of the gateway. Labels come from closed sets: configuration and enums, never from callers."""

import logging

from opentelemetry.trace import Span, Status, StatusCode, format_trace_id
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from trunkline_gateway.fleet.arms import ArmMeters
from trunkline_gateway.plan import Target
from trunkline_gateway.providers.base import AttemptFailed
from trunkline_gateway.surface import OPERATIONS
from trunkline_gateway.turn import Turn
from trunkline_kit import semconv
from trunkline_kit.errors import TrunklineError

log = logging.getLogger(__name__)

_DURATION_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class Meters:
    """Everything the gateway counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "trunkline_gateway_requests",
            "Requests, by surface, how they ended and class of HTTP status.",
            ("surface", "outcome", "status"),
            registry=registry,
        )
        self._duration = Histogram(
            "trunkline_gateway_request_duration_seconds",
            "From the request's head to the last byte of its answer.",
            ("surface", "stream"),
            buckets=_DURATION_BUCKETS_S,
            registry=registry,
        )
        self._first_token = Histogram(
            "trunkline_gateway_time_to_first_token_seconds",
            "From the request's head to the first meaningful event of a stream.",
            ("surface",),
            buckets=_DURATION_BUCKETS_S,
            registry=registry,
        )
        self.in_flight = Gauge("trunkline_gateway_requests_in_flight", "Requests under way.", registry=registry)
        self._attempts = Counter(
            "trunkline_gateway_upstream_attempts",
            "Attempts at providers, by outcome.",
            ("provider", "outcome"),
            registry=registry,
        )
        self._arms = ArmMeters(registry)
        self._broken, self._malformed = _of_streams(registry)
        self._tokens = Counter(
            "trunkline_gateway_tokens",
            "Tokens reported by providers: input, output, and cached and reasoning as parts of those.",
            ("provider", "class"),
            registry=registry,
        )
        self._checks = Counter(
            "trunkline_gateway_checks",
            "Calls to guardrails, cache and router, by result.",
            ("service", "result"),
            registry=registry,
        )

    def attempt(self, provider: str, outcome: str) -> None:
        self._attempts.labels(provider, outcome).inc()

    def broken(self, provider: str) -> None:
        self._broken.labels(provider).inc()

    def malformed(self, provider: str, events: int) -> None:
        if events:
            self._malformed.labels(provider).inc(events)

    def check(self, service: str, result: str) -> None:
        self._checks.labels(service, result).inc()

    def settle(self, turn: Turn, took_s: float) -> None:
        """Count a request that is over."""
        surface = turn.surface.value
        self._requests.labels(surface, turn.outcome, f"{turn.status // 100}xx").inc()
        self._duration.labels(surface, "true" if turn.stream else "false").observe(took_s)
        self._arms.settle(turn, took_s)
        if turn.first_token_s is not None:
            self._first_token.labels(surface).observe(turn.first_token_s)
        if turn.usage is not None and turn.target is not None and turn.cache != "hit":
            self._count_tokens(turn.target.provider, turn)

    def _count_tokens(self, provider: str, turn: Turn) -> None:
        usage = turn.usage
        if usage is None:
            return
        counts = (
            ("input", usage.input_tokens),
            ("output", usage.output_tokens),
            ("cached", usage.cached_tokens),
            ("reasoning", usage.reasoning_tokens),
        )
        for name, count in counts:
            if count > 0:
                self._tokens.labels(provider, name).inc(count)


def _of_streams(registry: CollectorRegistry) -> tuple[Counter, Counter]:
    """Those that broke, and events that were left out."""
    broken = Counter(
        "trunkline_gateway_broken_streams",
        "Streams that ended with an error after they had begun.",
        ("provider",),
        registry=registry,
    )
    malformed = Counter(
        "trunkline_gateway_malformed_events",
        "Events of streams that made no sense and were left out.",
        ("provider",),
        registry=registry,
    )
    return broken, malformed


def describe(span: Span, turn: Turn) -> None:
    """What is known of a request, onto its span."""
    if not span.is_recording():
        return
    span.set_attribute(semconv.TRUNKLINE_REQUEST_ID, turn.request_id)
    span.set_attribute(semconv.TRUNKLINE_KEY_ID, turn.principal.key_id)
    span.set_attribute(semconv.TRUNKLINE_TEAM, turn.principal.team)
    for name, value in (
        (semconv.TRUNKLINE_ROUTE, turn.route),
        (semconv.TRUNKLINE_CACHE, turn.cache),
        (semconv.TRUNKLINE_GUARDRAILS, turn.guardrails),
    ):
        if value:
            span.set_attribute(name, value)
    _describe_model(span, turn, turn.target)
    if turn.usage is not None:
        span.set_attribute(semconv.GEN_AI_USAGE_INPUT_TOKENS, turn.usage.input_tokens)
        span.set_attribute(semconv.GEN_AI_USAGE_OUTPUT_TOKENS, turn.usage.output_tokens)
    if turn.outcome not in {"ok", "cached"}:
        span.set_attribute(semconv.ERROR_TYPE, turn.outcome)
        span.set_status(Status(StatusCode.ERROR))


def end_attempt_span(span: Span, turn: Turn, target: Target, error: BaseException | None) -> None:
    """An attempt's span ends when its answer has begun (or is whole): the rest of a stream is the request's."""
    if span.is_recording():
        span.set_attribute(semconv.TRUNKLINE_ATTEMPT, turn.attempts)
        _describe_model(span, turn, target)
        if error is not None:
            span.set_attribute(semconv.ERROR_TYPE, reason_of(error))
            span.set_status(Status(StatusCode.ERROR))
    span.end()


def _describe_model(span: Span, turn: Turn, target: Target | None) -> None:
    span.set_attribute(semconv.GEN_AI_OPERATION_NAME, OPERATIONS[turn.surface])
    if target is not None:
        span.set_attribute(semconv.GEN_AI_PROVIDER_NAME, target.provider)
        span.set_attribute(semconv.GEN_AI_REQUEST_MODEL, target.provider_model)


def trace_id_of(span: Span) -> str:
    """As W3C writes it; empty where there is no trace."""
    context = span.get_span_context()
    return format_trace_id(context.trace_id) if context.is_valid else ""


def reason_of(error: BaseException) -> str:
    """A stable word for an error."""
    if isinstance(error, AttemptFailed):
        return error.error.reason
    return error.reason if isinstance(error, TrunklineError) else type(error).__name__


def log_turn(turn: Turn, took_s: float) -> None:
    """One line per request: who, what, how it ended. Never content."""
    level = logging.WARNING if turn.status >= 500 or turn.outcome == "broken" else logging.INFO
    if not log.isEnabledFor(level):
        return
    target = turn.target
    log.log(
        level,
        "request",
        extra={
            "request_id": turn.request_id,
            "surface": turn.surface.value,
            "outcome": turn.outcome,
            "status": turn.status,
            "key_id": turn.principal.key_id,
            "team": turn.principal.team,
            "model": target.model if target else turn.model[:128],
            "provider": target.provider if target else "",
            "attempts": turn.attempts,
            "took_ms": round(took_s * 1000, 3),
            "input_tokens": turn.usage.input_tokens if turn.usage else 0,
            "output_tokens": turn.usage.output_tokens if turn.usage else 0,
        },
    )
