"""What all worker providers of a gateway share, and the pool of one model."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from trunkline_gateway.beside.crew import Crew
from trunkline_gateway.fleet.meters import Place
from trunkline_gateway.replicas.discovery import source_of
from trunkline_gateway.replicas.meters import ReplicaMeters
from trunkline_gateway.replicas.pool import Parts, ReplicaPool
from trunkline_kit.lifecycle import background
from trunkline_kit.parts import Kit
from trunkline_kit.providers import WorkerProvider


class SharedReplicas:
    """Of one gateway process."""

    def __init__(self, kit: Kit) -> None:
        self.kit = kit
        self._meters: ReplicaMeters | None = None

    def parts(self, crew: Crew) -> Parts:
        """Of one provider: tasks of its own, counted together with all others."""
        if self._meters is None:
            self._meters = ReplicaMeters(self.kit.metrics)
        kit, dice = self.kit, random.Random()  # noqa: S311 - load balancing, not secrets
        return Parts(net=kit.net, clock=kit.clock, crew=crew, meters=self._meters, dice=dice)

    def check(self, settings: WorkerProvider) -> None:
        """Raises ConfigError for a target that cannot be followed here."""
        source_of(settings.target, self.kit.environment)

    def pool(self, place: Place, settings: WorkerProvider, parts: Parts) -> ReplicaPool:
        """Starts to look for replicas."""
        source = source_of(settings.target.replace("{model}", place[1]), self.kit.environment)
        pool = ReplicaPool(place, source, settings.balance.value, parts)
        parts.crew.start(pool.run())
        return pool


@asynccontextmanager
async def open_crew() -> AsyncIterator[Crew]:
    """For the pools of one provider."""
    crew = Crew("following the replicas of a worker")
    async with background(crew.working()):
        # Its first step is what lets it start others.
        await asyncio.sleep(0)
        yield crew
