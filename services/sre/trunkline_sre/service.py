"""`trunkline.sre.v1` over the store: decode, call, encode."""

import math
import re
from typing import Any, NoReturn

from google.protobuf.timestamp_pb2 import Timestamp
from grpc import StatusCode

from trunkline.sre.v1 import sre_service_pb2 as pb
from trunkline.sre.v1 import sre_service_pb2_grpc as rpc
from trunkline_kit.errors import InvalidRequest
from trunkline_kit.rpc.server_edge import Context
from trunkline_sre.pages import TraceFilter, page_of
from trunkline_sre.spans import Span, Summary, TraceId, summarise
from trunkline_sre.stores.memory import TraceStore

_TRACE_ID = re.compile(r"[0-9a-f]{32}")


class SreService(rpc.SreServiceServicer):
    """Traces are here; incidents, changes, drills, the scorecard and feedback are not part of this version."""

    def __init__(self, store: TraceStore) -> None:
        self._store = store

    async def ListTraces(self, request: pb.ListTracesRequest, context: Any) -> pb.ListTracesResponse:  # noqa: ARG002, N802
        """Latest first. Raises InvalidRequest for a limit, duration or page token that makes no sense."""
        if not math.isfinite(request.min_duration_ms) or request.min_duration_ms < 0:
            raise InvalidRequest("min_duration_ms must be 0 or more", param="min_duration_ms")
        wanted = TraceFilter(
            min_duration_ms=request.min_duration_ms, errors_only=request.errors_only, service=request.service
        )
        page = page_of(self._store.summaries(), wanted, request.limit, request.page_token)
        return pb.ListTracesResponse(traces=[_summary(row) for row in page.rows], next_page_token=page.next_token)

    async def GetTrace(self, request: pb.GetTraceRequest, context: Context) -> pb.GetTraceResponse:  # noqa: N802
        """Spans by their start. NOT_FOUND for a trace that was never here, or is here no more."""
        trace_id = request.trace_id.lower()
        if not _TRACE_ID.fullmatch(trace_id):
            raise InvalidRequest("trace_id must be 32 hexadecimal digits", param="trace_id")
        spans = self._store.spans_of(TraceId(trace_id))
        if not spans:
            await context.abort(StatusCode.NOT_FOUND, f"no trace {trace_id}; it may have been dropped for newer ones")
        return pb.GetTraceResponse(summary=_summary(summarise(spans)), spans=[_span(span) for span in spans])

    async def ReportChange(self, request: pb.ReportChangeRequest, context: Context) -> pb.ReportChangeResponse:  # noqa: ARG002, N802
        await _later(context, "changes")

    async def RecordFeedback(self, request: pb.RecordFeedbackRequest, context: Context) -> pb.RecordFeedbackResponse:  # noqa: ARG002, N802
        await _later(context, "feedback")

    async def StartDrill(self, request: pb.StartDrillRequest, context: Context) -> pb.StartDrillResponse:  # noqa: ARG002, N802
        await _later(context, "drills")

    async def ListIncidents(self, request: pb.ListIncidentsRequest, context: Context) -> pb.ListIncidentsResponse:  # noqa: ARG002, N802
        await _later(context, "incidents")

    async def GetScorecard(self, request: pb.GetScorecardRequest, context: Context) -> pb.GetScorecardResponse:  # noqa: ARG002, N802
        await _later(context, "the scorecard")


async def _later(context: Context, what: str) -> NoReturn:
    """Refuse plainly: an empty answer would look like a system without incidents."""
    await context.abort(StatusCode.UNIMPLEMENTED, f"{what}: not part of this version, which keeps traces only")


def _summary(row: Summary) -> pb.TraceSummary:
    return pb.TraceSummary(
        trace_id=row.trace_id,
        root_name=row.root_name,
        root_service=row.root_service,
        started_at=_timestamp(row.started_ns),
        duration_ms=row.duration_ms,
        spans=row.spans,
        error=row.failed,
    )


def _span(span: Span) -> pb.SpanRecord:
    return pb.SpanRecord(
        span_id=span.span_id,
        parent_span_id=span.parent_id or "",
        name=span.name,
        service=span.service,
        started_at=_timestamp(span.started_ns),
        duration_ms=span.duration_ms,
        error=span.failed,
        status_message=span.status_message,
        attributes=span.attributes,
    )


def _timestamp(at_ns: int) -> Timestamp:
    return Timestamp(seconds=at_ns // 10**9, nanos=at_ns % 10**9)
