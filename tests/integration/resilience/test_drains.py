"""Where the provider charges for what nobody reads, it is read; where it does not, it is cancelled at once."""

import asyncio
import socket
import time

import aiohttp
import pytest

from trunkline_kit.rpc import Net
from trunkline_kit.tracing import Tracing
from trunkline_testkit.upstream import Reply, chat_reply, chat_stream

ASK = {"model": "fake", "messages": [{"role": "user", "content": "hello"}]}
SSE = (("content-type", "text/event-stream"),)
SOON_S = 5.0
CANCELLED_WITHIN_S = 0.1


@pytest.fixture
def tree(upstream, single, booked):
    def made(bills=True, **server):
        tree = booked(single(upstream), input_usd=2, output_usd=8)
        tree["providers"]["up"] |= {"bills_after_disconnect": bills, "assemble_streams": "never"}
        return {**tree, "server": server}

    return made


async def until(condition):
    async with asyncio.timeout(SOON_S):
        while not condition():  # noqa: ASYNC110 - a metric has no event
            await asyncio.sleep(0.002)


def settled(harness):
    return harness.metric("trunkline_gateway_requests_total", surface="chat", outcome="cancelled", status="4xx")


def draining(harness):
    return harness.metric("trunkline_gateway_draining_answers")


async def left_in_mid_stream(harness, upstream):
    """The caller reads a word and hangs up."""
    reply = await harness.post("/v1/chat/completions", {**ASK, "stream": True})
    await reply.content.readuntil(b"one")
    reply.close()


class Steps:
    """A provider that streams in two parts, the second once `go` is set; knows whether its client stayed."""

    def __init__(self, first, then):
        self.first, self.then = first, then
        self.go = asyncio.Event()
        self.ended = asyncio.Event()
        self.left_s = None

    async def serve(self, request):
        await request.read()
        response = aiohttp.web.StreamResponse(headers=dict(SSE))
        try:
            await response.prepare(request)
            for chunk in self.first:
                await response.write(chunk)
            await self.go.wait()
            for chunk in self.then:
                await response.write(chunk)
            await response.write_eof()
        except (asyncio.CancelledError, ConnectionError):
            self.left_s = time.monotonic()
            raise
        finally:
            self.ended.set()
        return response


@pytest.fixture
async def steps():
    whole = chat_stream(["one ", "two ", "three"]).chunks
    made = Steps(whole[:2], whole[2:])
    app = aiohttp.web.Application()
    app.router.add_post("/v1/chat/completions", made.serve)
    runner = aiohttp.web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.base_url = "http://{}:{}/v1".format(*runner.addresses[0])
    yield made
    made.go.set()
    await runner.cleanup()


@pytest.fixture
def stepped(tree, steps):
    def made(**options):
        found = tree(**options)
        found["providers"]["up"]["base_url"] = steps.base_url
        return found

    return made


async def test_a_stream_is_read_on_and_its_usage_is_what_the_provider_reports(open_harness, stepped, steps, rows):
    harness = await open_harness(stepped())
    await left_in_mid_stream(harness, steps)
    await until(lambda: draining(harness) == 1)
    assert not settled(harness)
    steps.go.set()
    (row,) = await rows(1)
    assert (row.outcome, row.usage_source) == ("client_cancelled", "reported")
    assert (row.uncached_input_tokens, row.output_tokens) == (3, 3)
    assert row.cost_nusd == 3 * 2_000 + 3 * 8_000
    assert (settled(harness), draining(harness), steps.left_s) == (1, 0, None)


@pytest.mark.parametrize("bills", [False, None])
async def test_without_it_the_provider_is_cancelled_within_a_tenth_of_a_second(
    open_harness, stepped, steps, rows, bills
):
    harness = await open_harness(stepped(bills=bills))
    reply = await harness.post("/v1/chat/completions", {**ASK, "stream": True})
    await reply.content.readuntil(b"one")
    reply.close()
    left_s = time.monotonic()
    await asyncio.wait_for(steps.ended.wait(), SOON_S)
    assert steps.left_s - left_s < CANCELLED_WITHIN_S
    (row,) = await rows(1)
    assert (row.outcome, row.usage_source, row.output_tokens) == ("client_cancelled", "estimated", 1)


async def test_one_more_than_may_be_read_on_is_cancelled(open_harness, stepped, steps, rows):
    harness = await open_harness(stepped(drained_answers=0))
    await left_in_mid_stream(harness, steps)
    await asyncio.wait_for(steps.ended.wait(), SOON_S)
    (row,) = await rows(1)
    assert row.usage_source == "estimated"
    assert harness.metric("trunkline_gateway_drained_answers_total", result="refused") == 1


async def test_a_stream_that_breaks_while_it_is_read_on_is_estimated_and_the_callers_all_the_same(
    open_harness, stepped, steps, rows
):
    steps.then = steps.then[:1]
    harness = await open_harness(stepped())
    await left_in_mid_stream(harness, steps)
    await until(lambda: draining(harness) == 1)
    steps.go.set()
    (row,) = await rows(1)
    assert (row.outcome, row.usage_source, row.output_tokens) == ("client_cancelled", "estimated", 2)


async def test_the_deadline_holds_for_what_is_read_on(open_harness, stepped, steps, rows):
    tree = stepped()
    tree["models"]["fake"]["timeouts"] = {"total_s": 0.3}
    harness = await open_harness(tree)
    await left_in_mid_stream(harness, steps)
    (row,) = await rows(1)
    assert (row.outcome, row.usage_source) == ("client_cancelled", "estimated")
    assert row.latency_us >= 250_000
    await asyncio.wait_for(steps.ended.wait(), SOON_S)


async def test_before_the_first_token_too(open_harness, stepped, steps, rows):
    steps.then, steps.first = (*steps.first[1:], *steps.then), steps.first[:1]
    harness = await open_harness(stepped())
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(harness.post("/v1/chat/completions", {**ASK, "stream": True}))
        await until(lambda: harness.metric("trunkline_gateway_deployment_requests", provider="up", model="real-fake"))
        asking.cancel()
    await until(lambda: draining(harness) == 1)
    steps.go.set()
    (row,) = await rows(1)
    assert (row.outcome, row.usage_source, row.output_tokens) == ("client_cancelled", "reported", 3)


async def test_a_whole_answer_too(open_harness, tree, upstream, rows):
    upstream.replies(Reply(hold_headers=True, chunks=chat_reply("a b c d").chunks))
    harness = await open_harness(tree())
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(harness.post("/v1/chat/completions", ASK))
        await upstream.wait_for_requests(1)
        asking.cancel()
    await until(lambda: draining(harness) == 1)
    upstream.release()
    (row,) = await rows(1)
    assert (row.outcome, row.usage_source, row.output_tokens) == ("client_cancelled", "reported", 4)
    assert not upstream.disconnected.is_set()


async def test_no_other_attempt_is_made_for_a_caller_who_has_left(open_harness, tree, upstream, rows):
    upstream.replies(Reply(hold_headers=True, status=500))
    harness = await open_harness(tree())
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(harness.post("/v1/chat/completions", ASK))
        await upstream.wait_for_requests(1)
        asking.cancel()
    await until(lambda: draining(harness) == 1)
    upstream.release()
    (row,) = await rows(1)
    assert (row.outcome, row.cost_nusd, len(upstream.requests)) == ("error:upstream_unavailable", 0, 1)


async def test_a_caller_who_stays_notices_nothing(open_harness, tree, upstream):
    harness = await open_harness(tree())
    whole = await harness.sdk.chat.completions.create(**ASK)
    stream = await harness.sdk.chat.completions.create(**ASK, stream=True)
    parts = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
    assert whole.choices[0].message.content == "".join(parts) == "hello"
    assert harness.metric("trunkline_gateway_drained_answers_total", result="read") == 0


async def test_its_place_under_a_limit_is_held_as_long_as_the_provider_works(open_harness, stepped, steps, key_entry):
    tree = {**stepped(), "keys": [key_entry("test", "tl-test-key", limits=[{"concurrent": 1}])]}
    harness = await open_harness(tree)
    await left_in_mid_stream(harness, steps)
    await until(lambda: draining(harness) == 1)
    assert (await harness.post("/v1/chat/completions", ASK)).status == 429
    steps.go.set()
    await until(lambda: settled(harness))
    async with asyncio.timeout(SOON_S):
        while (await harness.post("/v1/chat/completions", ASK)).status == 429:  # noqa: ASYNC110 - settled elsewhere
            await asyncio.sleep(0.005)


async def test_a_gateway_that_stops_does_not_wait_for_it(harness_of, settings_of, stepped, steps, rows):
    async with harness_of(settings_of(stepped()), Net(), Tracing()) as harness:
        await left_in_mid_stream(harness, steps)
        await until(lambda: draining(harness) == 1)
    assert steps.left_s is not None
    (row,) = await rows(1)
    assert (row.outcome, row.usage_source) == ("client_cancelled", "estimated")


async def test_a_caller_who_leaves_while_the_provider_is_connected_to_has_nothing_sent(open_harness, tree):
    with socket.socket() as full, socket.socket() as first:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        # The one place in its queue is taken: whoever else connects waits.
        first.connect(full.getsockname())
        settings = tree()
        settings["providers"]["up"]["base_url"] = f"http://127.0.0.1:{full.getsockname()[1]}/v1"
        harness = await open_harness(settings)
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(harness.post("/v1/chat/completions", ASK))
            await until(lambda: harness.metric("trunkline_gateway_requests_in_flight"))
            await asyncio.sleep(0.1)
            asking.cancel()
        await until(lambda: settled(harness))
        assert harness.metric("trunkline_gateway_drained_answers_total", result="read") == 0
