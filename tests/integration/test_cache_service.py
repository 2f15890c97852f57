"""The cache through its composition root, in process and over TCP."""

import logging

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry

from trunkline.cache.v1 import cache_service_pb2 as pb
from trunkline.cache.v1 import cache_service_pb2_grpc as rpc
from trunkline_cache.app import open_cache
from trunkline_cache.config import CacheConfig
from trunkline_kit.clock import ManualClock
from trunkline_kit.errors import InvalidRequest
from trunkline_kit.parts import Kit
from trunkline_kit.rpc import Net, from_rpc_error
from trunkline_kit.settings import CachePolicy, Policy, SemanticCache, Settings
from trunkline_kit.tracing import Tracing

SCOPE = pb.Scope(tenant="team:search")
MARK = pb.Fingerprint(sha256=bytes(32), version=1)
ANSWER = pb.CachedAnswer(body_json=b'{"id":"1"}', model="gpt")


@pytest.fixture
def kit():
    return Kit(net=Net(), clock=ManualClock(), tracing=Tracing(), metrics=CollectorRegistry(), environment={})


@pytest.fixture(params=["local:cache", "127.0.0.1:0"])
async def running(request, kit):
    config = CacheConfig.from_settings(Settings(), listen=request.param)
    async with open_cache(config, kit) as part, kit.net.channel(part.address) as channel:
        yield part, channel


async def test_an_answer_goes_in_and_comes_out_until_it_expires(running, kit):
    part, channel = running
    assert part.name == "cache"
    stub = rpc.CacheServiceStub(channel)
    ask = pb.LookupRequest(scope=SCOPE, fingerprint=MARK, mode=pb.LOOKUP_MODE_EXACT)
    assert (await stub.Lookup(ask, timeout=5)).reason == "not-found"
    stored = await stub.Store(pb.StoreRequest(scope=SCOPE, fingerprint=MARK, answer=ANSWER, ttl_s=60), timeout=5)
    hit = await stub.Lookup(ask, timeout=5)
    assert (hit.answer, hit.entry_id) == (ANSWER, stored.entry_id)
    kit.clock.advance(61)
    assert (await stub.Lookup(ask, timeout=5)).reason == "expired"
    labels = {"mode": "exact", "result": "hit"}
    assert kit.metrics.get_sample_value("trunkline_cache_lookups_total", labels) == 1
    assert kit.metrics.get_sample_value("trunkline_cache_entries") == 0


async def test_no_tenant_is_our_error_again_on_the_other_side(running):
    _, channel = running
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await rpc.CacheServiceStub(channel).Lookup(pb.LookupRequest(fingerprint=MARK), timeout=5)
    assert isinstance(from_rpc_error(caught.value), InvalidRequest)


async def test_a_reload_keeps_what_is_stored_and_says_what_it_cannot_do(running, caplog):
    part, channel = running
    stub = rpc.CacheServiceStub(channel)
    await stub.Store(pb.StoreRequest(scope=SCOPE, fingerprint=MARK, answer=ANSWER, ttl_s=60), timeout=5)
    semantic = Policy(cache=CachePolicy(semantic=SemanticCache(max_error_rate=0.01)))
    with caplog.at_level(logging.WARNING):
        await part.apply(Settings(policies={"default": semantic}))
    assert "policies.default.cache.semantic" in caplog.text
    assert (await stub.Stats(pb.StatsRequest(scope=SCOPE), timeout=5)).entries == 1


async def test_it_is_healthy(running):
    _, channel = running
    reply = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
    assert reply.status == health_pb2.HealthCheckResponse.SERVING
