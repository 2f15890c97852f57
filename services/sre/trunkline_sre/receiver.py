"""The OTLP receiver, `opentelemetry.proto.collector.trace.v1.TraceService`."""

from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceServicer

from trunkline_sre.config import SpanLimits
from trunkline_sre.metrics import SreMetrics
from trunkline_sre.otlp import decode
from trunkline_sre.stores.memory import TraceStore


class TraceReceiver(TraceServiceServicer):
    """Takes spans in; what it cannot keep it says in the answer's partial success, as the protocol wants it."""

    def __init__(self, store: TraceStore, limits: SpanLimits, metrics: SreMetrics) -> None:
        self._store = store
        self._limits = limits
        self._metrics = metrics

    async def Export(self, request: ExportTraceServiceRequest, context: Any) -> ExportTraceServiceResponse:  # noqa: ARG002, N802
        """Answers when the spans can be read back. Blocks the loop for about 20 µs a span."""
        decoded = decode(request, self._limits)
        added = self._store.add(decoded.spans)
        self._metrics.received(added, decoded.invalid)
        rejected = added.refused + decoded.invalid
        if not rejected:
            return ExportTraceServiceResponse()
        message = f"{decoded.invalid} spans without a valid id, {added.refused} over the bound of spans in one trace"
        partial = ExportTracePartialSuccess(rejected_spans=rejected, error_message=message)
        return ExportTraceServiceResponse(partial_success=partial)
