"""One request, sent twice: to one gateway and to two, while it is under way and afterwards, whole and as a stream."""

import asyncio
import json
import socket

import pytest

from trunkline_gateway import reply as reply_module
from trunkline_gateway.idempotency import recording
from trunkline_kit.clock import ManualClock
from trunkline_testkit.upstream import Reply, chat_reply, chat_stream, error_reply

KEY, ID = "tl-test-key", "order-66"
ASK = {"model": "fake", "messages": [{"role": "user", "content": "hello"}]}
MODES = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
SSE = (("content-type", "text/event-stream"),)


def headers(idempotency_key=ID, key=KEY):
    return {"authorization": f"Bearer {key}", "idempotency-key": idempotency_key}


async def asked(harness, body=ASK, path="/v1/chat/completions", **named):
    """Status, body and whether it was given before."""
    async with harness.http.post(harness.url + path, json=body, headers=headers(**named)) as reply:
        return reply.status, await reply.read(), reply.headers.get("idempotent-replayed")


@MODES
async def test_the_second_one_is_given_the_first_ones_answer(harness, upstream, stream):
    ask = {**ASK, "stream": stream}
    first, again = await asked(harness, ask), await asked(harness, ask)
    assert again == (200, first[1], "true")
    assert first[2] is None
    assert len(upstream.requests) == 1
    assert harness.metric("trunkline_gateway_requests_total", surface="chat", outcome="ok", status="2xx") == 1


@MODES
async def test_both_at_once_share_one(harness, upstream, stream):
    reply = chat_stream(["he", "llo"]) if stream else chat_reply("hello")
    upstream.replies(Reply(headers=reply.headers, chunks=reply.chunks, hold_headers=True))
    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(asked(harness, {**ASK, "stream": stream})) for _ in range(2)]
        await upstream.wait_for_requests(1)
        upstream.release()
    (one, other) = (task.result() for task in asking)
    assert one[:2] == other[:2]
    assert {one[2], other[2]} == {None, "true"}
    assert len(upstream.requests) == 1


async def test_after_a_lost_connection_the_answer_is_still_there(harness, upstream):
    upstream.replies(Reply(chunks=chat_reply("paid once").chunks, hold_headers=True))
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(asked(harness))
        await upstream.wait_for_requests(1)
        asking.cancel()
    async with asyncio.TaskGroup() as group:
        again = group.create_task(asked(harness))
        await asyncio.sleep(0.01)
        upstream.release()
    status, body, replayed = again.result()
    assert (status, replayed) == (200, "true")
    assert b"paid once" in body
    assert len(upstream.requests) == 1
    assert not upstream.disconnected.is_set()


async def test_who_does_not_read_is_dropped_and_the_other_one_goes_on(open_harness, upstream, single, monkeypatch):
    monkeypatch.setattr(recording, "WRITE_S", 0.1)
    monkeypatch.setattr(reply_module, "GOODBYE_S", 0.1)
    harness = await open_harness(single(upstream))
    first, *rest = chat_stream(["x" * 50_000] * 200).chunks
    upstream.replies(Reply(headers=SSE, chunks=[first, *rest], hold_headers=True))
    ask = json.dumps({**ASK, "stream": True}).encode()
    listener = harness.url.rpartition(":")[2]
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.connect(("127.0.0.1", int(listener)))
    head = "".join(f"{name}: {value}\r\n" for name, value in headers().items())
    deaf.sendall(
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n{head}content-length: {len(ask)}\r\n\r\n".encode() + ask
    )
    deaf.setblocking(False)
    with deaf:
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            await upstream.wait_for_requests(1)
            other = group.create_task(asked(harness, {**ASK, "stream": True}))
            async with asyncio.timeout(5):
                while not harness.metric("trunkline_gateway_idempotent_requests_total", result="joined"):  # noqa: ASYNC110
                    await asyncio.sleep(0.002)
            upstream.release()
        async with asyncio.timeout(5):
            while harness.metric("trunkline_gateway_requests_in_flight"):  # noqa: ASYNC110 - a gauge has no event
                await asyncio.sleep(0.002)
    status, body, replayed = other.result()
    assert (status, replayed, body.endswith(b"data: [DONE]\n\n")) == (200, "true", True)
    assert len(upstream.requests) == 1


async def test_the_key_of_another_body_is_refused(harness):
    await asked(harness)
    status, body, _ = await asked(harness, {**ASK, "temperature": 0})
    assert status == 422
    assert b'"code":"idempotency_key_reused"' in body


async def test_keys_are_the_callers_own(open_harness, upstream, single, key_entry):
    keys = [key_entry("one", "tl-one"), key_entry("two", "tl-two")]
    harness = await open_harness({**single(upstream), "keys": keys})
    assert [(await asked(harness, key=key))[2] for key in ("tl-one", "tl-two", "tl-one")] == [None, None, "true"]
    assert len(upstream.requests) == 2


async def test_errors_and_broken_streams_are_tried_again(open_harness, upstream, single):
    harness = await open_harness(single(upstream, retries={"max_attempts": 1}))
    upstream.replies(error_reply(400), Reply(headers=SSE, chunks=chat_stream(["a"]).chunks[:2], ending="cut"))
    assert (await asked(harness))[0] == 400
    ask = {**ASK, "stream": True}
    assert b'"error"' in (await asked(harness, ask, idempotency_key="s"))[1]
    assert (await asked(harness))[0] == 200
    status, body, replayed = await asked(harness, ask, idempotency_key="s")
    assert (status, replayed) == (200, None)
    assert body.endswith(b"data: [DONE]\n\n")


async def test_every_dialect_has_it(harness, upstream):
    ask = {**ASK, "max_tokens": 5}
    first, again = await asked(harness, ask, "/v1/messages"), await asked(harness, ask, "/v1/messages")
    assert again == (200, first[1], "true")
    assert len(upstream.requests) == 1
    status, body, _ = await asked(harness, {**ask, "max_tokens": 6}, "/v1/messages")
    assert (status, b'"type":"error"' in body) == (422, True)


async def test_it_is_forgotten_after_its_time_and_without_a_key_nothing_is_kept(open_harness, upstream, single):
    clock = ManualClock()
    harness = await open_harness({**single(upstream), "idempotency": {"ttl_s": 60}}, clock=clock)
    await asked(harness)
    clock.advance(61)
    assert (await asked(harness))[2] is None
    assert [(await harness.post("/v1/chat/completions", ASK)).status for _ in range(2)] == [200, 200]
    assert len(upstream.requests) == 4


async def test_a_key_that_is_none_is_refused(harness):
    status, body, _ = await asked(harness, idempotency_key="a b")
    assert status == 400
    assert b"idempotency-key" in body


async def test_it_can_be_switched_off(open_harness, upstream, single):
    harness = await open_harness({**single(upstream), "idempotency": {"enabled": False}})
    assert [(await asked(harness))[2] for _ in range(2)] == [None, None]


async def test_an_sdk_that_gave_up_waiting_finds_the_same_answer(harness, upstream):
    upstream.replies(Reply(chunks=chat_reply("paid once").chunks, hold_headers=True))
    sdk = harness.sdk.with_options(max_retries=1, timeout=0.5)
    asyncio.get_running_loop().call_later(0.7, upstream.release)
    raw = await sdk.chat.completions.with_raw_response.create(**ASK, extra_headers={"idempotency-key": ID})
    assert raw.parse().choices[0].message.content == "paid once"
    assert raw.headers["idempotent-replayed"] == "true"
    assert raw.retries_taken == 1
    assert len(upstream.requests) == 1


async def test_it_is_paid_once_over_two_gateways(open_harness, upstream, single, booked, rows, settings_of):
    tree = booked(single(upstream), input_usd=2, output_usd=8)
    one = await open_harness(dict(tree))
    two = await open_harness({**tree, "ledger": {"spool_dir": tree["ledger"]["spool_dir"] + "2"}})
    upstream.replies(Reply(chunks=chat_reply("paid once").chunks, hold_headers=True))
    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(asked(one))]
        await upstream.wait_for_requests(1)
        asking.append(group.create_task(asked(two)))
        await asyncio.sleep(0.01)
        upstream.release()
    first, second = (task.result() for task in asking)
    assert second == (200, first[1], "true")
    assert (await asked(two))[2] == "true"
    (row,) = await rows(1)
    assert (row.outcome, len(upstream.requests)) == ("ok", 1)
