import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1 import trace_pb2
from prometheus_client import CollectorRegistry

from trunkline_sre.config import Bounds, SpanLimits
from trunkline_sre.metrics import SreMetrics
from trunkline_sre.receiver import TraceReceiver
from trunkline_sre.stores.memory import TraceStore


def export(*span_ids):
    spans = [trace_pb2.Span(trace_id=b"\1" * 16, span_id=span_id, name="s") for span_id in span_ids]
    return ExportTraceServiceRequest(
        resource_spans=[trace_pb2.ResourceSpans(scope_spans=[trace_pb2.ScopeSpans(spans=spans)])]
    )


@pytest.fixture
def store():
    return TraceStore(Bounds(trace_spans_limit=2))


@pytest.fixture
def receiver(store):
    return TraceReceiver(store, SpanLimits(), SreMetrics(CollectorRegistry()))


async def test_what_was_accepted_can_be_read_at_once(receiver, store):
    reply = await receiver.Export(export(b"\1" * 8, b"\2" * 8), None)
    assert not reply.HasField("partial_success")
    assert store.usage().spans == 2


async def test_what_was_not_kept_is_said(receiver):
    reply = await receiver.Export(export(b"\1" * 8, b"\2" * 8, b"\3" * 8, b"short"), None)
    assert reply.partial_success.rejected_spans == 2
    assert reply.partial_success.error_message == ("1 spans without a valid id, 1 over the bound of spans in one trace")


async def test_an_empty_export_is_fine(receiver, store):
    reply = await receiver.Export(ExportTraceServiceRequest(), None)
    assert not reply.HasField("partial_success")
    assert store.usage().traces == 0
