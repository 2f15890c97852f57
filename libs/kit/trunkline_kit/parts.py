"""What one process shares among its services, and what a running service is to the process."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

from prometheus_client import CollectorRegistry

from trunkline_kit.clock import Clock
from trunkline_kit.rpc import Net
from trunkline_kit.settings import Settings
from trunkline_kit.tracing import Tracing

ConfigT_contra = TypeVar("ConfigT_contra", contravariant=True)


@dataclass(frozen=True)
class Kit:
    """Handed to every composition root; nothing in it is global."""

    net: Net
    clock: Clock
    tracing: Tracing
    metrics: CollectorRegistry
    environment: Mapping[str, str] = field(repr=False)
    """Where `env:NAME` references are looked up."""

    def traced(self, tracing: Tracing) -> "Kit":
        """The same for a service with a tracer of its own."""
        return replace(self, tracing=tracing, net=self.net.traced(tracing))


class RunningService(Protocol):
    """A service that serves, until the block that opened it ends."""

    @property
    def name(self) -> str:
        """As in `trunkline NAME`."""

    @property
    def address(self) -> str:
        """Where it can be reached; for the gateway its HTTP URL."""

    async def apply(self, settings: Settings) -> None:
        """Take up a changed configuration, all or nothing. Raises ConfigError to keep the old one."""


class OpenService(Protocol[ConfigT_contra]):
    """A composition root, such as `trunkline_router.app.open_router`."""

    def __call__(self, config: ConfigT_contra, kit: Kit) -> AbstractAsyncContextManager[RunningService]:
        """Open everything the service needs, in order; close in reverse."""


FromSettings = Callable[[Settings], ConfigT_contra]
"""A service's own part of the configuration file."""
