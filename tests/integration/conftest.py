"""A gateway over real sockets, in front of whatever a test puts behind it."""

import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import openai
import pytest
from blockbuster import blockbuster_ctx
from prometheus_client import CollectorRegistry

from trunkline_gateway.app import Gateway, open_gateway
from trunkline_gateway.config import GatewayConfig
from trunkline_kit.clock import Clock, SystemClock
from trunkline_kit.config import decode
from trunkline_kit.parts import Kit
from trunkline_kit.rpc import Net
from trunkline_kit.settings import Settings
from trunkline_kit.tracing import Tracing
from trunkline_testkit.secret_scenes import Scene, watched_scene
from trunkline_testkit.upstream import FakeUpstream, open_fake_upstream

KEY = "tl-test-key"


def key_hash(key: str) -> str:
    return f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"


class Harness:
    """A running gateway and the clients of a test."""

    def __init__(self, gateway: Gateway, kit: Kit, http: aiohttp.ClientSession, sdk: openai.AsyncOpenAI) -> None:
        self.gateway = gateway
        self.url = gateway.address
        self.net = kit.net
        self.http = http
        self.sdk = sdk
        self._registry = kit.metrics

    def metric(self, name: str, **labels: str) -> float:
        """A sample's value, 0 where there is none."""
        return self._registry.get_sample_value(name, labels) or 0.0

    async def get(self, path: str, **options: Any) -> aiohttp.ClientResponse:
        reply = await self.http.get(self.url + path, **options)
        await reply.read()
        return reply

    async def post(self, path: str, body: Any = None, **options: Any) -> aiohttp.ClientResponse:
        options.setdefault("headers", {"authorization": f"Bearer {KEY}"})
        if body is not None:
            options["json"] = body
        reply = await self.http.post(self.url + path, **options)
        if not (isinstance(body, dict) and body.get("stream")):
            await reply.read()
        return reply


Open = Callable[..., Any]


@pytest.fixture(autouse=True)
def nothing_blocks_the_loop() -> Iterator[None]:
    """The gateway's own code must not block the event loop it shares with every request."""
    with blockbuster_ctx("trunkline_gateway") as guard:
        # gRPC and prometheus_client take uncontended locks everywhere.
        guard.functions["threading.Lock.acquire"].deactivate()
        guard.functions["threading.Lock.acquire_lock"].deactivate()
        # asyncpg looks for ~/.pgpass at every new connection, of which the ledger makes few.
        guard.functions["os.stat"].can_block_in("asyncpg/connect_utils.py", "_read_password_file")
        yield


@pytest.fixture
def settings_of() -> Callable[[dict[str, Any]], Settings]:
    def decoded(tree: dict[str, Any]) -> Settings:
        tree.setdefault("listen", {"http": "127.0.0.1:0", "grpc": "127.0.0.1:0"})
        tree.setdefault("keys", [{"id": "test", "secret": key_hash(KEY)}])
        return decode(tree, Settings)

    return decoded


@pytest.fixture
async def open_harness(settings_of: Callable[[dict[str, Any]], Settings]) -> AsyncIterator[Open]:
    """Opens gateways for one test: `await open_harness({...trunkline.yaml...}, net=…, tracing=…)`."""
    async with AsyncExitStack() as stack:

        async def opened(
            tree: dict[str, Any],
            *,
            net: Net | None = None,
            tracing: Tracing | None = None,
            environment: dict[str, str] | None = None,
            clock: Clock | None = None,
        ) -> Harness:
            opening = _harness(settings_of(tree), net or Net(), tracing or Tracing(), environment, clock)
            return await stack.enter_async_context(opening)

        yield opened


@asynccontextmanager
async def _harness(
    settings: Settings,
    net: Net,
    tracing: Tracing,
    more: dict[str, str] | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[Harness]:
    environment = {"UP": "up-key", **(more or {})}
    kit = Kit(
        net=net, clock=clock or SystemClock(), tracing=tracing, metrics=CollectorRegistry(), environment=environment
    )
    async with (
        open_gateway(GatewayConfig.from_settings(settings), kit) as gateway,
        aiohttp.ClientSession() as http,
        openai.AsyncOpenAI(api_key=KEY, base_url=f"{gateway.address}/v1", max_retries=0) as sdk,
    ):
        yield Harness(gateway, kit, http, sdk)


@pytest.fixture
def harness_of() -> Callable[..., Any]:
    """The same as a context manager, for tests that bring their own event loop."""
    return _harness


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with open_fake_upstream() as opened:
        yield opened


@pytest.fixture
async def backup() -> AsyncIterator[FakeUpstream]:
    async with open_fake_upstream() as opened:
        yield opened


def one_model(upstream: FakeUpstream, **model: Any) -> dict[str, Any]:
    """Settings with one model `fake` at one provider `up`."""
    return {
        "providers": {
            "up": {"kind": "openai", "assemble_streams": "auto", "base_url": upstream.base_url, "api_key": "env:UP"}
        },
        "models": {"fake": {"deployments": [{"provider": "up", "model": "real-fake"}], **model}},
    }


@pytest.fixture
async def harness(open_harness: Open, upstream: FakeUpstream) -> Harness:
    """The common case: one model `fake`, one provider `up`."""
    opened: Harness = await open_harness(one_model(upstream))
    return opened


@pytest.fixture
def single() -> Callable[..., dict[str, Any]]:
    return one_model


@pytest.fixture
def key_entry() -> Callable[..., dict[str, Any]]:
    """An entry of `keys:`."""

    def entry(key_id: str, key: str, **rest: Any) -> dict[str, Any]:
        return {"id": key_id, "secret": key_hash(key), **rest}

    return entry


@pytest.fixture
def scene() -> Iterator[Scene]:
    """Secrets that can be recognised, and everything that is said of them meanwhile."""
    with watched_scene() as watched:
        yield watched
