"""One service as a process of its own: `run_service` is what `python -m trunkline_NAME` and `trunkline NAME` do."""

import argparse
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeVar

from msgspec import Struct, structs

from trunkline_kit.clock import SystemClock
from trunkline_kit.config_check import require_valid
from trunkline_kit.config_source import ConfigSource, open_source
from trunkline_kit.errors import ConfigError, TrunklineError
from trunkline_kit.lifecycle import background, run, stop_signals
from trunkline_kit.logs import set_up_logs
from trunkline_kit.metrics import Metrics, open_metrics
from trunkline_kit.parts import Kit, OpenService, RunningService
from trunkline_kit.rpc import Net
from trunkline_kit.settings import Settings
from trunkline_kit.tracing import open_tracing

ConfigT = TypeVar("ConfigT")

TRACE_RECEIVER = "sre"
"""The service that gets the spans; its own calls are not traced, or each export would make another."""

_log = logging.getLogger(__name__)


class RunOptions(Struct, frozen=True, kw_only=True):
    """What the command line says: the file, and addresses in place of the file's."""

    config: Path
    http: str | None = None
    grpc: str | None = None
    metrics: str | None = None

    def override(self, settings: Settings) -> Settings:
        """`settings` with the addresses given here."""
        given = {name: getattr(self, name) for name in ("http", "grpc", "metrics") if getattr(self, name) is not None}
        return structs.replace(settings, listen=structs.replace(settings.listen, **given))


async def serve(
    name: str,
    open_service: OpenService[ConfigT],
    from_settings: Callable[[Settings], ConfigT],
    options: RunOptions,
    environment: Mapping[str, str],
) -> None:
    """Run the service until SIGTERM or SIGINT; then let it drain. Raises ConfigError, Conflict and what it raises."""
    source = open_source(options.config)
    settings = options.override(source.current.settings)
    require_valid(settings)
    set_up_logs(settings.telemetry.log_level)
    with stop_signals() as stop:
        async with AsyncExitStack() as stack:
            kit = await stack.enter_async_context(open_kit(name, settings, environment))
            service = await stack.enter_async_context(open_service(from_settings(settings), kit))
            _log.info("%s serves on %s", name, service.address, extra={"config": source.current.version})
            poll_s = settings.server.config_poll_s
            await stack.enter_async_context(background(reload(source, (service,), options.override, poll_s)))
            await stop.wait()
            _log.info("%s stops on %s", name, stop.name)


@asynccontextmanager
async def open_kit(name: str, settings: Settings, environment: Mapping[str, str]) -> AsyncIterator[Kit]:
    """What a process of one service shares: its net, its tracer and its metrics page."""
    net = Net()
    metrics = Metrics(name)
    sre = settings.services.sre
    # A `local:` receiver would have to be in this process, which runs one service only.
    target = None if name == TRACE_RECEIVER or sre.startswith("local:") else sre
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(open_metrics(settings.listen.metrics, metrics))
        ratio = settings.telemetry.trace_sample_ratio
        tracing = await stack.enter_async_context(
            open_tracing(f"trunkline-{name}", net, target=target, sample_ratio=ratio)
        )
        kit = Kit(net=net, clock=SystemClock(), tracing=tracing, metrics=metrics.registry, environment=environment)
        yield kit.traced(tracing)


async def reload(
    source: ConfigSource, services: Iterable[RunningService], override: Callable[[Settings], Settings], poll_s: float
) -> None:
    """Give every good new configuration to all `services`; one that refuses keeps the old one for all. Never ends."""
    services = tuple(services)
    async for loaded in source.changes(poll_s):
        if loaded.settings.listen != source.current.settings.listen:
            _log.warning("listen has changed: addresses are taken up by the next start only")
        old, new = override(source.current.settings), override(loaded.settings)
        try:
            require_valid(new)
            await apply_all(services, old, new)
        except ConfigError as error:
            source.reject(error)
        else:
            source.accept(loaded)


async def apply_all(services: Sequence[RunningService], old: Settings, new: Settings) -> None:
    """`apply` in order. When one refuses, those before it get `old` back, and its ConfigError is raised."""
    for index, service in enumerate(services):
        try:
            await service.apply(new)
        except ConfigError as error:
            for changed in services[:index]:
                await changed.apply(old)
            raise ConfigError(f"{service.name}: {error}") from error


def run_service(
    name: str,
    open_service: OpenService[ConfigT],
    from_settings: Callable[[Settings], ConfigT],
    argv: Sequence[str] | None = None,
) -> None:
    """The whole process: arguments, serving, exit code. Errors are one line on stderr."""
    parser = argparse.ArgumentParser(prog=f"trunkline {name}", description=f"Run Trunkline's {name} by itself.")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="trunkline.yaml or a folder of them")
    for listener in ("http", "grpc", "metrics"):
        parser.add_argument(f"--{listener}", metavar="HOST:PORT", help=f"instead of listen.{listener} in the file")
    options = RunOptions(**vars(parser.parse_args(argv)))
    environment = dict(os.environ)  # noqa: TID251 - the one place where a service's process reads it
    try:
        run(lambda: serve(name, open_service, from_settings, options, environment))
    except TrunklineError as error:
        sys.exit(f"trunkline {name}: {error.message}")
