"""`trunkline up`: prepare, start everything, say how to use it, stay until asked to stop."""

import asyncio
import logging
import logging.handlers
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

from msgspec import Struct, structs
from rich.console import Console

from trunkline_gateway.config import ExtraKey
from trunkline_gateway.server import listen_on
from trunkline_kit.clock import SystemClock
from trunkline_kit.config_check import require_valid
from trunkline_kit.config_source import ConfigSource, open_source
from trunkline_kit.errors import Conflict
from trunkline_kit.lifecycle import StopSignal, background, run, stop_signals
from trunkline_kit.logs import JsonFormatter, set_up_logs
from trunkline_kit.metrics import Metrics, open_metrics
from trunkline_kit.parts import Kit
from trunkline_kit.rpc import Net
from trunkline_kit.runner import reload
from trunkline_kit.secrets import Secret
from trunkline_kit.settings import Settings
from trunkline_kit.tracing import Tracing
from trunkline_standalone.app import Standalone, StandaloneConfig, open_standalone
from trunkline_standalone.banner import Ready, show
from trunkline_standalone.config import AUTO, default_settings, local_workers, on_port
from trunkline_standalone.home import Home, announced, locked, make_home, require_space
from trunkline_standalone.key import OwnerKey, ensure_key, ensure_pepper
from trunkline_standalone.metrics import Merged
from trunkline_standalone.preparation import Wanted, prepare_all, wanted
from trunkline_standalone.stores import StoreUrls, open_stores, store_urls
from trunkline_worker.config import variant_of

OWNER_KEY_ID = "owner"
SPACE_BYTES = 256 << 20
"""For logs and data; preparing models asks for its own."""
_LOG_BYTES_MAX = 10 << 20
_LOGS_KEPT = 3
_OWN_MODEL = ("path:", "fake:")
"""Models that are not of the catalogue and need no preparation."""


class UpOptions(Struct, frozen=True, kw_only=True):
    """As given on the command line."""

    home: Path
    port: int | None = None
    config: Path | None = None


class Plan(Struct, frozen=True, kw_only=True):
    """All that is decided before anything is opened."""

    home: Home
    settings: Settings
    stores: StoreUrls
    key: OwnerKey
    pepper: Secret | None
    """None: the settings name one."""
    source: ConfigSource | None
    environment: Mapping[str, str]
    notes: tuple[str, ...] = ()


def run_up(options: UpOptions, environment: Mapping[str, str]) -> None:
    """Serve until SIGTERM or SIGINT; a second one ends requests at once. Raises TrunklineError before it serves."""
    home = make_home(options.home)
    with locked(home), set_up_logs_of(home):
        source = open_source(options.config) if options.config else None
        settings = settled(source, options.port)
        logging.getLogger().setLevel(settings.telemetry.log_level.upper())
        urls = store_urls(settings.stores, environment)
        require_space(home, SPACE_BYTES)
        prepare_all(home.path, models_of(settings, home.path))
        # After what may take minutes: a port that is free now may be another one's by then.
        settings, notes = (settings, ()) if source else with_free_ports(settings)
        plan = Plan(
            home=home,
            settings=settings,
            stores=urls,
            key=ensure_key(home.key_file),
            pepper=ensure_pepper(home.pepper_file) if settings.identity.pepper is None else None,
            source=source,
            environment=environment,
            notes=notes,
        )
        try:
            run(lambda: serve(plan))
        except asyncio.CancelledError:
            # The second stop signal: requests were cancelled, everything is closed.
            return


def settled(source: ConfigSource | None, port: int | None) -> Settings:
    """The settings with the HTTP port that was asked for.

    Raises Conflict when the HTTP port is taken, ConfigError for settings that nothing can serve.
    """
    settings = source.current.settings if source else default_settings()
    require_valid(settings)
    local_workers(settings)
    listen = on_port(settings.listen, port)
    listen_on(listen.http).close()
    return structs.replace(settings, listen=listen)


def with_free_ports(settings: Settings) -> tuple[Settings, tuple[str, ...]]:
    """The settings with ports for gRPC and metrics that are free now, and what to say about those that changed.

    For those that nobody asked for: any free one will do.
    """
    listen, notes = settings.listen, []
    for name in ("grpc", "metrics"):
        wanted_address = getattr(listen, name)
        address = free_address(wanted_address)
        if address != wanted_address:
            listen = structs.replace(listen, **{name: address})
            notes.append(f"{name} is on {address}, since {wanted_address} is taken")
    return structs.replace(settings, listen=listen), tuple(notes)


def free_address(address: str) -> str:
    """`host:port` as given, or with a port that is free now if that one is taken."""
    try:
        listen_on(address).close()
    except Conflict:
        host, _, _ = address.rpartition(":")
        with listen_on(f"{host}:0") as listener:
            return f"{host}:{listener.getsockname()[1]}"
    return address


def models_of(settings: Settings, home: Path) -> list[Wanted]:
    """The models by name that the local workers run: the catalogue's, and those of one's own in `home`."""
    workers = [local.worker for local in local_workers(settings)]
    named = [worker for worker in workers if not worker.model.startswith(_OWN_MODEL)]
    return [wanted(worker.model, variant_of(worker), home) for worker in named]


async def serve(plan: Plan) -> None:
    """Open everything, show how to use it, wait for a stop signal, close everything in reverse."""
    with stop_signals() as stop:
        async with open_everything(plan) as standalone:
            with announced(plan.home, standalone.gateway.address):
                if not stop.is_set:
                    show(_ready(plan, standalone), Console())
                await stop.wait()
            _say_stopping(stop, plan.settings.server.drain_grace_s)


@asynccontextmanager
async def open_everything(plan: Plan) -> AsyncIterator[Standalone]:
    """Stores, services, the metrics page and the watch on the configuration file."""
    metrics = Metrics("standalone")
    kit = Kit(
        net=Net(),
        clock=SystemClock(),
        tracing=Tracing(),
        metrics=metrics.registry,
        environment=plan.environment,
    )
    owner = ExtraKey(id=OWNER_KEY_ID, sha256=plan.key.sha256)
    async with AsyncExitStack() as stack:
        runtime_folder = plan.environment.get("XDG_RUNTIME_DIR", "")
        stores = await stack.enter_async_context(open_stores(plan.stores, plan.home, runtime_folder))
        config = StandaloneConfig(
            settings=plan.settings,
            home=plan.home.path,
            extra_keys=(owner,),
            redis=stores.urls.redis,
            database=stores.urls.database,
            pepper=plan.pepper,
            extra_checks=stores.checks(),
        )
        standalone = await stack.enter_async_context(open_standalone(config, kit))
        metrics.registry.register(Merged(standalone.registries))
        await stack.enter_async_context(open_metrics(plan.settings.listen.metrics, metrics))
        if plan.source is not None:
            listen, poll_s = plan.settings.listen, plan.settings.server.config_poll_s
            changes = reload(plan.source, standalone.parts, partial(structs.replace, listen=listen), poll_s)
            await stack.enter_async_context(background(changes))
        yield standalone


def _ready(plan: Plan, standalone: Standalone) -> Ready:
    names = [*plan.settings.routes, *plan.settings.models]
    return Ready(
        url=standalone.gateway.address,
        key_file=plan.home.key_file,
        new_key=plan.key.secret.reveal() if plan.key.is_new else None,
        model=AUTO if AUTO in names or not names else names[0],
        notes=plan.notes,
    )


def _say_stopping(stop: StopSignal, grace_s: float) -> None:
    text = f"{stop.name}: finishing requests in flight, at most {grace_s:g} s; once more stops at once"
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - for people


@contextmanager
def set_up_logs_of(home: Home) -> Iterator[None]:
    """Everything as JSON into the home's log file, which is bounded; warnings for people on standard error too."""
    console = set_up_logs("info", "text", sys.stderr)
    console.setLevel(logging.WARNING)
    file = logging.handlers.RotatingFileHandler(home.log_file, maxBytes=_LOG_BYTES_MAX, backupCount=_LOGS_KEPT)
    file.setFormatter(JsonFormatter())
    logging.getLogger().addHandler(file)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(file)
        file.close()
