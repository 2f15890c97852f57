"""`trunkline gateway | router | cache | guardrails | sre | worker`: one service as a process of its own.

Each imports its own service only: a router's process has no need of the gateway's web framework.
"""

# ruff: noqa: PLC0415 - that is why imports stand in functions here
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct

from trunkline_kit.config import load
from trunkline_kit.errors import ConfigError
from trunkline_kit.lifecycle import run
from trunkline_kit.runner import RunOptions, serve

Serve = Callable[[RunOptions, Mapping[str, str]], Coroutine[Any, Any, None]]


class Listeners(Struct, frozen=True, kw_only=True):
    """Addresses given on the command line in place of the file's."""

    http: str | None = None
    grpc: str | None = None
    metrics: str | None = None


def run_service(name: str, config: Path, listeners: Listeners, environment: Mapping[str, str]) -> None:
    """Run it until SIGTERM or SIGINT. Raises TrunklineError."""
    _run(SERVICES[name](), config, listeners, environment)


def run_worker(
    name: str | None, home: Path, config: Path, listeners: Listeners, environment: Mapping[str, str]
) -> None:
    """Run the worker that `workers:` calls `name`. Raises ConfigError when that is not clear."""
    from trunkline_worker.app import open_worker
    from trunkline_worker.config import WorkerConfig

    name = name or only_worker(config)
    from_settings = partial(WorkerConfig.from_settings, name=name, listen=None, home=home.expanduser().absolute())
    _run(partial(serve, "worker", open_worker, from_settings), config, listeners, environment)


def only_worker(config: Path) -> str:
    names = list(load(config).settings.workers)
    if len(names) == 1:
        return names[0]
    known = ", ".join(names) or "none"
    raise ConfigError(f"--worker NAME is needed: {config} has {known} under workers:")


def _run(serve_with: Serve, config: Path, listeners: Listeners, environment: Mapping[str, str]) -> None:
    options = RunOptions(config=config, http=listeners.http, grpc=listeners.grpc, metrics=listeners.metrics)
    run(lambda: serve_with(options, environment))


def _gateway() -> Serve:
    from trunkline_gateway.app import open_gateway
    from trunkline_gateway.config import GatewayConfig

    return partial(serve, "gateway", open_gateway, GatewayConfig.from_settings)


def _router() -> Serve:
    from trunkline_router.app import open_router
    from trunkline_router.config import RouterConfig

    return partial(serve, "router", open_router, RouterConfig.from_settings)


def _cache() -> Serve:
    from trunkline_cache.app import open_cache
    from trunkline_cache.config import CacheConfig

    return partial(serve, "cache", open_cache, CacheConfig.from_settings)


def _guardrails() -> Serve:
    from trunkline_guardrails.app import open_guardrails
    from trunkline_guardrails.config import GuardrailsConfig

    return partial(serve, "guardrails", open_guardrails, GuardrailsConfig.from_settings)


def _sre() -> Serve:
    from trunkline_sre.app import open_sre
    from trunkline_sre.config import SreConfig

    return partial(serve, "sre", open_sre, SreConfig.from_settings)


SERVICES: dict[str, Callable[[], Serve]] = {
    "gateway": _gateway,
    "router": _router,
    "cache": _cache,
    "guardrails": _guardrails,
    "sre": _sre,
}
"""By the name on the command line."""
