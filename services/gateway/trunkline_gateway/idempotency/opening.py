"""Puts what makes requests idempotent together."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from trunkline_gateway.idempotency.flights import Flights
from trunkline_gateway.idempotency.valkey import ValkeyAnswers
from trunkline_kit.lifecycle import background
from trunkline_kit.parts import Kit
from trunkline_kit.resilience import Idempotency
from trunkline_kit.secrets import Secret
from trunkline_kit.stores.valkey import open_valkey


@asynccontextmanager
async def open_flights(redis: Secret | None, settings: Idempotency, kit: Kit) -> AsyncIterator[Flights]:
    """Answers are kept at `redis`, whether it answers now or not; without one in this process. Raises ConfigError."""
    async with AsyncExitStack() as stack:
        answers = None
        if redis is not None:
            answers = ValkeyAnswers(await stack.enter_async_context(open_valkey(redis.reveal())), kit.clock)
        flights = Flights(answers, settings, kit.clock, kit.metrics)
        await stack.enter_async_context(background(flights.crew.working()))
        yield flights
