"""Composition root of everything in one process."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from msgspec import Struct, structs
from prometheus_client import CollectorRegistry

from trunkline_cache.app import open_cache
from trunkline_cache.config import CacheConfig
from trunkline_gateway.app import Gateway, open_gateway
from trunkline_gateway.config import ExtraKey, GatewayConfig
from trunkline_guardrails.app import open_guardrails
from trunkline_guardrails.config import GuardrailsConfig
from trunkline_kit.errors import ConfigError
from trunkline_kit.health import Check
from trunkline_kit.parts import Kit, OpenService, RunningService
from trunkline_kit.secrets import Secret
from trunkline_kit.settings import Settings
from trunkline_kit.tracing import Tracing, open_tracing
from trunkline_router.app import open_router
from trunkline_router.config import RouterConfig
from trunkline_sre.app import open_sre
from trunkline_sre.config import SreConfig
from trunkline_standalone.config import LOCAL, local_workers
from trunkline_worker.app import open_worker
from trunkline_worker.config import WorkerConfig

ConfigT = TypeVar("ConfigT")
OpenAt = Callable[[Settings, str, Kit], AbstractAsyncContextManager[RunningService]]
"""Opens a service of these settings at this address."""


def _at(open_service: OpenService[ConfigT], from_settings: Callable[..., ConfigT]) -> OpenAt:
    def open_at(settings: Settings, listen: str, kit: Kit) -> AbstractAsyncContextManager[RunningService]:
        return open_service(from_settings(settings, listen=listen), kit)

    return open_at


PARTS: tuple[tuple[str, OpenAt], ...] = (
    ("router", _at(open_router, RouterConfig.from_settings)),
    ("cache", _at(open_cache, CacheConfig.from_settings)),
    ("guardrails", _at(open_guardrails, GuardrailsConfig.from_settings)),
)
"""Between sre, which all of them send spans to, and the gateway, which calls all of them."""


class StandaloneConfig(Struct, frozen=True, kw_only=True):
    """What one process with everything in it is made of."""

    settings: Settings
    home: Path
    """Where prepared models are."""
    extra_keys: tuple[ExtraKey, ...] = ()
    redis: Secret | None = None
    """Where the gateway keeps limits; None: where the settings say."""
    database: Secret | None = None
    """The same for its ledger and its keys."""
    pepper: Secret | None = None
    """Under which keys made at run time are hashed; None: as the settings say."""
    extra_checks: dict[str, Check] = {}
    """Shown in `/readyz`."""


class Standalone(Struct, frozen=True):
    """Everything, serving."""

    gateway: Gateway
    parts: tuple[RunningService, ...]
    """In the order they were opened; a changed configuration goes to all."""
    registries: tuple[CollectorRegistry, ...]
    """Of the workers: each has its own."""


class FixedWorkers:
    """Refuses a changed configuration that needs a worker which was not opened at the start. The first to be asked."""

    name = "workers"
    address = ""

    def __init__(self, started: Settings) -> None:
        self._running = {local.listen for local in local_workers(started)}

    async def apply(self, settings: Settings) -> None:
        """Raises ConfigError naming the model."""
        for local in local_workers(settings):
            if local.listen not in self._running:
                raise ConfigError(f"{local.worker.model} has no worker in this process; restart `trunkline up`")


@asynccontextmanager
async def open_standalone(config: StandaloneConfig, kit: Kit) -> AsyncIterator[Standalone]:
    """Open all services, callees first, so that the gateway stops first and drains while the others still answer.

    A service whose target is not `local:` runs elsewhere and is not opened. Raises TrunklineError.
    """
    settings = config.settings
    parts: list[RunningService] = [FixedWorkers(settings)]
    async with AsyncExitStack() as stack:
        if settings.services.sre.startswith(LOCAL):
            sre = SreConfig.from_settings(settings, listen=settings.services.sre)
            parts.append(await stack.enter_async_context(open_sre(sre, kit)))
        registries = await _open_workers(config, kit, stack, parts)
        for name, open_at in PARTS:
            target: str = getattr(settings.services, name)
            if target.startswith(LOCAL):
                own_kit = await _traced(name, settings, kit, stack)
                parts.append(await stack.enter_async_context(open_at(settings, target, own_kit)))
        gateway_config = GatewayConfig.from_settings(
            _with_spool(settings, config.home),
            extra_keys=config.extra_keys,
            redis=config.redis,
            database=config.database,
            pepper=config.pepper,
        )
        gateway_kit = await _traced("gateway", settings, kit, stack)
        gateway = await stack.enter_async_context(open_gateway(gateway_config, gateway_kit, config.extra_checks))
        yield Standalone(gateway, (*parts, gateway), registries)


def _with_spool(settings: Settings, home: Path) -> Settings:
    """Usage that no store can take waits in the home folder, unless the file names another place."""
    if settings.ledger.spool_dir is not None:
        return settings
    return structs.replace(settings, ledger=structs.replace(settings.ledger, spool_dir=str(home / "usage-spool")))


async def _open_workers(
    config: StandaloneConfig, kit: Kit, stack: AsyncExitStack, parts: list[RunningService]
) -> tuple[CollectorRegistry, ...]:
    """Each with a registry of its own: their metrics have the same names."""
    registries = []
    for local in local_workers(config.settings):
        worker = WorkerConfig.from_worker(
            local.worker,
            listen=local.listen,
            home=config.home,
            drain_grace_s=config.settings.server.drain_grace_s,
        )
        registry = CollectorRegistry()
        own_kit = replace(await _traced("worker", config.settings, kit, stack), metrics=registry)
        parts.append(await stack.enter_async_context(open_worker(worker, own_kit)))
        registries.append(registry)
    return tuple(registries)


async def _traced(name: str, settings: Settings, kit: Kit, stack: AsyncExitStack) -> Kit:
    """The kit as service `name` sees it, with spans that go to the sre service."""
    ratio = settings.telemetry.trace_sample_ratio
    untraced = kit.net.traced(Tracing())
    opened = open_tracing(f"trunkline-{name}", untraced, target=settings.services.sre, sample_ratio=ratio)
    return kit.traced(await stack.enter_async_context(opened))
