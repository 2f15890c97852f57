"""Spans of one service, and the W3C trace context that ties them together across processes.

Nothing is registered globally: a `Tracing` is passed on like any other collaborator. Without an exporter it makes no
spans, but still carries a caller's trace context to whatever is called next.
"""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, nullcontext
from types import TracebackType
from typing import Protocol

import grpc
import msgspec
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import INVALID_SPAN, NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode

from trunkline_kit import semconv
from trunkline_kit.lifecycle import background
from trunkline_kit.span_export import ExportOptions, SpanQueue, export_spans

TRACEPARENT = "traceparent"
"""Header and metadata key. W3C Trace Context, §3.2."""

_FORMAT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII | re.DOTALL)
_SAMPLED = 0x01

Attributes = Mapping[str, str | bool | int | float]


class TraceParent(msgspec.Struct, frozen=True):
    """Who called: a trace, the span in it, and whether that is recorded."""

    trace_id: int
    span_id: int
    sampled: bool


def parse_traceparent(text: str) -> TraceParent | None:
    """Read a `traceparent` value; None for anything invalid, which starts a new trace. W3C Trace Context, §3.2.2."""
    match = _FORMAT.fullmatch(text)
    if match is None:
        return None
    version, trace_id, span_id, flags, rest = match.groups()
    if version == "ff" or (version == "00" and rest is not None):
        return None
    if int(trace_id, 16) == 0 or int(span_id, 16) == 0:
        return None
    return TraceParent(int(trace_id, 16), int(span_id, 16), bool(int(flags, 16) & _SAMPLED))


def format_traceparent(parent: TraceParent) -> str:
    """Write it as version 00."""
    return f"00-{parent.trace_id:032x}-{parent.span_id:016x}-{int(parent.sampled):02x}"


def traceparent_of(context: SpanContext) -> str:
    """The value that makes `context` the parent of what is called with it."""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & _SAMPLED:02x}"


def current_traceparent() -> str:
    """The value for an outgoing HTTP request; empty outside of any trace."""
    context = trace.get_current_span().get_span_context()
    return traceparent_of(context) if context.is_valid else ""


class SpanScope:
    """Makes a span current for a block; ends it if it is ours.

    An exception marks it as failed, by class only: messages and stacks may hold what a caller wrote.
    """

    __slots__ = ("_ends", "_span", "_token")

    def __init__(self, span: Span, *, ends: bool) -> None:
        self._span = span
        self._ends = ends

    def __enter__(self) -> Span:
        self._token = otel_context.attach(trace.set_span_in_context(self._span))
        return self._span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        otel_context.detach(self._token)
        if not self._ends:
            return
        if kind is not None:
            self._span.set_attribute(semconv.ERROR_TYPE, getattr(kind, "reason", kind.__name__))
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


_NO_SPAN: AbstractContextManager[Span] = nullcontext(INVALID_SPAN)


class Tracing:
    """Makes the spans of one service. Without a tracer it only passes trace contexts on."""

    def __init__(self, tracer: trace.Tracer | None = None, exporter: SpanQueue | None = None) -> None:
        self.tracer = tracer
        self.exporter = exporter
        """Its `sent_spans`, `dropped_spans` and length are for metrics."""

    def span(
        self,
        name: str,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes | None = None,
        parent: str = "",
    ) -> AbstractContextManager[Span]:
        """A span for a `with` block, under the current one, or under the caller that a `parent` traceparent names.

        For a block that one task runs through; a span that outlives its function is `start`ed and ended by hand.
        """
        if self.tracer is None and not parent:
            return _NO_SPAN
        caller = _remote(parent)
        if self.tracer is None:
            return _NO_SPAN if caller is None else SpanScope(caller, ends=False)
        return SpanScope(self._start(name, kind, attributes, caller), ends=True)

    def start(
        self,
        name: str,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes | None = None,
        parent: str = "",
    ) -> Span:
        """A span that is not made current. Whoever starts it calls `end()`."""
        caller = _remote(parent)
        if self.tracer is None:
            return caller or trace.get_current_span()
        return self._start(name, kind, attributes, caller)

    def use(self, span: Span) -> AbstractContextManager[Span]:
        """Make a started span current for a block, without ending it."""
        return SpanScope(span, ends=False)

    def server_span(self, method: str, parent: str) -> AbstractContextManager[Span]:
        """The span of one served RPC; `method` as gRPC spells it, `/package.Service/Method`."""
        if self.tracer is None and not parent:
            return _NO_SPAN
        name = method.removeprefix("/")
        return self.span(name, kind=SpanKind.SERVER, attributes={semconv.RPC_SYSTEM: "grpc"}, parent=parent)

    def _start(self, name: str, kind: SpanKind, attributes: Attributes | None, caller: Span | None) -> Span:
        context = None if caller is None else trace.set_span_in_context(caller)
        if self.tracer is None:
            return INVALID_SPAN
        return self.tracer.start_span(name, context=context, kind=kind, attributes=attributes)


def _remote(traceparent: str) -> Span | None:
    parent = parse_traceparent(traceparent) if traceparent else None
    if parent is None:
        return None
    flags = trace.TraceFlags(_SAMPLED if parent.sampled else 0)
    return NonRecordingSpan(SpanContext(parent.trace_id, parent.span_id, is_remote=True, trace_flags=flags))


class Channels(Protocol):
    """What opens a channel by address; `trunkline_kit.rpc.Net` does."""

    def channel(self, target: str) -> AbstractAsyncContextManager[grpc.aio.Channel]:
        """A channel that closes with the block."""


@asynccontextmanager
async def open_tracing(
    service_name: str,
    channels: Channels,
    *,
    target: str | None,
    sample_ratio: float = 1.0,
    options: ExportOptions | None = None,
) -> AsyncIterator[Tracing]:
    """Spans of `service_name`, sent to the OTLP receiver at `target` until the block ends; what is left is flushed.

    A caller's decision to sample is followed; traces that begin here are sampled at `sample_ratio` (0..1). Without a
    target no spans are made. Give it a Net that is not `traced`, or each export would be traced too.
    """
    if target is None:
        yield Tracing()
        return
    options = options or ExportOptions()
    queue = SpanQueue(options)
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(sample_ratio)),
        resource=Resource({"service.name": service_name}),
        span_limits=SpanLimits(max_span_attributes=64, max_events=16, max_links=8, max_span_attribute_length=4096),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(queue)
    async with channels.channel(target) as channel, background(export_spans(queue, channel, options)) as exporter:
        try:
            yield Tracing(provider.get_tracer("trunkline"), queue)
        finally:
            queue.close()
            await exporter
