"""Composition root of the sre service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import add_TraceServiceServicer_to_server

from trunkline.sre.v1.sre_service_pb2_grpc import add_SreServiceServicer_to_server
from trunkline_kit.parts import Kit
from trunkline_kit.settings import Settings
from trunkline_kit.tracing import Tracing
from trunkline_sre.config import SreConfig, bounds_of
from trunkline_sre.metrics import SreMetrics, StoreCollector
from trunkline_sre.receiver import TraceReceiver
from trunkline_sre.service import SreService
from trunkline_sre.stores.memory import TraceStore


class SrePart:
    """A running sre service."""

    name = "sre"

    def __init__(self, address: str, store: TraceStore, metrics: SreMetrics) -> None:
        self.address = address
        self._store = store
        self._metrics = metrics

    async def apply(self, settings: Settings) -> None:
        """Keep as many traces as `settings` asks for; the surplus goes at once."""
        self._metrics.dropped(self._store.resize(bounds_of(settings)))


@asynccontextmanager
async def open_sre(config: SreConfig, kit: Kit) -> AsyncIterator[SrePart]:
    """Serve `trunkline.sre.v1` and the OTLP receiver at `config.listen` until the block ends; traces end with it."""
    store = TraceStore(config.bounds)
    metrics = SreMetrics(kit.metrics)
    kit.metrics.register(StoreCollector(store.usage))
    # Untraced: a span for each export would itself be exported, for ever.
    net = kit.net.traced(Tracing())
    async with net.serve(
        config.listen,
        partial(add_SreServiceServicer_to_server, SreService(store)),
        partial(add_TraceServiceServicer_to_server, TraceReceiver(store, config.span_limits, metrics)),
    ) as address:
        yield SrePart(address, store, metrics)
