"""Puts admission together."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from msgspec import Struct

from trunkline_gateway.admission.admission import Admission
from trunkline_gateway.admission.batching import Patience, open_batcher
from trunkline_gateway.admission.cluster import open_cluster_lanes, surroundings
from trunkline_gateway.admission.estimation import Estimator
from trunkline_gateway.admission.gate import Gate
from trunkline_gateway.admission.lanes import Lanes, OneLane
from trunkline_gateway.admission.meters import AdmissionMeters, QueueMeters
from trunkline_gateway.admission.store import ValkeyLimits, open_limit_client
from trunkline_gateway.admission.waiting import WaitingRoom
from trunkline_kit.lifecycle import background
from trunkline_kit.parts import Kit
from trunkline_kit.secrets import Secret
from trunkline_kit.stores.valkey_url import cluster_of


class GateOptions(Struct, frozen=True, kw_only=True):
    """Bounds of one gateway's admission."""

    gateways: int = 1
    """How many share the limits while the store has never said it."""
    queued_requests: int = 256
    """How many requests may wait for room."""
    patience: Patience = Patience()


@asynccontextmanager
async def open_gate(redis: Secret | None, kit: Kit, options: GateOptions | None = None) -> AsyncIterator[Gate]:
    """With limits kept at `redis`, whether it answers now or not. Without one they hold in this process only.

    Raises ConfigError for a wrong URL.
    """
    options = options or GateOptions()
    meters = AdmissionMeters(kit.metrics)
    async with AsyncExitStack() as stack:
        lanes = None
        if redis is not None:
            lanes = await stack.enter_async_context(_open_lanes(redis.reveal(), meters, options))
        admission = Admission(lanes, meters, kit.clock)
        await stack.enter_async_context(background(admission.renewing()))
        room = WaitingRoom(admission, QueueMeters(kit.metrics), options.queued_requests)
        yield Gate(room, Estimator(), kit.clock)


@asynccontextmanager
async def _open_lanes(url: str, meters: AdmissionMeters, options: GateOptions) -> AsyncIterator[Lanes]:
    gateway_id = f"gateway-{secrets.token_hex(8)}"
    cluster = cluster_of(url)
    if cluster is not None:
        around = await asyncio.to_thread(surroundings, cluster, gateway_id)
        async with open_cluster_lanes(around, meters, options.patience, options.gateways) as lanes:
            yield lanes
        return
    async with open_limit_client(url) as client:
        store = await asyncio.to_thread(ValkeyLimits, client, gateway_id)
        async with open_batcher(store, meters, options.patience, options.gateways) as batcher:
            yield OneLane(batcher)
