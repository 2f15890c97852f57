"""Puts admission together."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from trunkline_gateway.admission.admission import Admission
from trunkline_gateway.admission.batching import Patience, open_batcher
from trunkline_gateway.admission.estimation import Estimator
from trunkline_gateway.admission.gate import Gate
from trunkline_gateway.admission.meters import AdmissionMeters
from trunkline_gateway.admission.store import ValkeyLimits, open_limit_client
from trunkline_kit.parts import Kit
from trunkline_kit.secrets import Secret


@asynccontextmanager
async def open_gate(
    redis: Secret | None, kit: Kit, gateways: int = 1, patience: Patience | None = None
) -> AsyncIterator[Gate]:
    """With limits kept at `redis`, whether it answers now or not. Without one they hold in this process only.

    `gateways` is how many share the limits while the store has never said it. Raises ConfigError for a wrong URL.
    """
    meters = AdmissionMeters(kit.metrics)
    async with AsyncExitStack() as stack:
        batcher = None
        if redis is not None:
            client = await stack.enter_async_context(open_limit_client(redis.reveal()))
            store = await asyncio.to_thread(ValkeyLimits, client, f"gateway-{secrets.token_hex(8)}")
            batcher = await stack.enter_async_context(open_batcher(store, meters, patience, gateways))
        yield Gate(Admission(batcher, meters, kit.clock), Estimator(), kit.clock)
