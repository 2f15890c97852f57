"""The other services, as stubs over channels that are dialled with their first call."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
import msgspec

from trunkline.cache.v1.cache_service_pb2_grpc import CacheServiceStub
from trunkline.guardrails.v1.guardrails_service_pb2_grpc import GuardrailsServiceStub
from trunkline.router.v1.router_service_pb2_grpc import RouterServiceStub
from trunkline_kit.rpc import Net
from trunkline_kit.settings import Services


class Clients(msgspec.Struct, frozen=True):
    """Every call on a stub passes timeout=. Stubs are typed for blocking use by their generator, so: Any."""

    router: Any
    cache: Any
    guardrails: Any
    channels: Mapping[str, grpc.aio.Channel]
    """By service, for health checks."""


@asynccontextmanager
async def open_clients(services: Services, net: Net) -> AsyncIterator[Clients]:
    async with AsyncExitStack() as stack:
        router = await stack.enter_async_context(net.channel(services.router))
        cache = await stack.enter_async_context(net.channel(services.cache))
        guardrails = await stack.enter_async_context(net.channel(services.guardrails))
        yield Clients(
            router=RouterServiceStub(router),
            cache=CacheServiceStub(cache),
            guardrails=GuardrailsServiceStub(guardrails),
            channels={"router": router, "cache": cache, "guardrails": guardrails},
        )
