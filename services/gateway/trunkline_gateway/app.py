"""Composition root of the gateway: opened top to bottom, closed in reverse."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import NoReturn

from msgspec import Struct

from trunkline.gateway.v1.gateway_service_pb2_grpc import (
    add_GatewayAdminServiceServicer_to_server,
    add_GatewayServiceServicer_to_server,
)
from trunkline_gateway.admin.opening import open_admin
from trunkline_gateway.admin.routes import AdminParts, admin_routes
from trunkline_gateway.admission.gate import Gate
from trunkline_gateway.admission.opening import GateOptions, open_gate
from trunkline_gateway.analysis import Analyst
from trunkline_gateway.attempts import Attempts
from trunkline_gateway.beside.drains import Drains
from trunkline_gateway.beside.shadows import Shadows
from trunkline_gateway.clients import open_clients
from trunkline_gateway.config import GatewayConfig
from trunkline_gateway.door import Door
from trunkline_gateway.edge import Edge
from trunkline_gateway.fleet.deployments import Fleet
from trunkline_gateway.fleet.meters import FleetMeters
from trunkline_gateway.fleet.opening import sharing_breakers
from trunkline_gateway.fleet.planning import Planner
from trunkline_gateway.hashing import Hasher
from trunkline_gateway.http_app import http_app
from trunkline_gateway.idempotency.opening import open_flights
from trunkline_gateway.ledger.bookkeeping import Bookkeeper
from trunkline_gateway.ledger.books import Books
from trunkline_gateway.ledger.opening import LedgerOptions, open_ledger
from trunkline_gateway.ledger.rows import AttemptRow
from trunkline_gateway.ledger.sweeper import sweeping_journals
from trunkline_gateway.managed import open_managed
from trunkline_gateway.moderation import Moderator
from trunkline_gateway.oidc.opening import open_tokens
from trunkline_gateway.pipeline import Parts, Pipeline
from trunkline_gateway.pool import ProviderPool
from trunkline_gateway.reload import Reload, Served, Standby
from trunkline_gateway.responses.opening import open_desk
from trunkline_gateway.server import listen_on, serving, url_of
from trunkline_gateway.service import AdminService, GatewayService
from trunkline_gateway.telemetry import Meters
from trunkline_kit.health import Check
from trunkline_kit.lifecycle import background
from trunkline_kit.parts import Kit
from trunkline_kit.secrets import Secret, resolve
from trunkline_kit.settings import Server, Settings

SWEEP_EVERY_S = 0.5
"""How often requests that are under way are looked at for keys that have expired meanwhile."""


class Gateway:
    """A gateway that serves."""

    name = "gateway"

    def __init__(self, address: str, grpc_address: str, reload: Reload) -> None:
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


def _resolved(url: str | None, kit: Kit) -> Secret | None:
    return resolve(url, kit.environment) if url else None


def _gate_options(config: GatewayConfig) -> GateOptions:
    return GateOptions(gateways=config.server.gateways, queued_requests=config.server.queued_requests)


def _hasher(config: GatewayConfig, kit: Kit) -> Hasher:
    """Under the pepper of the configuration as it is now: another one is taken up by a restart."""
    identity = config.identity
    current = config.pepper or _resolved(identity.pepper, kit)
    if current is None:
        return Hasher()
    return Hasher((current, *(resolve(one, kit.environment) for one in identity.previous_peppers)))


def _sweeping_journals(
    books: Books | None, pipeline: Pipeline, gate: Gate, kit: Kit
) -> AbstractAsyncContextManager[None]:
    """What killed gateways left is written down, and counted against limits, by what is in force then."""

    def charge(row: AttemptRow) -> None:
        gate.charge_lost(row, pipeline.state.limits)

    return sweeping_journals(books, lambda: pipeline.state.pricing, kit.metrics, charge)


async def _sweeping(reload: Reload) -> NoReturn:
    while True:
        await asyncio.sleep(SWEEP_EVERY_S)
        reload.sweep()


class Shared(Struct, frozen=True, kw_only=True):
    """What the gateway shares with others, and hides from everybody."""

    redis: Secret | None
    database: Secret | None
    hasher: Hasher


async def _open_standby(
    config: GatewayConfig, kit: Kit, shared: Shared, checks: Mapping[str, Check], stack: AsyncExitStack
) -> Standby:
    """Everything that outlives a configuration."""
    managed = open_managed(config, shared.database, shared.hasher, kit.clock)
    return Standby(
        kit=kit,
        pool=ProviderPool(kit, stack),
        clients=await stack.enter_async_context(open_clients(config.services, kit.net)),
        gate=await stack.enter_async_context(open_gate(shared.redis, kit, _gate_options(config))),
        fleet=Fleet(kit.clock, FleetMeters(kit.metrics)),
        hasher=shared.hasher,
        managed=await stack.enter_async_context(managed),
        tokens=await stack.enter_async_context(open_tokens(kit.clock, kit.metrics)),
        checks=checks,
    )


def _parts(kit: Kit, standby: Standby, meters: Meters, books: Books | None, server: Server) -> Parts:
    dice = random.Random()  # noqa: S311 - load balancing, not secrets
    analyst, bookkeeper = Analyst(standby.clients, meters), Bookkeeper(books, kit.clock, kit.metrics)
    return Parts(
        gate=standby.gate,
        analyst=analyst,
        attempts=Attempts(kit.tracing, meters, standby.fleet, dice),
        planner=Planner(standby.fleet, dice),
        meters=meters,
        tracing=kit.tracing,
        clock=kit.clock,
        bookkeeper=bookkeeper,
        drains=Drains(server.drained_answers, kit.metrics),
        shadows=Shadows(standby.fleet, analyst, bookkeeper, dice, kit.metrics),
        moderator=Moderator(standby.clients, meters),
    )


async def _serve_grpc(
    config: GatewayConfig, kit: Kit, pipeline: Pipeline, admin: AdminParts, stack: AsyncExitStack
) -> str:
    """The address that clients on this machine dial."""
    service = GatewayService(pipeline, kit.clock)
    return await stack.enter_async_context(
        kit.net.serve(
            config.listen.grpc,
            partial(add_GatewayServiceServicer_to_server, service),
            partial(add_GatewayAdminServiceServicer_to_server, AdminService(pipeline, admin)),  # type: ignore[abstract]  # UNIMPLEMENTED is an answer
        )
    )


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
    shared = Shared(
        redis=config.redis or _resolved(config.stores.redis, kit),
        database=config.database or _resolved(config.stores.database, kit),
        hasher=_hasher(config, kit),
    )
    async with AsyncExitStack() as stack:
        ledger_options = LedgerOptions(redis=shared.redis, database=shared.database, ledger=config.ledger)
        books = await stack.enter_async_context(open_ledger(ledger_options, kit.clock, kit.metrics))
        checks = {**(extra_checks or {}), **({} if books is None else {"ledger": books.check})}
        standby = await _open_standby(config, kit, shared, checks, stack)
        if shared.redis is not None:
            await stack.enter_async_context(sharing_breakers(shared.redis, standby.fleet))
        reload = Reload(config, standby)
        state = await reload.first_state()
        parts = _parts(kit, standby, meters, books, config.server)
        for crew in (parts.drains.crew, *([parts.shadows.crew] if parts.shadows else [])):
            await stack.enter_async_context(background(crew.working()))
        pipeline = Pipeline(parts, state)
        desk = await stack.enter_async_context(open_desk(shared.redis, config.responses, kit.clock))
        flights = await stack.enter_async_context(open_flights(shared.redis, config.idempotency, kit))
        door = Door(pipeline, kit.clock, config.server.body_limit_bytes, desk, flights)
        managed, limits = standby.managed, standby.gate.admission
        admin = await stack.enter_async_context(open_admin(managed.registry, limits, shared.database, kit.clock))
        edge = Edge(
            http_app(door, kit.metrics, admin_routes(admin)), config.server.concurrent_requests, meters.in_flight
        )
        served = Served(pipeline, door, edge, parts.drains, flights)
        served.bound(config.server)
        reload.attach(served)
        await stack.enter_async_context(managed.following(reload.take))
        await stack.enter_async_context(background(_sweeping(reload)))
        await stack.enter_async_context(_sweeping_journals(books, pipeline, standby.gate, kit))
        listener = listen_on(config.listen.http)
        stack.callback(listener.close)
        grpc_address = await _serve_grpc(config, kit, pipeline, admin, stack)
        await stack.enter_async_context(serving(edge, listener, config.server.drain_grace_s))
        yield Gateway(url_of(listener), grpc_address, reload)
