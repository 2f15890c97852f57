import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2

from trunkline_sre.config import SpanLimits
from trunkline_sre.otlp import decode, text_of

LIMITS = SpanLimits()


def text(value):
    return AnyValue(string_value=value)


def export(*spans, service="gateway"):
    attributes = [KeyValue(key="service.name", value=text(service))] if service else []
    return ExportTraceServiceRequest(
        resource_spans=[
            trace_pb2.ResourceSpans(
                resource=Resource(attributes=attributes), scope_spans=[trace_pb2.ScopeSpans(spans=spans)]
            )
        ]
    )


def sent(**changes):
    given = {
        "trace_id": b"\1" * 16,
        "span_id": b"\2" * 8,
        "name": "chat",
        "start_time_unix_nano": 1_000,
        "end_time_unix_nano": 2_001_000,
    }
    return trace_pb2.Span(**(given | changes))


def test_a_span_is_taken_over_field_by_field():
    failed = trace_pb2.Status(code=trace_pb2.Status.STATUS_CODE_ERROR, message="broke")
    attributes = [KeyValue(key="model", value=text("m")), KeyValue(key="tokens", value=AnyValue(int_value=7))]
    request = export(sent(parent_span_id=b"\3" * 8, status=failed, attributes=attributes))
    decoded = decode(request, LIMITS)
    (span,) = decoded.spans
    assert decoded.invalid == 0
    assert (span.trace_id, span.span_id, span.parent_id) == ("01" * 16, "02" * 8, "03" * 8)
    assert (span.name, span.service, span.started_ns, span.duration_ms) == ("chat", "gateway", 1_000, 2.0)
    assert (span.failed, span.status_message) == (True, "broke")
    assert span.attributes == {"model": "m", "tokens": "7"}


@pytest.mark.parametrize(
    "changes",
    [
        {"trace_id": b""},
        {"trace_id": bytes(16)},
        {"trace_id": b"\1" * 8},
        {"span_id": b""},
        {"span_id": bytes(8)},
        {"span_id": b"\1" * 16},
    ],
)
def test_a_span_without_a_usable_id_is_refused_and_its_neighbours_are_not(changes):
    decoded = decode(export(sent(**changes), sent()), LIMITS)
    assert (len(decoded.spans), decoded.invalid) == (1, 1)


@pytest.mark.parametrize("parent", [b"", bytes(8), b"\1\2"])
def test_a_parent_without_a_usable_id_is_no_parent(parent):
    assert decode(export(sent(parent_span_id=parent)), LIMITS).spans[0].parent_id is None


@pytest.mark.parametrize("service", ["", None])
def test_a_resource_without_a_name_is_called_as_the_standard_says(service):
    assert decode(export(sent(), service=service), LIMITS).spans[0].service == "unknown_service"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (text("plain"), "plain"),
        (AnyValue(bool_value=True), "true"),
        (AnyValue(int_value=-3), "-3"),
        (AnyValue(double_value=0.5), "0.5"),
        (AnyValue(double_value=math.nan), "null"),
        (AnyValue(bytes_value=b"\xff\x00"), "ff00"),
        (AnyValue(array_value=ArrayValue(values=[text("a"), AnyValue(int_value=1)])), '["a",1]'),
        (AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key="k", value=text("v"))])), '{"k":"v"}'),
        (AnyValue(), "null"),
    ],
)
def test_every_kind_of_attribute_becomes_text(value, expected):
    assert text_of(value, LIMITS) == expected


def test_nesting_has_an_end():
    value = text("deep")
    for _ in range(50):
        value = AnyValue(array_value=ArrayValue(values=[value]))
    assert text_of(value, LIMITS) == "[" * 9 + "]" * 9


@given(st.text(st.characters(codec="utf-8"), max_size=40), st.integers(1, 20), st.integers(1, 5))
def test_nothing_is_kept_beyond_its_limit(value, chars, attributes):
    limits = SpanLimits(attributes=attributes, text_chars=chars)
    pairs = [KeyValue(key=f"{number}{value}", value=text(value)) for number in range(8)]
    (span,) = decode(export(sent(name=value, attributes=pairs), service=value), limits).spans
    assert len(span.attributes) <= attributes
    assert max(map(len, (span.name, *span.attributes, *span.attributes.values()))) <= chars
