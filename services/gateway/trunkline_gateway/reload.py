"""What a configuration and a directory come down to, built beside the requests and put into force at once."""

import asyncio
import logging
from collections.abc import Mapping

from msgspec import Struct

from trunkline_gateway.addresses import Network, networks_of
from trunkline_gateway.admission.gate import Gate, Terms
from trunkline_gateway.admission.rulebook import Rulebook
from trunkline_gateway.auth import KeyRing
from trunkline_gateway.beside.drains import Drains
from trunkline_gateway.callers import Callers
from trunkline_gateway.catalogue import Catalogue, build
from trunkline_gateway.clients import Clients
from trunkline_gateway.config import GatewayConfig, unenforced
from trunkline_gateway.directory.objects import Kind
from trunkline_gateway.directory.snapshot import Snapshot
from trunkline_gateway.door import Door
from trunkline_gateway.edge import Edge
from trunkline_gateway.fleet.deployments import Fleet
from trunkline_gateway.hashing import Hasher
from trunkline_gateway.idempotency.flights import Flights
from trunkline_gateway.keys import DeclaredSecret, Principals, declared_secrets, ring_of
from trunkline_gateway.managed import Managed
from trunkline_gateway.oidc.binding import Tenancy
from trunkline_gateway.oidc.tokens import Tokens
from trunkline_gateway.pipeline import Pipeline, State
from trunkline_gateway.pool import ProviderPool
from trunkline_gateway.prices.pricing import Pricing, build_pricing
from trunkline_gateway.prices.rulings import stored_rulings
from trunkline_gateway.prices.table import Table, load_table
from trunkline_gateway.providers.base import Provider
from trunkline_gateway.readiness import readiness_of
from trunkline_gateway.tenancy import Tenants, tenants_of
from trunkline_kit.errors import ConfigError
from trunkline_kit.health import Check
from trunkline_kit.identity import OnRevoke
from trunkline_kit.parts import Kit
from trunkline_kit.settings import Server, Settings

log = logging.getLogger(__name__)


class Tables(Struct, frozen=True):
    """What takes files or much time to build."""

    tenants: Tenants
    ring: KeyRing
    rulebook: Rulebook
    pricing: Pricing


class Prepared(Struct, frozen=True, kw_only=True):
    """A configuration with all that it refers to, read once: changes of the directory read no file."""

    config: GatewayConfig
    catalogue: Catalogue
    providers: Mapping[str, Provider]
    proxies: tuple[Network, ...]
    table: Table
    secrets: tuple[DeclaredSecret, ...]


class Standby(Struct, frozen=True, kw_only=True):
    """What states are built with, the same for all of them."""

    kit: Kit
    pool: ProviderPool
    clients: Clients
    gate: Gate
    fleet: Fleet
    hasher: Hasher
    managed: Managed
    tokens: Tokens
    checks: Mapping[str, Check] = {}
    """Shown in `/readyz`; requests do without what they look at."""


class Served(Struct, frozen=True):
    """What a state is put into."""

    pipeline: Pipeline
    door: Door
    edge: Edge
    drains: Drains
    flights: Flights

    def bound(self, server: Server) -> None:
        """From now on these are the bounds."""
        self.door.body_limit_bytes = server.body_limit_bytes
        self.door.body_room.limit_bytes = server.bodies_limit_bytes
        self.edge.concurrent_requests = server.concurrent_requests
        self.pipeline.open.streams_max = server.concurrent_streams
        self.drains.limit = server.drained_answers


class Reload:
    """Builds the state of a configuration and a directory and puts it into force. One at a time."""

    def __init__(self, config: GatewayConfig, standby: Standby) -> None:
        self.config = config
        self._standby = standby
        self._principals = Principals()
        self._served: Served | None = None
        self._one_at_a_time = asyncio.Lock()
        self._prepared: Prepared | None = None

    async def prepared(self, config: GatewayConfig) -> Prepared:
        """Everything that a configuration brings by itself. Raises ConfigError."""
        kit = self._standby.kit
        table, secrets = await asyncio.to_thread(_read, config, self._standby.hasher, kit.environment)
        return Prepared(
            config=config,
            catalogue=build(config, kit.clock.now_s()),
            providers=await self._standby.pool.providers(config),
            proxies=networks_of(config.server.trusted_proxies, "server.trusted_proxies"),
            table=table,
            secrets=secrets,
        )

    async def state(self, prepared: Prepared, snapshot: Snapshot | None = None) -> State:
        """Raises ConfigError; nothing is in force before it returns."""
        standby, config, catalogue = self._standby, prepared.config, prepared.catalogue
        clock = standby.kit.clock
        channels = {name: standby.clients.channels[name] for name in _used(config)}
        readiness = readiness_of(catalogue, prepared.providers, channels, clock)
        readiness.add("limits", standby.gate.admission.check, required=False)
        readiness.add("directory", standby.managed.check, required=False)
        for name, check in standby.checks.items():
            readiness.add(name, check, required=False)
        tables = await asyncio.to_thread(self._tables, prepared, snapshot or standby.managed.snapshot)
        limits = Terms(rulebook=tables.rulebook, pricing=tables.pricing, catalogue=catalogue)
        callers = Callers(tables.ring, standby.managed.stored, clock, prepared.proxies, standby.tokens)
        return State(catalogue, callers, prepared.providers, readiness, limits, tables.pricing, tables.tenants)

    async def first_state(self) -> State:
        """Of the configuration at the start. Raises ConfigError."""
        self._prepared = await self.prepared(self.config)
        state = await self.state(self._prepared)
        self.warn(state)
        self.use_tokens(self.config, state)
        self._keep_places(state)
        return state

    def attach(self, served: Served) -> None:
        """From now on states are put into force."""
        self._served = served

    async def apply(self, settings: Settings) -> None:
        """Raises ConfigError to keep what is in force."""
        old = self.config
        config = GatewayConfig.from_settings(
            settings, extra_keys=old.extra_keys, redis=old.redis, database=old.database, pepper=old.pepper
        )
        async with self._one_at_a_time:
            prepared = await self.prepared(config)
            state = await self.state(prepared)
            warn_unenforced(settings, has_database=config.database is not None)
            self.warn(state)
            served = self._put(config, state)
            served.flights.settings = config.idempotency
            served.bound(config.server)
            self._standby.gate.room.requests_max = config.server.queued_requests
            self.config, self._prepared = config, prepared
            self._standby.managed.apply(config)
            self.sweep()

    async def take(self, snapshot: Snapshot) -> None:
        """The directory has changed."""
        async with self._one_at_a_time:
            if self._prepared is None:
                raise ConfigError("the gateway is not serving yet")
            state = await self.state(self._prepared, snapshot)
            self._put(self.config, state)
            self.sweep()

    def sweep(self) -> None:
        """End requests whose key has stopped, where they are not to finish."""
        if self._served is None or self.config.identity.on_revoke is not OnRevoke.CUT:
            return
        pipeline = self._served.pipeline
        if cut := pipeline.open.sweep(pipeline.state.callers.why_stopped):
            log.warning("%d requests were cut: their keys were revoked, disabled or have expired", cut)

    def warn(self, state: State) -> None:
        """Say what of a configuration will surprise."""
        if state.limits.rulebook.has_limits and not self._standby.gate.admission.shared:
            log.warning("limits and budgets hold in this process only; set stores.redis to share them")
        unpriced = state.pricing.unpriced(self._standby.kit.clock.now_s())
        if unpriced:
            text = "no price for %s: budgets and costs leave them out; see prices.overrides"
            log.warning(text, ", ".join(f"{model} at {provider}" for provider, model in unpriced))

    def _put(self, config: GatewayConfig, state: State) -> Served:
        if self._served is None:
            raise ConfigError("the gateway is not serving yet")
        self.use_tokens(config, state)
        pipeline = self._served.pipeline
        self._keep_known(pipeline.state, state)
        pipeline.state = state
        return self._served

    def _keep_known(self, old: State, new: State) -> None:
        """What was seen of deployments holds as long as they, their address and their key do."""
        fleet = self._standby.fleet
        for name, provider in new.providers.items():
            if old.providers.get(name) is not provider:
                fleet.forget(name)
        self._keep_places(new)

    def _keep_places(self, state: State) -> None:
        offers = state.catalogue.offers.values()
        self._standby.fleet.keep(place for offer in offers for place in offer.places)

    def use_tokens(self, config: GatewayConfig, state: State) -> None:
        """From now on tokens of these issuers are taken, for the teams that exist now."""
        tokens, tenants = self._standby.tokens, state.tenants
        tokens.apply(config.identity.oidc, Tenancy(teams=tenants.teams, projects=tenants.projects))
        for name, check in tokens.checks().items():
            state.readiness.add(name, check, required=False)

    def _tables(self, prepared: Prepared, snapshot: Snapshot) -> Tables:
        """Takes its time with many keys: runs in a thread."""
        config = prepared.config
        tenants = tenants_of(config, snapshot.items)
        principals = self._principals.of(tenants)
        ring = ring_of(principals, prepared.secrets, snapshot.secrets.values(), self._standby.hasher)
        overrides = stored_rulings(snapshot.items.get(Kind.PRICE, {}).values())
        pricing = build_pricing(config.prices, config.providers, config.models, prepared.table, overrides)
        return Tables(tenants, ring, Rulebook(tenants), pricing)


def _read(
    config: GatewayConfig, hasher: Hasher, environment: Mapping[str, str]
) -> tuple[Table, tuple[DeclaredSecret, ...]]:
    """What stands in files. Raises ConfigError."""
    return load_table(config.prices.table), declared_secrets(config, hasher, environment)


def _used(config: GatewayConfig) -> list[str]:
    """The services that requests under this configuration may call."""
    policies = config.policies.values()
    uses = {
        "router": bool(config.routes),
        "cache": any(policy.cache.exact for policy in policies),
        "guardrails": any(policy.guardrails.input for policy in policies),
    }
    return [name for name, used in uses.items() if used]


def warn_unenforced(settings: Settings, *, has_database: bool) -> None:
    """Say once, at start and at each reload, what of the configuration has no effect yet."""
    for line in unenforced(settings, has_database=has_database):
        log.warning("not enforced in this version: %s", line)
