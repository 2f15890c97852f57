"""Replicas in this process, led by a test."""

import asyncio
import random
from contextlib import AsyncExitStack
from functools import partial

import pytest
from prometheus_client import CollectorRegistry

from trunkline.worker.v1 import worker_service_pb2 as pb
from trunkline.worker.v1.worker_service_pb2_grpc import WorkerServiceServicer, add_WorkerServiceServicer_to_server
from trunkline_gateway.beside.crew import Crew
from trunkline_gateway.plan import Target
from trunkline_gateway.providers.base import Terms
from trunkline_gateway.replicas.discovery import Listed
from trunkline_gateway.replicas.meters import ReplicaMeters
from trunkline_gateway.replicas.pool import Parts, ReplicaPool
from trunkline_gateway.replicas.replica import State
from trunkline_gateway.turn import Tried
from trunkline_kit.clock import ManualClock
from trunkline_kit.lifecycle import background
from trunkline_kit.rpc import Net, ServeOptions

PLACE = ("w", "m")
IDLE = {"max_running": 4, "prefill_tokens_per_s": 1000.0, "prefix_cache_tokens": 100_000}


class Led(WorkerServiceServicer):
    """Says what a test puts into `loads`; answers with `answers`, an exception among them ends it."""

    def __init__(self):
        self.loads = asyncio.Queue()
        self.answers = [pb.GenerateResponse(text="hi", finish_reason=pb.FINISH_REASON_STOP)]
        self.asked = []
        self.hangs = asyncio.Event()
        self.hangs.set()
        self.cancelled = 0
        self.say()

    def say(self, **changes):
        self.loads.put_nowait(pb.GetLoadResponse(**{**IDLE, **changes}))

    async def GetLoad(self, request, context):
        while (load := await self.loads.get()) is not None:
            yield load

    async def Generate(self, request, context):
        self.asked.append(request)
        try:
            await self.hangs.wait()
            for step in list(self.answers):
                if isinstance(step, Exception):
                    raise step
                if step is None:
                    await asyncio.Event().wait()
                yield step
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def Embed(self, request, context):
        self.asked.append(request)
        await self.hangs.wait()
        if isinstance(self.answers[0], Exception):
            raise self.answers[0]
        return pb.EmbedResponse(prompt_tokens=3)


class Place:
    """A pool and the workers behind it."""

    def __init__(self, stack):
        self.stack = stack
        self.net, self.clock, self.registry = Net(), ManualClock(), CollectorRegistry()
        self.workers = {}
        self.meters = ReplicaMeters(self.registry)
        self.tried = Tried(target=Target("m", "w", "m"), started_s=0.0)

    async def serve(self, name):
        """A worker `local:NAME`; a stack that stops it when it is closed."""
        stack = await self.stack.enter_async_context(AsyncExitStack())
        worker = self.workers[name] = Led()
        register = partial(add_WorkerServiceServicer_to_server, worker)
        await stack.enter_async_context(self.net.serve(f"local:{name}", register, options=ServeOptions(grace_s=0.0)))
        return stack

    async def open(self, source, balance="seconds"):
        crew = Crew("replicas")
        await self.stack.enter_async_context(background(crew.working()))
        await asyncio.sleep(0)
        parts = Parts(net=self.net, clock=self.clock, crew=crew, meters=self.meters, dice=random.Random(1))
        pool = ReplicaPool(PLACE, source, balance, parts)
        crew.start(pool.run())
        return pool

    async def opened(self, *names, balance="seconds"):
        """A pool of workers that have all been heard of."""
        for name in names:
            await self.serve(name)
        pool = await self.open(Listed(tuple(f"local:{name}" for name in names)), balance)
        await self.until(lambda: self.states(pool).count(State.READY) == len(names))
        return pool

    def states(self, pool):
        return [replica.state(self.clock.monotonic_s()) for replica in pool.replicas]

    async def until(self, holds):
        async with asyncio.timeout(5):
            while not holds():  # noqa: ASYNC110 - whatever has to happen, happens on this loop
                await asyncio.sleep(0)

    def terms(self, total_s=5.0):
        return Terms(connect_s=1.0, total_s=total_s, witness=self.tried)

    def count(self, name, **labels):
        return self.registry.get_sample_value(name, {"provider": "w", "model": "m", **labels}) or 0.0


@pytest.fixture
async def place():
    async with AsyncExitStack() as stack:
        yield Place(stack)
