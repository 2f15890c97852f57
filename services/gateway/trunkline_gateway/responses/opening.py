"""Puts what keeps responses together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from trunkline_gateway.responses.desk import Desk
from trunkline_gateway.responses.states import MemoryStates
from trunkline_gateway.responses.valkey import ValkeyStates
from trunkline_kit.clock import Clock
from trunkline_kit.secrets import Secret
from trunkline_kit.settings import Responses
from trunkline_kit.stores.valkey import open_valkey


@asynccontextmanager
async def open_desk(redis: Secret | None, settings: Responses, clock: Clock) -> AsyncIterator[Desk]:
    """Responses are kept at `redis`, whether it answers now or not; without one in this process. Raises ConfigError."""
    if redis is None:
        yield Desk(MemoryStates(clock, settings.memory_bytes), settings)
        return
    async with open_valkey(redis.reveal()) as client:
        yield Desk(ValkeyStates(client, clock), settings)
