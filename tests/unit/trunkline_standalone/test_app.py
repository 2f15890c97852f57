"""The composition root, over the model without weights: everything opens, talks and closes."""

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from trunkline_gateway.config import ExtraKey
from trunkline_kit.clock import SystemClock
from trunkline_kit.config import decode
from trunkline_kit.errors import ConfigError
from trunkline_kit.parts import Kit
from trunkline_kit.rpc import Net
from trunkline_kit.settings import Settings
from trunkline_kit.tracing import Tracing
from trunkline_standalone.app import FixedWorkers, StandaloneConfig, open_standalone
from trunkline_standalone.key import ensure_key

BASE = {
    "listen": {"http": "127.0.0.1:0", "grpc": "127.0.0.1:0"},
    "providers": {"local": {"kind": "worker"}},
    "models": {"fake": {"deployments": [{"provider": "local", "model": "fake:"}]}},
    "routes": {"auto": {"otherwise": ["fake"]}},
}


def settings(**changes) -> Settings:
    return decode(BASE | changes, Settings)


@pytest.fixture
def kit() -> Kit:
    return Kit(net=Net(), clock=SystemClock(), tracing=Tracing(), metrics=CollectorRegistry(), environment={})


async def fine() -> str:
    return "fine"


async def test_everything_opens_and_answers(tmp_path, kit):
    key = ensure_key(tmp_path / "key")
    config = StandaloneConfig(
        settings=settings(),
        home=tmp_path,
        extra_keys=(ExtraKey(id="owner", sha256=key.sha256),),
        extra_checks={"valkey": fine},
    )
    async with open_standalone(config, kit) as standalone, aiohttp.ClientSession() as http:
        names = [part.name for part in standalone.parts]
        assert names == ["workers", "sre", "worker", "router", "cache", "guardrails", "gateway"]
        async with http.get(f"{standalone.gateway.address}/readyz") as reply:
            parts = {part["name"]: part for part in (await reply.json())["parts"]}
        assert parts["valkey"] == {"name": "valkey", "up": True, "required": False, "detail": "fine"}
        body = {"model": "auto", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}
        headers = {"authorization": f"Bearer {key.secret.reveal()}"}
        url = f"{standalone.gateway.address}/v1/chat/completions"
        async with http.post(url, json=body, headers=headers) as reply:
            assert reply.status == 200
        assert len(standalone.registries) == 1


async def test_a_service_that_is_elsewhere_is_not_opened_here(tmp_path, kit):
    elsewhere = {"router": "dns:///127.0.0.1:9", "sre": "dns:///127.0.0.1:9"}
    config = StandaloneConfig(settings=settings(services=elsewhere), home=tmp_path)
    async with open_standalone(config, kit) as standalone:
        assert [part.name for part in standalone.parts] == ["workers", "worker", "cache", "guardrails", "gateway"]


async def test_a_change_may_not_need_a_new_worker():
    fixed = FixedWorkers(settings())
    await fixed.apply(settings(models={}, routes={}))
    more = {"real": {"deployments": [{"provider": "local", "model": "all-minilm-l6-v2"}]}}
    with pytest.raises(ConfigError, match="all-minilm-l6-v2 has no worker in this process; restart"):
        await fixed.apply(settings(models=BASE["models"] | more))
