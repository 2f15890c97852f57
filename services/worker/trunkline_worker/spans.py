"""Where a generation's time went, as three spans under the call's own: queue, prefill, decode.

They are made when the answer is done, from the times that the engine took, so a request costs nothing more before.
"""

from __future__ import annotations

from opentelemetry import trace

from trunkline_kit import semconv
from trunkline_kit.tracing import Attributes, Tracing
from trunkline_worker.generation import Delta

_NS_PER_MS = 1_000_000


def record_phases(tracing: Tracing, last: Delta, ended_s: float) -> None:
    """The spans of a generation whose last delta came at `ended_s`, seconds since the epoch. Nothing if not sampled."""
    tracer, timing = tracing.tracer, last.timing
    if tracer is None or timing is None or not trace.get_current_span().is_recording():
        return
    usage = last.usage
    ended_ns = int(ended_s * 1000) * _NS_PER_MS
    prefilled_ns = ended_ns - int(timing.decode_ms * _NS_PER_MS)
    started_ns = prefilled_ns - int(timing.prefill_ms * _NS_PER_MS)
    arrived_ns = started_ns - int(timing.queue_ms * _NS_PER_MS)
    prompt: Attributes = {
        semconv.GEN_AI_USAGE_INPUT_TOKENS: usage.prompt_tokens,
        semconv.TRUNKLINE_CACHED_TOKENS: usage.cached_tokens,
    }
    phases: tuple[tuple[str, int, int, Attributes], ...] = (
        ("queue", arrived_ns, started_ns, {}),
        ("prefill", started_ns, prefilled_ns, prompt),
        ("decode", prefilled_ns, ended_ns, {semconv.GEN_AI_USAGE_OUTPUT_TOKENS: usage.completion_tokens}),
    )
    for name, begin_ns, end_ns, attributes in phases:
        tracer.start_span(name, start_time=begin_ns, attributes=attributes).end(end_ns)
