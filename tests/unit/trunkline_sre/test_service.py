import math

import pytest

from trunkline.sre.v1 import sre_service_pb2 as pb
from trunkline_kit.errors import InvalidRequest
from trunkline_sre.config import Bounds
from trunkline_sre.service import SreService
from trunkline_sre.spans import Span, SpanId, TraceId
from trunkline_sre.stores.memory import TraceStore

AT_NS = 1_700_000_000_123_456_789


def span(trace, number, **changes):
    given = {
        "trace_id": TraceId(f"{trace:032x}"),
        "span_id": SpanId(f"{number:016x}"),
        "parent_id": None,
        "name": "chat",
        "service": "gateway",
        "started_ns": AT_NS + trace * 10**9,
        "ended_ns": AT_NS + trace * 10**9 + 4_500_000,
        "failed": False,
    }
    return Span(**(given | changes))


@pytest.fixture
def service():
    store = TraceStore(Bounds())
    store.add([span(1, 1), span(1, 2, parent_id=SpanId(f"{1:016x}"), service="cache", attributes={"k": "v"})])
    store.add([span(2, 1, failed=True, status_message="broke"), span(3, 1, ended_ns=AT_NS + 10**10)])
    return SreService(store)


async def listed(sre, **request):
    reply = await sre.ListTraces(pb.ListTracesRequest(**request), None)
    return [int(trace.trace_id, 16) for trace in reply.traces], reply.next_page_token


async def test_traces_are_listed_latest_first_page_by_page(service):
    first, token = await listed(service, limit=2)
    assert first == [3, 2]
    assert await listed(service, limit=2, page_token=token) == ([1], "")


async def test_traces_are_listed_by_what_is_asked_for(service):
    assert await listed(service, errors_only=True) == ([2], "")
    assert await listed(service, min_duration_ms=1000) == ([3], "")
    assert await listed(service, service="cache") == ([1], "")


@pytest.mark.parametrize("duration", [-1.0, math.nan, math.inf])
async def test_a_duration_that_means_nothing_is_refused(service, duration):
    with pytest.raises(InvalidRequest, match="min_duration_ms must be 0 or more"):
        await service.ListTraces(pb.ListTracesRequest(min_duration_ms=duration), None)


@pytest.mark.parametrize("spell", [str.lower, str.upper])
async def test_a_trace_comes_back_with_its_spans(service, spell):
    reply = await service.GetTrace(pb.GetTraceRequest(trace_id=spell(f"{1:032x}")), None)
    assert (reply.summary.spans, reply.summary.duration_ms, reply.summary.root_service) == (2, 4.5, "gateway")
    assert reply.summary.started_at.ToNanoseconds() == AT_NS + 10**9
    root, child = reply.spans
    assert (root.span_id, root.parent_span_id) == (f"{1:016x}", "")
    assert (child.parent_span_id, child.service, dict(child.attributes)) == (root.span_id, "cache", {"k": "v"})


async def test_an_error_is_shown_with_its_message(service):
    reply = await service.GetTrace(pb.GetTraceRequest(trace_id=f"{2:032x}"), None)
    assert (reply.summary.error, reply.spans[0].error, reply.spans[0].status_message) == (True, True, "broke")


@pytest.mark.parametrize("trace_id", ["", "12", "g" * 32, "a" * 33, "a" * 32 + "\n"])
async def test_a_trace_id_that_is_none_is_refused(service, trace_id):
    with pytest.raises(InvalidRequest, match="32 hexadecimal digits"):
        await service.GetTrace(pb.GetTraceRequest(trace_id=trace_id), None)
