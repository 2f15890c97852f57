"""A span as we keep it, and what a trace comes to. Pure."""

from collections.abc import Iterable
from typing import NewType

from msgspec import Struct

TraceId = NewType("TraceId", str)
"""32 hexadecimal digits."""
SpanId = NewType("SpanId", str)
"""16 hexadecimal digits."""

TRACE_OVERHEAD_BYTES = 560
SPAN_OVERHEAD_BYTES = 720
ATTRIBUTE_OVERHEAD_BYTES = 130
"""Objects and table rows around the texts; all three measured with tracemalloc on CPython 3.11, 64 bit."""


class Span(Struct, frozen=True, kw_only=True):
    """One span. Times are nanoseconds since the epoch, by the clock of the service that sent it."""

    trace_id: TraceId
    span_id: SpanId
    parent_id: SpanId | None
    name: str
    service: str
    started_ns: int
    ended_ns: int
    failed: bool
    status_message: str = ""
    attributes: dict[str, str] = {}

    @property
    def duration_ms(self) -> float:
        """Never negative, whatever the sender's clock did."""
        return max(0, self.ended_ns - self.started_ns) / 1e6


class Summary(Struct, frozen=True, kw_only=True):
    """A trace in one row."""

    trace_id: TraceId
    root_name: str
    root_service: str
    started_ns: int
    duration_ms: float
    """Of the root span."""
    spans: int
    failed: bool
    """Whether any span failed, also one whose failure a retry made good."""
    services: frozenset[str]


def root_of(spans: Iterable[Span]) -> Span:
    """The earliest span whose parent is not here: the caller's own part of a trace is never sent to us.

    If all have a parent here (a loop, which only a broken sender makes), the earliest one.
    """
    held = {span.span_id: span for span in spans}
    tops = [span for span in held.values() if span.parent_id is None or span.parent_id not in held]
    return min(tops or held.values(), key=lambda span: (span.started_ns, span.span_id))


def summarise(spans: Iterable[Span]) -> Summary:
    """The row of a trace that has at least one span."""
    held = list(spans)
    root = root_of(held)
    return Summary(
        trace_id=root.trace_id,
        root_name=root.name,
        root_service=root.service,
        started_ns=root.started_ns,
        duration_ms=root.duration_ms,
        spans=len(held),
        failed=any(span.failed for span in held),
        services=frozenset(span.service for span in held),
    )


def size_of(span: Span) -> int:
    """Bytes that a span is counted with."""
    texts = (span.name, span.service, span.status_message, *span.attributes, *span.attributes.values())
    overhead_bytes = SPAN_OVERHEAD_BYTES + ATTRIBUTE_OVERHEAD_BYTES * len(span.attributes)
    return overhead_bytes + sum(len(text.encode()) for text in texts)
