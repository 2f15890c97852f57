"""From OTLP to our spans. Source: opentelemetry-proto 1.x, `trace/v1/trace.proto` and `common/v1/common.proto`."""

from collections.abc import Iterable

import msgspec
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from trunkline_sre.config import SpanLimits
from trunkline_sre.spans import Span, SpanId, TraceId

TRACE_ID_BYTES = 16
SPAN_ID_BYTES = 8
SERVICE_NAME = "service.name"
UNKNOWN_SERVICE = "unknown_service"
"""What OpenTelemetry calls a resource without a name."""
NESTING_MAX = 8
"""Of arrays and maps in an attribute; deeper ones are cut off."""


class Decoded(msgspec.Struct, frozen=True):
    """What an export held."""

    spans: tuple[Span, ...]
    invalid: int
    """Spans without a usable id: they could be neither found nor put in a trace."""


def decode(request: ExportTraceServiceRequest, limits: SpanLimits) -> Decoded:
    """Every span of an export, cut to `limits`. Events and links are not kept."""
    spans: list[Span] = []
    invalid = 0
    for resource_spans in request.resource_spans:
        service = _service(resource_spans.resource.attributes, limits)
        for scope_spans in resource_spans.scope_spans:
            for sent in scope_spans.spans:
                if _usable(sent.trace_id, TRACE_ID_BYTES) and _usable(sent.span_id, SPAN_ID_BYTES):
                    spans.append(_span(sent, service, limits))
                else:
                    invalid += 1
    return Decoded(tuple(spans), invalid)


def _span(sent: trace_pb2.Span, service: str, limits: SpanLimits) -> Span:
    return Span(
        trace_id=TraceId(sent.trace_id.hex()),
        span_id=SpanId(sent.span_id.hex()),
        parent_id=SpanId(sent.parent_span_id.hex()) if _usable(sent.parent_span_id, SPAN_ID_BYTES) else None,
        name=_cut(sent.name, limits),
        service=service,
        started_ns=sent.start_time_unix_nano,
        ended_ns=sent.end_time_unix_nano,
        failed=sent.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
        status_message=_cut(sent.status.message, limits),
        attributes={
            _cut(pair.key, limits): text_of(pair.value, limits) for pair in sent.attributes[: limits.attributes]
        },
    )


def text_of(value: AnyValue, limits: SpanLimits) -> str:
    """An attribute as text: strings as they are, everything else as JSON, bytes in hexadecimal."""
    tree = _tree(value, NESTING_MAX)
    return _cut(tree if isinstance(tree, str) else msgspec.json.encode(tree).decode(), limits)


def _tree(value: AnyValue, depth: int) -> object:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_tree(item, depth - 1) for item in value.array_value.values] if depth else []
    if kind == "kvlist_value":
        return {pair.key: _tree(pair.value, depth - 1) for pair in value.kvlist_value.values} if depth else {}
    if kind == "bytes_value":
        return value.bytes_value.hex()
    return None if kind is None else getattr(value, kind)


def _service(attributes: Iterable[KeyValue], limits: SpanLimits) -> str:
    names = (text_of(pair.value, limits) for pair in attributes if pair.key == SERVICE_NAME)
    return next(names, "") or UNKNOWN_SERVICE


def _usable(identifier: bytes, size_bytes: int) -> bool:
    """Ids of another length, or of zeros only, are invalid. W3C Trace Context, §3.2.2."""
    return len(identifier) == size_bytes and any(identifier)


def _cut(text: str, limits: SpanLimits) -> str:
    return text[: limits.text_chars]
