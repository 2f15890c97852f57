"""Putting configurations and changes of the directory into force, one at a time and whole or not at all."""

from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry

from trunkline_gateway.admission.opening import GateOptions, open_gate
from trunkline_gateway.body_room import BodyRoom
from trunkline_gateway.callers import Credentials
from trunkline_gateway.clients import Clients
from trunkline_gateway.config import GatewayConfig
from trunkline_gateway.directory.objects import Item, Kind, KnownSecret
from trunkline_gateway.directory.snapshot import Snapshot
from trunkline_gateway.fleet.deployments import Fleet
from trunkline_gateway.fleet.meters import FleetMeters
from trunkline_gateway.hashing import Hasher, sha256_of
from trunkline_gateway.managed import open_managed
from trunkline_gateway.oidc.opening import open_tokens
from trunkline_gateway.pool import ProviderPool
from trunkline_gateway.reload import Reload, Served, Standby
from trunkline_gateway.standing import OpenRequests
from trunkline_kit.clock import ManualClock
from trunkline_kit.config import decode
from trunkline_kit.errors import ConfigError, Unauthenticated
from trunkline_kit.parts import Kit
from trunkline_kit.rpc import Net
from trunkline_kit.settings import Settings
from trunkline_kit.tenants import KeySpec
from trunkline_kit.tracing import Tracing

HASHER = Hasher()


class Holder:
    """Has the attributes that a reload sets, and nothing else."""

    def __init__(self, state=None):
        self.state = state
        self.open = OpenRequests()
        self.body_limit_bytes = self.concurrent_requests = 0
        self.body_room = BodyRoom(0)


def settings(secret, **more):
    tree = {"keys": [{"id": "k", "secret": f"file:{secret}"}], **more}
    return decode(tree, Settings)


@asynccontextmanager
async def opened(config):
    kit = Kit(net=Net(), clock=ManualClock(), tracing=Tracing(), metrics=CollectorRegistry(), environment={})
    async with AsyncExitStack() as stack:
        standby = Standby(
            kit=kit,
            pool=ProviderPool(kit, stack),
            clients=Clients(None, None, None, {}),
            gate=await stack.enter_async_context(open_gate(None, kit, GateOptions(gateways=1, queued_requests=1))),
            fleet=Fleet(kit.clock, FleetMeters(kit.metrics)),
            hasher=HASHER,
            managed=await stack.enter_async_context(open_managed(config, None, HASHER, kit.clock)),
            tokens=await stack.enter_async_context(open_tokens(kit.clock, kit.metrics)),
        )
        reload = Reload(config, standby)
        served = Served(Holder(await reload.first_state()), *(Holder() for _ in range(4)))
        reload.attach(served)
        yield reload, served


async def who(served, key):
    caller = await served.pipeline.state.callers.identify(Credentials(authorization=f"Bearer {key}"))
    return caller.principal.key_id


def snapshot(*keys):
    items = {key: Item(kind=Kind.KEY, id=key, spec=KeySpec(), version=1) for key in keys}
    secrets = {HASHER.of_sha256(sha256_of(key)): key for key in keys}
    return Snapshot(
        revision=len(keys),
        mark="m",
        items={Kind.KEY: items},
        secrets={digest: KnownSecret(key_id=key, digest=digest) for digest, key in secrets.items()},
    )


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret"
    path.write_text("declared")
    return path


async def test_a_secret_file_that_goes_away_stops_no_change_of_the_directory(secret):
    async with opened(GatewayConfig.from_settings(settings(secret))) as (reload, served):
        await reload.take(snapshot("made"))
        secret.unlink()
        assert await who(served, "made") == "made"
        await reload.take(snapshot())
        with pytest.raises(Unauthenticated):
            await who(served, "made")
        assert await who(served, "declared") == "k"


async def test_a_configuration_that_is_refused_leaves_nothing_behind(secret, tmp_path):
    async with opened(GatewayConfig.from_settings(settings(secret))) as (reload, served):
        before = served.pipeline.state
        with pytest.raises(ConfigError):
            await reload.apply(settings(tmp_path / "missing", server={"body_limit_bytes": 7}))
        assert served.pipeline.state is before
        assert served.door.body_limit_bytes == 0
        await reload.take(snapshot("made"))
        assert await who(served, "declared") == "k"


async def test_a_new_configuration_is_in_force_whole(secret):
    async with opened(GatewayConfig.from_settings(settings(secret))) as (reload, served):
        secret.write_text("changed")
        await reload.apply(settings(secret, server={"body_limit_bytes": 7}))
        assert await who(served, "changed") == "k"
        assert (served.door.body_limit_bytes, served.edge.concurrent_requests) == (7, 1024)


async def test_nothing_is_put_into_force_before_it_serves(secret):
    config = GatewayConfig.from_settings(settings(secret))
    async with opened(config) as (reload, _):
        early = Reload(config, reload._standby)
        with pytest.raises(ConfigError, match="not serving yet"):
            await early.take(snapshot())
