"""Traces of one process, bounded by traces, spans and bytes. Forgets on restart."""

from collections import OrderedDict
from collections.abc import Iterable

from msgspec import Struct

from trunkline_sre.config import Bounds
from trunkline_sre.spans import TRACE_OVERHEAD_BYTES, Span, SpanId, Summary, TraceId, size_of, summarise


class _Trace(Struct):
    """What arrived of one trace so far."""

    spans: dict[SpanId, Span] = {}
    size_bytes: int = TRACE_OVERHEAD_BYTES
    summary: Summary | None = None
    """As of the spans above; None when they have changed."""


class Usage(Struct, frozen=True, kw_only=True):
    """How full the store is."""

    traces: int
    spans: int
    size_bytes: int


class Added(Struct, frozen=True, kw_only=True):
    """What became of an export."""

    kept: int
    refused: int
    """Spans over the bound of their trace."""
    dropped_traces: int
    """Traces that had to go for room."""


class TraceStore:
    """Spans arrive in any order and maybe twice; a span sent again replaces itself."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._traces: OrderedDict[TraceId, _Trace] = OrderedDict()
        """The one that was silent longest first: a trace that is still being written is not dropped."""
        self._spans = 0
        self._size_bytes = 0

    def add(self, spans: Iterable[Span]) -> Added:
        """Keep `spans`, then drop whole traces until the bounds hold again."""
        kept = refused = 0
        for span in spans:
            if self._put(span):
                kept += 1
            else:
                refused += 1
        return Added(kept=kept, refused=refused, dropped_traces=self._trim())

    def resize(self, bounds: Bounds) -> int:
        """Take up other bounds; returns how many traces had to go."""
        self._bounds = bounds
        return self._trim()

    def summaries(self) -> list[Summary]:
        """A row for each trace, in no particular order. O(traces) where nothing has changed, else O(spans)."""
        return [self._summary(trace) for trace in self._traces.values()]

    def spans_of(self, trace_id: TraceId) -> list[Span]:
        """The spans of a trace by their start; empty if it is not held."""
        trace = self._traces.get(trace_id)
        return [] if trace is None else sorted(trace.spans.values(), key=lambda span: (span.started_ns, span.span_id))

    def usage(self) -> Usage:
        return Usage(traces=len(self._traces), spans=self._spans, size_bytes=self._size_bytes)

    def _put(self, span: Span) -> bool:
        trace = self._traces.get(span.trace_id)
        if trace is None:
            trace = self._traces[span.trace_id] = _Trace()
            self._size_bytes += TRACE_OVERHEAD_BYTES
        old = trace.spans.get(span.span_id)
        if old is None and len(trace.spans) >= self._bounds.trace_spans_limit:
            return False
        grown_bytes = size_of(span) - (0 if old is None else size_of(old))
        trace.spans[span.span_id] = span
        trace.size_bytes += grown_bytes
        trace.summary = None
        self._size_bytes += grown_bytes
        self._spans += old is None
        self._traces.move_to_end(span.trace_id)
        return True

    def _trim(self) -> int:
        dropped = 0
        while self._traces and (
            len(self._traces) > self._bounds.traces_limit or self._size_bytes > self._bounds.memory_limit_bytes
        ):
            _, trace = self._traces.popitem(last=False)
            self._spans -= len(trace.spans)
            self._size_bytes -= trace.size_bytes
            dropped += 1
        return dropped

    def _summary(self, trace: _Trace) -> Summary:
        if trace.summary is None:
            trace.summary = summarise(trace.spans.values())
        return trace.summary
