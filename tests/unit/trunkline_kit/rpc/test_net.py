"""One net, several services: who sees which name, and whose tracer makes the spans."""

from functools import partial

import grpc
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from trunkline.testkit.v1 import echo_service_pb2 as pb
from trunkline.testkit.v1.echo_service_pb2_grpc import EchoServiceStub, add_EchoServiceServicer_to_server
from trunkline_kit.rpc import Net
from trunkline_kit.tracing import Tracing
from trunkline_testkit.echo import EchoServicer

TIMEOUT_S = 5.0


@pytest.fixture
def spans():
    return InMemorySpanExporter()


@pytest.fixture
def tracing(spans):
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return Tracing(provider.get_tracer("test"))


def echo():
    return partial(add_EchoServiceServicer_to_server, EchoServicer())


@pytest.mark.parametrize("listen", ["local:router", "127.0.0.1:0"])
async def test_a_traced_service_makes_a_span_under_its_caller(tracing, spans, listen):
    net = Net()
    async with net.traced(tracing).serve(listen, echo()) as target, net.channel(target) as channel:
        with tracing.span("caller") as caller:
            await EchoServiceStub(channel).Echo(pb.EchoRequest(), timeout=TIMEOUT_S)
    served = spans.get_finished_spans()[0]
    assert served.name == "trunkline.testkit.v1.EchoService/Echo"
    assert served.parent.span_id == caller.get_span_context().span_id
    assert served.parent.is_remote


async def test_an_error_is_on_the_span(tracing, spans):
    net = Net().traced(tracing)
    async with net.serve("local:router", echo()) as target, net.channel(target) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await EchoServiceStub(channel).Fail(pb.FailRequest(kind=pb.FAIL_KIND_BUG), timeout=TIMEOUT_S)
    assert spans.get_finished_spans()[0].attributes["error.type"] == "KeyError"


async def test_names_are_shared_by_the_views_of_one_net_only(tracing):
    net = Net()
    async with net.traced(tracing).serve("local:router", echo()):
        async with net.channel("local:router") as channel:
            await EchoServiceStub(channel).Echo(pb.EchoRequest(), timeout=TIMEOUT_S)
        async with Net().channel("local:router") as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await EchoServiceStub(channel).Echo(pb.EchoRequest(), timeout=TIMEOUT_S)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_channel_may_be_opened_before_its_server():
    net = Net()
    async with net.channel("local:router") as channel:
        stub = EchoServiceStub(channel)
        async with net.serve("local:router", echo()):
            assert (await stub.Echo(pb.EchoRequest(text="here"), timeout=TIMEOUT_S)).text == "here"


async def test_a_local_server_leaves_nothing_running():
    net = Net()
    async with net.channel("local:router") as channel:
        async with net.serve("local:router", echo()):
            call = EchoServiceStub(channel).Chat(timeout=TIMEOUT_S)
            await call.write(pb.ChatRequest(text="x"))
            await call.read()
            call.cancel()
        with pytest.raises(grpc.aio.AioRpcError):
            await EchoServiceStub(channel).Echo(pb.EchoRequest(), timeout=TIMEOUT_S)


async def test_options_that_differ_by_transport_are_refused():
    net = Net()
    async with net.channel("local:router") as channel:
        with pytest.raises(TypeError, match="wait_for_ready"):
            EchoServiceStub(channel).Echo(pb.EchoRequest(), timeout=TIMEOUT_S, wait_for_ready=True)


@pytest.mark.parametrize("listen", ["nonsense", "local:", "unix:/" + "x" * 200])
async def test_a_wrong_address_says_so(listen):
    with pytest.raises(ValueError, match="address"):
        async with Net().serve(listen, echo()):
            pass
