"""Composition root of the gateway: opened top to bottom, closed in reverse."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from trunkline.gateway.v1.gateway_service_pb2_grpc import (
    add_GatewayAdminServiceServicer_to_server,
    add_GatewayServiceServicer_to_server,
)
from trunkline_gateway.admission.gate import Gate, Terms
from trunkline_gateway.admission.opening import open_gate
from trunkline_gateway.admission.rulebook import Rulebook
from trunkline_gateway.analysis import Analyst
from trunkline_gateway.attempts import Attempts
from trunkline_gateway.catalogue import build
from trunkline_gateway.clients import Clients, open_clients
from trunkline_gateway.config import GatewayConfig, unenforced
from trunkline_gateway.door import Door
from trunkline_gateway.edge import Edge
from trunkline_gateway.http_app import http_app
from trunkline_gateway.ledger.bookkeeping import Bookkeeper
from trunkline_gateway.ledger.opening import LedgerOptions, open_ledger
from trunkline_gateway.pipeline import Parts, Pipeline, State
from trunkline_gateway.prices.pricing import Pricing, build_pricing
from trunkline_gateway.prices.table import load_table
from trunkline_gateway.providers.base import OpenProvider, Provider
from trunkline_gateway.providers.openai import open_openai
from trunkline_gateway.providers.worker import open_workers
from trunkline_gateway.readiness import readiness_of
from trunkline_gateway.server import listen_on, serving, url_of
from trunkline_gateway.service import AdminService, GatewayService
from trunkline_gateway.telemetry import Meters
from trunkline_kit.errors import ConfigError
from trunkline_kit.health import Check
from trunkline_kit.parts import Kit
from trunkline_kit.secrets import Secret, resolve
from trunkline_kit.settings import OpenAIProvider, Settings, WorkerProvider
from trunkline_kit.settings import Provider as ProviderSettings

log = logging.getLogger(__name__)


class ProviderPool:
    """The providers in use. One whose settings and key did not change lives on over a reload, with its connections.

    A provider that is gone from the configuration stays open until the gateway stops: requests may still be in it.
    """

    def __init__(self, kit: Kit, stack: AsyncExitStack) -> None:
        self._kit = kit
        self._stack = stack
        self._open: dict[str, tuple[ProviderSettings, Secret | None, Provider]] = {}

    async def providers(self, config: GatewayConfig) -> Mapping[str, Provider]:
        """One provider for each entry that models may use. Raises ConfigError."""
        found: dict[str, Provider] = {}
        for name, settings in config.providers.items():
            known = self._open.get(name)
            # The same reference may lead to another key by now.
            key = _api_key(settings, self._kit)
            if known is not None and known[:2] == (settings, key):
                found[name] = known[2]
            elif (opening := _open_provider(name, settings, config, self._kit)) is not None:
                found[name] = await self._stack.enter_async_context(opening)
                self._open[name] = (settings, key, found[name])
        return found


def _api_key(settings: ProviderSettings, kit: Kit) -> Secret | None:
    """Of a kind that is served and has one. Raises ConfigError for one that is not there."""
    return _resolved(settings.api_key, kit) if isinstance(settings, OpenAIProvider) else None


def _open_provider(name: str, settings: ProviderSettings, config: GatewayConfig, kit: Kit) -> OpenProvider | None:
    """None for a kind that cannot be served yet: `GatewayConfig.check` has made sure that nothing uses it."""
    if isinstance(settings, WorkerProvider):
        return open_workers(name, settings, kit.net, kit.clock)
    if isinstance(settings, OpenAIProvider):
        return open_openai(name, settings, kit.environment, kit.clock, config.server.concurrent_requests)
    return None


class Gateway:
    """A gateway that serves."""

    name = "gateway"

    def __init__(self, address: str, grpc_address: str, reload: "Reload") -> None:
        self.address = address
        """Its HTTP URL."""
        self.grpc_address = grpc_address
        """What gRPC clients on this machine dial."""
        self._reload = reload

    async def apply(self, settings: Settings) -> None:
        """Take up a changed configuration for requests that begin after it. Raises ConfigError to keep the old one.

        Listening addresses and the addresses of other services are taken up by a restart only.
        """
        await self._reload.apply(settings)


class Reload:
    """Builds the state of a configuration and puts it into force."""

    def __init__(
        self,
        config: GatewayConfig,
        kit: Kit,
        pool: ProviderPool,
        clients: Clients,
        gate: Gate,
        extra_checks: Mapping[str, Check],
    ) -> None:
        self.config = config
        self._kit = kit
        self._pool = pool
        self._clients = clients
        self._gate = gate
        self._extra_checks = extra_checks
        self._targets: tuple[Pipeline, Door, Edge] | None = None

    async def state(self, config: GatewayConfig) -> State:
        """Raises ConfigError; nothing is in force before it returns."""
        catalogue = build(config, self._kit.environment, self._kit.clock.now_s())
        providers = await self._pool.providers(config)
        channels = {name: self._clients.channels[name] for name in _used(config)}
        readiness = readiness_of(catalogue, providers, channels, self._kit.clock)
        readiness.add("limits", self._gate.admission.check, required=False)
        for name, check in self._extra_checks.items():
            readiness.add(name, check, required=False)
        rulebook = await asyncio.to_thread(Rulebook, config)
        pricing = await _pricing(config, self._kit.clock.now_s())
        if rulebook.has_limits and not self._gate.admission.shared:
            log.warning("limits and budgets hold in this process only; set stores.redis to share them")
        limits = Terms(rulebook=rulebook, pricing=pricing, catalogue=catalogue)
        return State(catalogue, providers, readiness, limits, pricing)

    def attach(self, pipeline: Pipeline, door: Door, edge: Edge) -> None:
        self._targets = (pipeline, door, edge)

    async def apply(self, settings: Settings) -> None:
        config = GatewayConfig.from_settings(
            settings,
            extra_keys=self.config.extra_keys,
            redis=self.config.redis,
            database=self.config.database,
        )
        state = await self.state(config)
        warn_unenforced(settings, has_database=config.database is not None)
        if self._targets is None:
            raise ConfigError("the gateway is not serving yet")
        pipeline, door, edge = self._targets
        pipeline.state = state
        door.body_limit_bytes = config.server.body_limit_bytes
        edge.concurrent_requests = config.server.concurrent_requests
        self.config = config


def _used(config: GatewayConfig) -> list[str]:
    """The services that requests under this configuration may call."""
    policies = config.policies.values()
    uses = {
        "router": bool(config.routes),
        "cache": any(policy.cache.exact for policy in policies),
        "guardrails": any(policy.guardrails.input for policy in policies),
    }
    return [name for name, used in uses.items() if used]


async def _pricing(config: GatewayConfig, now_s: float) -> Pricing:
    """Of all models. Says which of them have none: budgets do not count those, and the ledger has no cost for them."""
    table = await asyncio.to_thread(load_table, config.prices.table)
    pricing = build_pricing(config.prices, config.providers, config.models, table)
    unpriced = [f"{model} at {provider}" for provider, model in pricing.unpriced(now_s)]
    if unpriced:
        text = "no price for %s: budgets and costs leave them out; see prices.overrides"
        log.warning(text, ", ".join(unpriced))
    return pricing


def _resolved(url: str | None, kit: Kit) -> Secret | None:
    return resolve(url, kit.environment) if url else None


def warn_unenforced(settings: Settings, *, has_database: bool) -> None:
    """Say once, at start and at each reload, what of the configuration has no effect yet."""
    for line in unenforced(settings, has_database=has_database):
        log.warning("not enforced in this version: %s", line)


@asynccontextmanager
async def open_gateway(
    config: GatewayConfig, kit: Kit, extra_checks: Mapping[str, Check] | None = None
) -> AsyncIterator[Gateway]:
    """Serve HTTP and gRPC until the block ends, then let requests in flight finish within the grace.

    `extra_checks` are shown in `/readyz` beside the gateway's own; requests do without what they look at.
    Raises ConfigError for a configuration that cannot be served, Conflict for an address that is taken.
    """
    config.check()
    meters = Meters(kit.metrics)
    async with AsyncExitStack() as stack:
        clients = await stack.enter_async_context(open_clients(config.services, kit.net))
        redis = config.redis or _resolved(config.stores.redis, kit)
        database = config.database or _resolved(config.stores.database, kit)
        gate = await stack.enter_async_context(open_gate(redis, kit, config.server.gateways))
        reload = Reload(config, kit, ProviderPool(kit, stack), clients, gate, extra_checks or {})
        ledger_options = LedgerOptions(redis=redis, database=database, ledger=config.ledger)
        books = await stack.enter_async_context(open_ledger(ledger_options, kit.clock, kit.metrics))
        attempts = Attempts(kit.tracing, meters, random.Random())  # noqa: S311 - load balancing, not secrets
        parts = Parts(
            gate=gate,
            analyst=Analyst(clients, meters),
            attempts=attempts,
            meters=meters,
            tracing=kit.tracing,
            clock=kit.clock,
            bookkeeper=Bookkeeper(books, kit.clock, kit.metrics),
        )
        pipeline = Pipeline(parts, await reload.state(config))
        door = Door(pipeline, kit.clock, config.server.body_limit_bytes)
        edge = Edge(http_app(door), config.server.concurrent_requests, meters.in_flight)
        reload.attach(pipeline, door, edge)
        listener = listen_on(config.listen.http)
        stack.callback(listener.close)
        service = GatewayService(pipeline, kit.clock)
        grpc_address = await stack.enter_async_context(
            kit.net.serve(
                config.listen.grpc,
                partial(add_GatewayServiceServicer_to_server, service),
                partial(add_GatewayAdminServiceServicer_to_server, AdminService(pipeline)),  # type: ignore[abstract]  # UNIMPLEMENTED is an answer
            )
        )
        await stack.enter_async_context(serving(edge, listener, config.server.drain_grace_s))
        yield Gateway(url_of(listener), grpc_address, reload)
