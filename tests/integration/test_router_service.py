"""The router through its composition root, in process and over TCP."""

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry

from trunkline.router.v1 import router_service_pb2 as pb
from trunkline.router.v1 import router_service_pb2_grpc as rpc
from trunkline_kit.clock import ManualClock
from trunkline_kit.errors import ModelNotFound
from trunkline_kit.parts import Kit
from trunkline_kit.rpc import Net, from_rpc_error
from trunkline_kit.settings import Route, Rule, Settings, When
from trunkline_kit.tracing import Tracing
from trunkline_router.app import open_router
from trunkline_router.config import RouterConfig

SETTINGS = Settings(
    routes={"auto": Route(rules=(Rule(when=When(intent=("code",)), to=("big",)),), otherwise=("small",))}
)


@pytest.fixture(params=["local:router", "127.0.0.1:0"])
async def running(request):
    kit = Kit(net=Net(), clock=ManualClock(), tracing=Tracing(), metrics=CollectorRegistry(), environment={})
    config = RouterConfig.from_settings(SETTINGS, listen=request.param)
    async with open_router(config, kit) as part, kit.net.channel(part.address) as channel:
        yield part, channel


async def test_a_virtual_model_is_decided(running):
    part, channel = running
    assert part.name == "router"
    reply = await rpc.RouterServiceStub(channel).Analyze(pb.AnalyzeRequest(route_set="auto"), timeout=5)
    assert (list(reply.decision), reply.abstained) == (["small"], True)


async def test_an_unknown_one_is_our_error_again_on_the_other_side(running):
    _, channel = running
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await rpc.RouterServiceStub(channel).Analyze(pb.AnalyzeRequest(route_set="nope"), timeout=5)
    error = from_rpc_error(caught.value)
    assert isinstance(error, ModelNotFound)
    assert error.param == "route_set"


async def test_a_reload_changes_the_decision_and_its_version(running):
    part, channel = running
    stub = rpc.RouterServiceStub(channel)
    before = await stub.Reload(pb.ReloadRequest(), timeout=5)
    await part.apply(Settings(routes={"auto": Route(otherwise=("other",))}))
    reply = await stub.Analyze(pb.AnalyzeRequest(route_set="auto"), timeout=5)
    assert list(reply.decision) == ["other"]
    assert reply.versions.config != before.versions.config


async def test_it_is_healthy(running):
    _, channel = running
    reply = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
    assert reply.status == health_pb2.HealthCheckResponse.SERVING
