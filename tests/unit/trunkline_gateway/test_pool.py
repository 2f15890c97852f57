"""Which providers live on over a reload."""

from contextlib import AsyncExitStack

import pytest
from prometheus_client import CollectorRegistry

from trunkline_gateway.config import GatewayConfig
from trunkline_gateway.pool import ProviderPool
from trunkline_kit.clock import ManualClock
from trunkline_kit.config import decode
from trunkline_kit.errors import ConfigError
from trunkline_kit.parts import Kit
from trunkline_kit.rpc import Net
from trunkline_kit.settings import Settings
from trunkline_kit.tracing import Tracing


@pytest.fixture
async def pool():
    kit = Kit(net=Net(), clock=ManualClock(), tracing=Tracing(), metrics=CollectorRegistry(), environment={})
    async with AsyncExitStack() as stack:
        yield ProviderPool(kit, stack)


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "key"
    path.write_text("sk-first")
    return path


@pytest.fixture
def config(secret):
    tree = {
        "providers": {
            "keyed": {"kind": "openai", "api_key": f"file:{secret}"},
            "open": {"kind": "openai", "base_url": "http://127.0.0.1:1/v1"},
        }
    }
    return GatewayConfig.from_settings(decode(tree, Settings))


async def test_a_provider_that_did_not_change_lives_on(pool, config):
    before = await pool.providers(config)
    after = await pool.providers(config)
    assert after["keyed"] is before["keyed"]
    assert after["open"] is before["open"]


async def test_a_key_that_was_rotated_in_its_file_is_taken_up(pool, config, secret):
    before = await pool.providers(config)
    secret.write_text("sk-second")
    after = await pool.providers(config)
    assert after["keyed"] is not before["keyed"]
    assert after["open"] is before["open"]
    assert after["keyed"].inner.inner._account._session.headers["authorization"] == "Bearer sk-second"
    assert (await pool.providers(config))["keyed"] is after["keyed"]


async def test_a_key_that_is_gone_keeps_the_old_providers(pool, config, secret):
    await pool.providers(config)
    secret.unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        await pool.providers(config)


async def test_a_configuration_that_cannot_be_opened_leaves_everything_as_it_was(pool, config, secret):
    before = await pool.providers(config)
    tree = {
        "open": {"kind": "openai", "base_url": "http://127.0.0.1:2/v1"},
        "z": {"kind": "openai", "api_key": "env:NO"},
    }
    with pytest.raises(ConfigError, match="env:NO"):
        await pool.providers(GatewayConfig.from_settings(decode({"providers": tree}, Settings)))
    assert dict(await pool.providers(config)) == before
