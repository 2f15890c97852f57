"""Composition root of the router."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from trunkline.router.v1.router_service_pb2_grpc import add_RouterServiceServicer_to_server
from trunkline_kit.parts import Kit
from trunkline_kit.settings import Route, Settings
from trunkline_router.config import RouterConfig, without_effect
from trunkline_router.metrics import RouterMetrics
from trunkline_router.service import RouterService, RouteTable

_log = logging.getLogger(__name__)


class RouterPart:
    """A running router."""

    name = "router"

    def __init__(self, address: str, service: RouterService) -> None:
        self.address = address
        self._service = service

    async def apply(self, settings: Settings) -> None:
        """Decide by the routes of `settings` from the next call on."""
        self._service.use(_table(settings.routes))


@asynccontextmanager
async def open_router(config: RouterConfig, kit: Kit) -> AsyncIterator[RouterPart]:
    """Serve `trunkline.router.v1` at `config.listen` until the block ends."""
    service = RouterService(_table(config.routes), RouterMetrics(kit.metrics))
    register = partial(add_RouterServiceServicer_to_server, service)
    async with kit.net.serve(config.listen, register) as address:
        yield RouterPart(address, service)


def _table(routes: dict[str, Route]) -> RouteTable:
    for line in without_effect(routes):
        _log.warning("%s", line)
    return RouteTable.of(routes)
