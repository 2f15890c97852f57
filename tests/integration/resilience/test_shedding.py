"""More than may be at once is refused at once, and says when to come back."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from trunkline_kit.settings import Server
from trunkline_testkit.upstream import Reply, chat_reply, chat_stream

KEY = {"authorization": "Bearer tl-test-key"}
SSE = (("content-type", "text/event-stream"),)
HELD = Reply(headers=SSE, chunks=chat_stream(["one"]).chunks[:2], ending="stall")


def ask(text="hello", **more):
    return {"model": "fake", "messages": [{"role": "user", "content": text}], **more}


async def error_of(reply):
    return reply.status, reply.headers.get("retry-after"), (await reply.json())["error"]["code"]


async def test_one_stream_too_many_is_refused_and_whole_answers_are_not(open_harness, upstream, single):
    harness = await open_harness({**single(upstream), "server": {"concurrent_streams": 2}})
    upstream.replies(HELD, HELD)
    streams = [await harness.post("/v1/chat/completions", ask(stream=True)) for _ in range(2)]
    refused = await harness.post("/v1/chat/completions", ask(stream=True))
    assert await error_of(refused) == (503, "1", "overloaded")
    assert refused.headers.get("x-should-retry") is None
    anthropic = await harness.post("/v1/messages", ask(stream=True, max_tokens=5))
    assert (anthropic.status, (await anthropic.json())["type"]) == (529, "error")
    assert (await harness.post("/v1/chat/completions", ask())).status == 200
    assert len(upstream.requests) == 3, "the refused ones cost nothing"
    for stream in streams:
        stream.close()
    async with asyncio.timeout(5):
        while (reply := await harness.post("/v1/chat/completions", ask(stream=True))).status != 200:
            reply.close()
    reply.close()


async def test_bodies_have_so_much_room_together(open_harness, upstream, single):
    server = {"bodies_limit_bytes": 6000}
    harness = await open_harness({**single(upstream), "server": server})
    upstream.replies(Reply(hold_headers=True, chunks=chat_stream([]).chunks))
    async with asyncio.TaskGroup() as group:
        first = group.create_task(harness.post("/v1/chat/completions", ask("x" * 2000, stream=True)))
        await upstream.wait_for_requests(1)
        refused = await harness.post("/v1/chat/completions", ask("x" * 2000))
        assert await error_of(refused) == (503, "1", "overloaded")
        assert (await harness.post("/v1/chat/completions", ask("x" * 100))).status == 200
        upstream.release()
    first.result().close()
    assert (await harness.post("/v1/chat/completions", ask("x" * 2000))).status == 200


async def test_what_is_only_announced_takes_no_room(open_harness, upstream, single):
    harness = await open_harness({**single(upstream), "server": {"bodies_limit_bytes": 6000}})
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer tl-test-key\r\n"
    port = int(harness.url.rpartition(":")[2])
    async with AsyncExitStack() as stack:
        for _ in range(5):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            stack.callback(writer.close)
            writer.write(f"{head}content-length: 2900\r\n\r\n{{".encode())
        async with asyncio.timeout(5):
            while harness.metric("trunkline_gateway_requests_in_flight") < 5:  # noqa: ASYNC110 - a gauge has no event
                await asyncio.sleep(0.002)
        assert (await harness.post("/v1/chat/completions", ask("x" * 2000))).status == 200


async def test_one_caller_leaves_half_of_the_room_to_others(open_harness, upstream, single, key_entry):
    tree = {**single(upstream), "keys": [key_entry("one", "tl-one"), key_entry("two", "tl-two")]}
    harness = await open_harness({**tree, "server": {"bodies_limit_bytes": 6000}})
    one, two = ({"authorization": f"Bearer {key}"} for key in ("tl-one", "tl-two"))
    upstream.replies(Reply(hold_headers=True, chunks=chat_stream([]).chunks))
    async with asyncio.TaskGroup() as group:
        first = group.create_task(harness.post("/v1/chat/completions", ask("x" * 2000, stream=True), headers=one))
        await upstream.wait_for_requests(1)
        refused = await harness.post("/v1/chat/completions", ask("x" * 2000), headers=one)
        assert "one caller" in (await refused.json())["error"]["message"]
        assert (await harness.post("/v1/chat/completions", ask("x" * 2000), headers=two)).status == 200
        upstream.release()
    first.result().close()


@pytest.mark.parametrize("why", ["drained", "unattended", "shadowed"])
async def test_a_body_has_its_room_for_as_long_as_it_is_needed(open_harness, upstream, backup, single, why):
    tree = single(
        upstream, **({"shadow": {"provider": "new", "model": "next", "ratio": 1}} if why == "shadowed" else {})
    )
    tree["providers"]["up"] |= {"bills_after_disconnect": why == "drained"}
    tree["providers"]["new"] = {"kind": "openai", "base_url": backup.base_url}
    harness = await open_harness({**tree, "server": {"bodies_limit_bytes": 6000}})
    held, headers = (
        (backup if why == "shadowed" else upstream),
        {**KEY, **({"idempotency-key": "k"} if why == "unattended" else {})},
    )
    held.replies(Reply(chunks=chat_reply("late").chunks, hold_headers=True))
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(harness.post("/v1/chat/completions", ask("x" * 2000), headers=headers))
        await held.wait_for_requests(1)
        asking.cancel()
    async with asyncio.timeout(5):
        while harness.metric("trunkline_gateway_requests_in_flight"):  # noqa: ASYNC110 - a gauge has no event
            await asyncio.sleep(0.002)
    assert (await harness.post("/v1/chat/completions", ask("x" * 2000))).status == 503
    held.release()
    async with asyncio.timeout(5):
        while (await harness.post("/v1/chat/completions", ask("x" * 2000))).status != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.002)


async def test_a_body_of_unknown_length_is_measured_as_it_comes(open_harness, upstream, single):
    harness = await open_harness({**single(upstream), "server": {"bodies_limit_bytes": 6000}})
    go, sent = asyncio.Event(), asyncio.Event()

    async def slow():
        yield b"{" + b" " * 2000
        sent.set()
        await go.wait()
        yield b"}"

    async with asyncio.TaskGroup() as group:
        url = f"{harness.url}/v1/chat/completions"
        first = group.create_task(
            harness.http.post(url, data=slow(), headers={**KEY, "content-type": "application/json"})
        )
        await sent.wait()
        await harness.get("/livez")
        await asyncio.sleep(0.05)
        assert (await harness.post("/v1/chat/completions", ask("x" * 2000))).status == 503
        go.set()
    assert first.result().status == 400
    first.result().close()
    assert (await harness.post("/v1/chat/completions", ask("x" * 2000))).status == 200


@pytest.mark.parametrize(
    "field", ["concurrent_streams", "concurrent_requests", "bodies_limit_bytes", "drained_answers"]
)
def test_the_bounds_are_on_by_default(field):
    assert getattr(Server(), field) > 0
