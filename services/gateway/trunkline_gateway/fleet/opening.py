"""Lets the gateways tell each other about deployments."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from trunkline_gateway.fleet.deployments import Fleet
from trunkline_gateway.fleet.sharing import Sharing
from trunkline_kit.lifecycle import background
from trunkline_kit.secrets import Secret
from trunkline_kit.stores.valkey import open_valkey


@asynccontextmanager
async def sharing_breakers(redis: Secret, fleet: Fleet) -> AsyncIterator[None]:
    """Through `redis`, whether it answers now or not. Raises ConfigError for a URL that makes no sense."""
    async with open_valkey(redis.reveal()) as client:
        sharing = Sharing(client, fleet, random.Random())  # noqa: S311 - pauses, not secrets
        fleet.tell = sharing.tell
        async with background(sharing.run()):
            yield
