"""The guardrails through their composition root, in process and over TCP."""

import logging

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry

from trunkline.guardrails.v1 import guardrails_service_pb2 as pb
from trunkline.guardrails.v1 import guardrails_service_pb2_grpc as rpc
from trunkline_guardrails.app import open_guardrails
from trunkline_guardrails.config import GuardrailsConfig
from trunkline_kit.clock import SystemClock
from trunkline_kit.errors import ConfigError, InvalidRequest
from trunkline_kit.parts import Kit
from trunkline_kit.rpc import Net, from_rpc_error
from trunkline_kit.settings import Check, GuardrailPolicy, OnFail, Policy, Settings
from trunkline_kit.tracing import Tracing

TOKEN = "ghp_" + "aB3dE6gH9jK2mN5pQ8rS1tU4vW7xY0zAabcd"
REQUEST = pb.CheckInputRequest(policy="default", parts=[pb.InputPart(path="/prompt", text=f"use {TOKEN}")])


def settings(*checks):
    return Settings(policies={"default": Policy(guardrails=GuardrailPolicy(input=checks))})


SECRETS = Check(check="secrets", on_fail=OnFail.FLAG)
PII = Check(check="pii", on_fail=OnFail.BLOCK)


@pytest.fixture
def kit():
    return Kit(net=Net(), clock=SystemClock(), tracing=Tracing(), metrics=CollectorRegistry(), environment={})


@pytest.fixture(params=["local:guardrails", "127.0.0.1:0"])
async def running(request, kit):
    config = GuardrailsConfig.from_settings(settings(SECRETS), listen=request.param)
    async with open_guardrails(config, kit) as part, kit.net.channel(part.address) as channel:
        yield part, channel


async def test_a_secret_is_flagged_and_never_said_again(running, kit):
    part, channel = running
    assert part.name == "guardrails"
    reply = await rpc.GuardrailsServiceStub(channel).CheckInput(REQUEST, timeout=5)
    assert (reply.action, reply.findings[0].kind) == (pb.ACTION_FLAG, "github-token")
    assert TOKEN not in str(reply)
    labels = {"check": "secrets", "kind": "github-token"}
    assert kit.metrics.get_sample_value("trunkline_guardrails_findings_total", labels) == 1


async def test_an_answer_streams_through(running):
    _, channel = running
    call = rpc.GuardrailsServiceStub(channel).CheckOutput(timeout=5)
    await call.write(pb.CheckOutputRequest(start=pb.OutputStart(policy="default"), delta="one"))
    assert (await call.read()).release == "one"
    await call.write(pb.CheckOutputRequest(delta="two", end=True))
    assert (await call.read()).release == "two"
    assert (await call.read()).end
    assert await call.read() == grpc.aio.EOF


async def test_an_unknown_policy_is_our_error_again_on_the_other_side(running):
    _, channel = running
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await rpc.GuardrailsServiceStub(channel).CheckInput(pb.CheckInputRequest(policy="nope"), timeout=5)
    assert isinstance(from_rpc_error(caught.value), InvalidRequest)


async def test_a_reload_changes_the_verdict(running, kit, caplog):
    part, channel = running
    with caplog.at_level(logging.WARNING):
        await part.apply(settings(Check(check="secrets", on_fail=OnFail.BLOCK), PII))
    assert "policies.default.guardrails.input[1]: `pii` is not part of this version" in caplog.text
    assert kit.metrics.get_sample_value("trunkline_guardrails_unenforced_checks") == 1
    reply = await rpc.GuardrailsServiceStub(channel).CheckInput(REQUEST, timeout=5)
    assert reply.action == pb.ACTION_BLOCK


async def test_a_bad_reload_keeps_the_old_policies(running):
    part, channel = running
    with pytest.raises(ConfigError, match="no check `piii`"):
        await part.apply(settings(Check(check="piii", on_fail=OnFail.BLOCK)))
    reply = await rpc.GuardrailsServiceStub(channel).CheckInput(REQUEST, timeout=5)
    assert reply.action == pb.ACTION_FLAG


async def test_it_is_healthy(running):
    _, channel = running
    reply = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
    assert reply.status == health_pb2.HealthCheckResponse.SERVING
