"""Composition root of the cache."""

import logging
import secrets
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial

from trunkline.cache.v1.cache_service_pb2_grpc import add_CacheServiceServicer_to_server
from trunkline_cache.config import CacheConfig, without_effect
from trunkline_cache.keys import EntryId
from trunkline_cache.metrics import CacheMetrics, StoreCollector
from trunkline_cache.service import CacheService
from trunkline_cache.stores.memory import MemoryStore
from trunkline_kit.parts import Kit
from trunkline_kit.settings import Settings

_log = logging.getLogger(__name__)


class CachePart:
    """A running cache."""

    name = "cache"

    def __init__(self, address: str) -> None:
        self.address = address

    async def apply(self, settings: Settings) -> None:
        """Say what `settings` asks for in vain. Times to live come with each answer, so nothing else changes."""
        _warn(without_effect(settings))


@asynccontextmanager
async def open_cache(config: CacheConfig, kit: Kit) -> AsyncIterator[CachePart]:
    """Serve `trunkline.cache.v1` at `config.listen` until the block ends; what was stored ends with it."""
    _warn(config.ignored)
    store = MemoryStore(config.bounds, kit.clock, lambda: EntryId(secrets.token_hex(8)))
    service = CacheService(store, CacheMetrics(kit.metrics))
    kit.metrics.register(StoreCollector(config.bounds, store.statistics))
    register = partial(add_CacheServiceServicer_to_server, service)
    async with kit.net.serve(config.listen, register) as address:
        yield CachePart(address)


def _warn(lines: Iterable[str]) -> None:
    for line in lines:
        _log.warning("%s", line)
