"""The sre service through its composition root, in process and over TCP, fed by exporters."""

import asyncio

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Status, StatusCode
from prometheus_client import CollectorRegistry

from trunkline.sre.v1 import sre_service_pb2 as pb
from trunkline.sre.v1 import sre_service_pb2_grpc as rpc
from trunkline_kit.clock import SystemClock
from trunkline_kit.parts import Kit
from trunkline_kit.rpc import Net
from trunkline_kit.settings import Settings, Telemetry
from trunkline_kit.tracing import Tracing, open_tracing
from trunkline_sre.app import open_sre
from trunkline_sre.config import SreConfig
from trunkline_testkit.parts import require_import

LATER = [
    ("ReportChange", pb.ReportChangeRequest(change_id="1")),
    ("RecordFeedback", pb.RecordFeedbackRequest(token="t")),
    ("StartDrill", pb.StartDrillRequest(scenario="s")),
    ("ListIncidents", pb.ListIncidentsRequest()),
    ("GetScorecard", pb.GetScorecardRequest()),
]


@pytest.fixture
def kit():
    return Kit(net=Net(), clock=SystemClock(), tracing=Tracing(), metrics=CollectorRegistry(), environment={})


@pytest.fixture(params=["local:sre", "127.0.0.1:0"])
async def running(request, kit):
    config = SreConfig.from_settings(Settings(), listen=request.param)
    async with open_sre(config, kit) as part, kit.net.channel(part.address) as channel:
        yield part, channel


async def test_spans_of_our_own_services_are_received_and_listed(running, kit):
    part, channel = running
    assert part.name == "sre"
    async with open_tracing(
        "gateway", Net() if part.address != "local:sre" else kit.net, target=part.address
    ) as tracing:
        with tracing.span("chat") as root, tracing.span("attempt", attributes={"model": "m"}):
            pass
    stub = rpc.SreServiceStub(channel)
    listed = await stub.ListTraces(pb.ListTracesRequest(service="gateway"), timeout=5)
    assert [(trace.root_name, trace.spans) for trace in listed.traces] == [("chat", 2)]
    assert listed.traces[0].trace_id == f"{root.get_span_context().trace_id:032x}"
    trace = await stub.GetTrace(pb.GetTraceRequest(trace_id=listed.traces[0].trace_id), timeout=5)
    assert [(span.name, dict(span.attributes)) for span in trace.spans] == [("chat", {}), ("attempt", {"model": "m"})]
    assert kit.metrics.get_sample_value("trunkline_sre_kept_spans") == 2


async def test_the_exporter_of_opentelemetry_is_understood_over_tcp(kit):
    require_import("opentelemetry.exporter.otlp.proto.grpc.trace_exporter", "the OTLP exporter nobody here wrote")
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    def send(address):
        exporter = OTLPSpanExporter(endpoint=f"http://{address}", insecure=True, timeout=10)
        provider = TracerProvider(resource=Resource({"service.name": "foreign"}), shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(exporter))
        with provider.get_tracer("test").start_as_current_span("work", attributes={"n": 7, "tags": ["a", "b"]}) as span:
            span.set_status(Status(StatusCode.ERROR, "it broke"))
        flushed = provider.force_flush(10_000)
        provider.shutdown()
        return flushed

    async with open_sre(SreConfig(listen="127.0.0.1:0"), kit) as part, kit.net.channel(part.address) as channel:
        assert await asyncio.to_thread(send, part.address)
        stub = rpc.SreServiceStub(channel)
        (row,) = (await stub.ListTraces(pb.ListTracesRequest(errors_only=True), timeout=5)).traces
        (span,) = (await stub.GetTrace(pb.GetTraceRequest(trace_id=row.trace_id), timeout=5)).spans
        assert (row.root_name, row.root_service, row.error) == ("work", "foreign", True)
        assert (span.status_message, dict(span.attributes)) == ("it broke", {"n": "7", "tags": '["a","b"]'})
        assert span.duration_ms >= 0


async def test_an_unknown_trace_is_not_found(running):
    _, channel = running
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await rpc.SreServiceStub(channel).GetTrace(pb.GetTraceRequest(trace_id="a" * 32), timeout=5)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert "may have been dropped" in caught.value.details()


@pytest.mark.parametrize(("method", "request_"), LATER)
async def test_what_comes_later_says_so(running, method, request_):
    _, channel = running
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await getattr(rpc.SreServiceStub(channel), method)(request_, timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "not part of this version" in caught.value.details()


async def test_a_reload_keeps_fewer_traces_at_once(running, kit):
    part, channel = running
    async with open_tracing("gateway", kit.net, target=part.address) as tracing:
        for _ in range(5):
            with tracing.span("chat"):
                pass
    await part.apply(Settings(telemetry=Telemetry(kept_traces=2)))
    listed = await rpc.SreServiceStub(channel).ListTraces(pb.ListTracesRequest(), timeout=5)
    assert len(listed.traces) == 2
    assert kit.metrics.get_sample_value("trunkline_sre_dropped_traces_total") == 3


async def test_receiving_spans_makes_no_spans(kit):
    """A span for each export would be exported too, for ever."""
    net = Net()
    async with open_tracing("sre", net, target="local:sre") as tracing:
        bare = Kit(net=net, clock=kit.clock, tracing=Tracing(), metrics=kit.metrics, environment={})
        async with open_sre(SreConfig(listen="local:sre"), bare.traced(tracing)) as part:
            async with open_tracing("gateway", net, target=part.address) as other:
                with other.span("chat"):
                    pass
            async with net.channel(part.address) as channel:
                listed = await rpc.SreServiceStub(channel).ListTraces(pb.ListTracesRequest(), timeout=5)
    assert [trace.root_service for trace in listed.traces] == ["gateway"]


async def test_it_is_healthy(running):
    _, channel = running
    reply = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
    assert reply.status == health_pb2.HealthCheckResponse.SERVING
