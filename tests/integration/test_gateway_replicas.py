"""Several replicas of a worker behind the gateway: they come, go, fail and fall silent while it serves."""

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import openai
import pytest
from prometheus_client import CollectorRegistry

from trunkline.worker.v1 import worker_service_pb2 as pb
from trunkline.worker.v1.worker_service_pb2_grpc import (
    WorkerServiceServicer,
    WorkerServiceStub,
    add_WorkerServiceServicer_to_server,
)
from trunkline_kit.clock import SystemClock
from trunkline_kit.errors import Unavailable
from trunkline_kit.parts import Kit
from trunkline_kit.rpc import Net, ServeOptions
from trunkline_kit.tracing import Tracing
from trunkline_worker.app import open_worker
from trunkline_worker.config import WorkerConfig

ASK = [{"role": "user", "content": "hi there"}]
INFO = pb.GetModelInfoResponse(model="m", kind=pb.MODEL_KIND_GENERATE)
LAST = pb.GenerateResponse(finish_reason=pb.FINISH_REASON_STOP, usage=pb.Usage(prompt_tokens=5, completion_tokens=2))


class Led(WorkerServiceServicer):
    """Says its name and stops; with `fails_after` it fails after so many steps."""

    def __init__(self, name):
        self.name = name
        self.fails_after = None
        self.asked = 0
        self.draining = False
        self.changed = asyncio.Event()

    async def GetModelInfo(self, request, context):
        return INFO

    async def GetLoad(self, request, context):
        while True:
            yield pb.GetLoadResponse(max_running=8, prefill_tokens_per_s=1000, draining=self.draining)
            self.changed.clear()
            await self.changed.wait()

    async def Generate(self, request, context):
        self.asked += 1
        steps = [pb.GenerateResponse(text=self.name), pb.GenerateResponse(text="!"), LAST]
        for number, step in enumerate(steps):
            if number == self.fails_after:
                raise Unavailable("the engine has failed")
            yield step


async def heard(harness, ready):
    """Until so many replicas are ready; asking for readiness opens the pool."""
    async with asyncio.timeout(10):
        while harness.metric("trunkline_gateway_replicas", provider="w", model="x", state="ready") != ready:
            await harness.get("/readyz")


class Place:
    """A gateway before replicas at addresses of their own."""

    def __init__(self, stack, open_harness):
        self._stack = stack
        self._open = open_harness
        self.net = Net()
        self.workers = []
        self.addresses = []

    async def serve(self):
        worker = Led(f"w{len(self.workers)}")
        register = partial(add_WorkerServiceServicer_to_server, worker)
        serving = self.net.serve("127.0.0.1:0", register, options=ServeOptions(grace_s=0.0))
        self.addresses.append(await self._stack.enter_async_context(serving))
        self.workers.append(worker)

    async def gateway(self, count, **settings):
        for _ in range(count):
            await self.serve()
        tree = {
            "providers": {"w": {"kind": "worker", "target": f"ipv4:{','.join(self.addresses)}", **settings}},
            "models": {"m": {"deployments": [{"provider": "w", "model": "x"}]}},
        }
        harness = await self._open(tree, net=self.net)
        await heard(harness, count)
        return harness

    @property
    def asked(self):
        return [worker.asked for worker in self.workers]


@pytest.fixture
async def place(open_harness):
    async with AsyncExitStack() as stack:
        yield Place(stack, open_harness)


def ask(harness, **more):
    return harness.post("/v1/chat/completions", {"model": "m", "messages": ASK, **more})


async def test_every_replica_is_used(place):
    harness = await place.gateway(3, balance="round_robin")
    for _ in range(6):
        assert (await ask(harness)).status == 200
    assert min(place.asked) >= 1
    ready = await (await harness.get("/readyz")).json()
    details = {part["name"]: part["detail"] for part in ready["parts"]}
    assert details["model m"] == "w: m, 3 of 3 replicas"


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("fails_after", [0, 1])
async def test_a_replica_that_fails_is_stood_in_for(place, streams, fails_after):
    """Before the first token always; after it where the answer is wanted whole."""
    harness = await place.gateway(2, balance="round_robin")
    place.workers[0].fails_after = fails_after
    seen = []
    for _ in range(2):
        reply = await ask(harness, stream=streams)
        body = (await reply.read()).decode()
        assert reply.status == 200
        seen.append((reply.headers["x-trunkline-attempts"], "w1" in body, '"error"' in body))
    if streams and fails_after:
        assert sorted(seen) == [("1", False, True), ("1", True, False)], "the error is in the stream, and no [DONE]"
    else:
        assert sorted(seen) == [("1", True, False), ("2", True, False)]
    assert harness.metric("trunkline_gateway_breaker_openings_total", provider="w", model="x", cause="failures") == 0


async def test_many_failures_of_one_replica_are_not_the_deployments(place):
    harness = await place.gateway(2, balance="round_robin")
    place.workers[0].fails_after = 0
    async with asyncio.TaskGroup() as group:
        replies = [group.create_task(ask(harness)) for _ in range(30)]
    assert {reply.result().status for reply in replies} == {200}
    assert place.asked[0] < 30
    assert (await ask(harness)).headers["x-trunkline-attempts"] == "1", "it is left alone for a while"


async def test_when_all_fail_it_is_said(place):
    harness = await place.gateway(2)
    for worker in place.workers:
        worker.fails_after = 0
    with pytest.raises(openai.InternalServerError) as refused:
        await harness.sdk.chat.completions.create(model="m", messages=ASK)
    assert refused.value.status_code == 502
    assert refused.value.response.headers["x-trunkline-attempts"] != "1"


async def test_who_drains_gets_no_new_work(place):
    harness = await place.gateway(2, balance="round_robin")
    place.workers[0].draining = True
    place.workers[0].changed.set()
    await heard(harness, 1)
    for _ in range(4):
        assert (await ask(harness)).headers["x-trunkline-attempts"] == "1"
    assert place.asked == [0, 4]


async def fake_models(stack, net, count=2):
    """Addresses of workers with the fake model."""
    config = WorkerConfig(listen="127.0.0.1:0", home=Path("/nowhere"), model="fake:", drain_grace_s=0)
    addresses = []
    for _ in range(count):
        kit = Kit(net=net, clock=SystemClock(), tracing=Tracing(), metrics=CollectorRegistry(), environment={})
        addresses.append((await stack.enter_async_context(open_worker(config, kit))).address)
    return addresses


class Plug(WorkerServiceServicer):
    """Passes on what a worker says; the plug of the first one that generates is pulled after some steps."""

    pulled_after = 0

    def __init__(self, stub):
        self.stub = stub

    async def GetModelInfo(self, request, context):
        return await self.stub.GetModelInfo(request, timeout=5)

    async def GetLoad(self, request, context):
        async for load in self.stub.GetLoad(request, timeout=60):
            yield load

    async def Generate(self, request, context):
        left, Plug.pulled_after = Plug.pulled_after, 0
        async for step in self.stub.Generate(request, timeout=30):
            yield step
            left -= 1
            if left == 0:
                raise Unavailable("the plug is pulled")


@pytest.fixture
async def plugs(open_harness):
    """Opens a gateway before two workers whose plugs can be pulled."""
    net = Net()
    async with AsyncExitStack() as stack:
        served = []
        for address in await fake_models(stack, net):
            channel = await stack.enter_async_context(net.channel(f"ipv4:{address}"))
            register = partial(add_WorkerServiceServicer_to_server, Plug(WorkerServiceStub(channel)))
            serving = net.serve("127.0.0.1:0", register, options=ServeOptions(grace_s=0.0))
            served.append(await stack.enter_async_context(serving))

        async def opened(**settings):
            tree = {
                "providers": {"w": {"kind": "worker", "target": f"ipv4:{','.join(served)}", **settings}},
                "models": {"m": {"deployments": [{"provider": "w", "model": "x"}]}},
            }
            harness = await open_harness(tree, net=net)
            await heard(harness, 2)
            return harness

        yield opened
        Plug.pulled_after = 0


async def streamed(harness, **more):
    """The text and the usage of one streamed answer."""
    text, usage = "", None
    stream = await harness.sdk.chat.completions.create(
        model="m", messages=ASK, stream=True, stream_options={"include_usage": True}, temperature=0, **more
    )
    async for chunk in stream:
        text += chunk.choices[0].delta.content or "" if chunk.choices else ""
        usage = chunk.usage or usage
    return text, (usage.prompt_tokens, usage.completion_tokens)


@pytest.mark.parametrize("steps", [1, 3, 7])
async def test_an_answer_goes_on_at_another_replica_where_that_is_wanted(plugs, steps):
    harness = await plugs(resume=True)
    whole = await streamed(harness)
    assert whole[0] == ASK[0]["content"]
    Plug.pulled_after = steps
    assert await streamed(harness) == whole
    assert harness.metric("trunkline_gateway_replica_resumes_total", provider="w", model="x") == 1
    Plug.pulled_after = steps
    answer = await harness.sdk.chat.completions.create(model="m", messages=ASK, temperature=0)
    assert (answer.choices[0].message.content, answer.usage.completion_tokens) == (whole[0], whole[1][1])
    assert harness.metric("trunkline_gateway_replica_resumes_total", provider="w", model="x") == 2


async def test_it_ends_with_an_error_where_that_is_not_wanted(plugs):
    harness = await plugs()
    Plug.pulled_after = 3
    with pytest.raises(openai.APIError):
        await streamed(harness)
    assert harness.metric("trunkline_gateway_replica_resumes_total", provider="w", model="x") == 0


@pytest.fixture
async def real(open_harness):
    """Two workers with the fake model."""
    net = Net()
    async with AsyncExitStack() as stack:
        addresses = await fake_models(stack, net)
        tree = {
            "providers": {"w": {"kind": "worker", "target": f"ipv4:{','.join(addresses)}"}},
            "models": {"m": {"deployments": [{"provider": "w", "model": "x"}]}},
        }
        harness = await open_harness(tree, net=net)
        await heard(harness, 2)
        yield harness, addresses


async def test_a_conversation_stays_where_it_is_cached(real):
    harness, _ = real
    words = [{"role": "user", "content": "the very same words " * 20}]
    cached = []
    for _ in range(6):
        answer = await harness.sdk.chat.completions.create(model="m", messages=words, max_tokens=2)
        details = answer.usage.prompt_tokens_details
        cached.append(details.cached_tokens if details else 0)
    assert set(cached) == {0, 384}
    assert cached.count(0) <= 2, "each replica reads it once at most; the fake reads so fast that it may be worth it"


async def test_a_real_worker_that_drains_is_left_in_peace(real):
    harness, addresses = real
    async with harness.net.channel(f"ipv4:{addresses[0]}") as channel:
        await WorkerServiceStub(channel).Drain(pb.DrainRequest(grace_ms=10), timeout=5)
    for _ in range(4):
        assert (await ask(harness, max_tokens=2)).status == 200
