"""A caller who hangs up stops the work behind at once: before the headers, before the first token, in mid-stream."""

import asyncio
from functools import partial

import pytest

from trunkline.worker.v1 import worker_service_pb2 as pb
from trunkline.worker.v1.worker_service_pb2_grpc import WorkerServiceServicer, add_WorkerServiceServicer_to_server
from trunkline_kit.lifecycle import run
from trunkline_kit.rpc import Net
from trunkline_kit.tracing import Tracing
from trunkline_testkit.upstream import Reply, chat_stream, open_fake_upstream

ASK = {"model": "fake", "messages": [{"role": "user", "content": "hello"}]}
SSE = (("content-type", "text/event-stream"),)
SOON_S = 5.0


async def until_metric(harness, **labels):
    """Return when the gateway has settled a request with these labels."""
    async with asyncio.timeout(SOON_S):
        while not harness.metric("trunkline_gateway_requests_total", **labels):  # noqa: ASYNC110 - a counter has no event
            await asyncio.sleep(0)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_before_the_headers(harness, upstream, stream):
    upstream.replies(Reply(hold_headers=True))
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(harness.post("/v1/chat/completions", {**ASK, "stream": stream}))
        await upstream.wait_for_requests(len(upstream.requests) + 1)
        asking.cancel()
    await asyncio.wait_for(upstream.disconnected.wait(), SOON_S)
    await until_metric(harness, surface="chat", outcome="cancelled", status="4xx")


async def test_before_the_first_token(harness, upstream):
    upstream.replies(Reply(headers=SSE, chunks=chat_stream([]).chunks[:1], ending="stall"))
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(harness.post("/v1/chat/completions", {**ASK, "stream": True}))
        await upstream.wait_for_requests(len(upstream.requests) + 1)
        asking.cancel()
    await asyncio.wait_for(upstream.disconnected.wait(), SOON_S)


async def test_in_mid_stream(harness, upstream):
    upstream.replies(Reply(headers=SSE, chunks=chat_stream(["one "]).chunks[:2], ending="stall"))
    reply = await harness.post("/v1/chat/completions", {**ASK, "stream": True})
    assert b"one" in await reply.content.readuntil(b"one")
    reply.close()
    await asyncio.wait_for(upstream.disconnected.wait(), SOON_S)
    await until_metric(harness, surface="chat", outcome="cancelled", status="4xx")


async def test_in_mid_body(harness, upstream):
    reader, writer = await asyncio.open_connection("127.0.0.1", int(harness.url.rpartition(":")[2]))
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer tl-test-key\r\ncontent-length: 99\r\n"
    )
    writer.write(head.encode() + b"content-type: application/json\r\n\r\n{")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert await reader.read() == b""
    assert (await harness.post("/v1/chat/completions", ASK)).status == 200, "the gateway is fine"


class SlowWorker(WorkerServiceServicer):
    """Says one word and then nothing; knows when it was cancelled."""

    def __init__(self, words):
        self.words = words
        self.begun = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def GetModelInfo(self, request, context):
        return pb.GetModelInfoResponse(model="m", kind=pb.MODEL_KIND_GENERATE, revision="r1")

    async def Generate(self, request, context):
        self.begun.set()
        try:
            for word in self.words:
                yield pb.GenerateResponse(text=word, token_ids=[1])
            await asyncio.Event().wait()
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled.set()
            raise


def test_on_the_loop_that_serves_in_production(harness_of, settings_of, single):
    """All of it once more on uvloop, whose transports notice a closed connection in another way."""

    async def scenario():
        async with (
            open_fake_upstream() as upstream,
            harness_of(settings_of(single(upstream)), Net(), Tracing()) as harness,
        ):
            await test_before_the_headers(harness, upstream, stream=False)
            upstream.disconnected.clear()
            await test_before_the_first_token(harness, upstream)
            upstream.disconnected.clear()
            await test_in_mid_stream(harness, upstream)
            await test_in_mid_body(harness, upstream)

    run(scenario)


@pytest.mark.parametrize("transport", ["local:worker", "127.0.0.1:0"])
@pytest.mark.parametrize("words", [[], ["one"]], ids=["before the first token", "in mid-stream"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_workers_slot_is_freed(open_harness, transport, words, stream):
    net, worker = Net(), SlowWorker(words)
    async with net.serve(transport, partial(add_WorkerServiceServicer_to_server, worker)) as target:
        dial = target if target.startswith("local:") else f"dns:///{target}"
        harness = await open_harness(
            {
                "providers": {"w": {"kind": "worker", "target": dial}},
                "models": {"fake": {"deployments": [{"provider": "w", "model": "m"}]}},
            },
            net=net,
        )
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(harness.post("/v1/chat/completions", {**ASK, "stream": stream}))
            await asyncio.wait_for(worker.begun.wait(), SOON_S)
            if words and stream:
                reply = await asking
                await reply.content.readuntil(b"one")
                reply.close()
            else:
                asking.cancel()
        await asyncio.wait_for(worker.cancelled.wait(), SOON_S)
