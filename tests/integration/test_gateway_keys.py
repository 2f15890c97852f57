"""Keys over real sockets: rotated, disabled, bound to networks, and what becomes of requests when they stop."""

import asyncio

import openai
import pytest

from trunkline_testkit.upstream import Reply, chat_stream

ASK = {"model": "fake", "messages": [{"role": "user", "content": "hello"}]}
SSE = (("content-type", "text/event-stream"),)
STALLING = Reply(headers=SSE, chunks=chat_stream(["one "]).chunks[:2], ending="stall")
SOON_S = 5.0
LATER = "2100-01-01T00:00:00Z"


def bearer(key):
    return {"authorization": f"Bearer {key}"}


@pytest.fixture
async def keyed(open_harness, upstream, single, key_entry, settings_of):
    """A gateway with one key of one's choice, and how to change it."""

    async def opened(**key):
        tree = single(upstream)
        harness = await open_harness({**tree, "keys": [key_entry("test", "tl-test-key", **key)]})

        async def change(keys, **rest):
            await harness.gateway.apply(settings_of({**tree, "keys": keys, **rest}))

        return harness, change

    return opened


async def streaming(harness, upstream):
    """A stream that has begun and then says nothing."""
    upstream.replies(STALLING)
    reply = await harness.post("/v1/chat/completions", {**ASK, "stream": True})
    assert b"one" in await reply.content.readuntil(b"one")
    return reply


@pytest.mark.parametrize("how", ["removed", "disabled", "expired"])
async def test_a_stream_whose_key_stops_ends_with_an_error_and_is_charged(keyed, upstream, key_entry, how):
    harness, change = await keyed()
    reply = await streaming(harness, upstream)
    more = {"disabled": {"disabled": True}, "expired": {"expires_at": "2020-01-01T00:00:00Z"}}.get(how)
    await change([key_entry("other", "tl-other")] if more is None else [key_entry("test", "tl-test-key", **more)])
    async with asyncio.timeout(1.0):
        rest = await reply.content.read()
    assert b'"code":"key_revoked"' in rest
    assert b"[DONE]" not in rest
    await asyncio.wait_for(upstream.disconnected.wait(), SOON_S)
    assert harness.metric("trunkline_gateway_requests_total", surface="chat", outcome="key_revoked", status="2xx") == 1
    assert harness.metric("trunkline_gateway_broken_streams_total", provider="up") == 0, "not the provider's fault"
    assert (await harness.post("/v1/chat/completions", ASK)).status == 401


async def test_the_sdk_sees_a_cut_stream_as_an_error(keyed, upstream, key_entry):
    harness, change = await keyed()
    upstream.replies(STALLING)
    stream = await harness.sdk.chat.completions.create(**ASK, stream=True)
    await change([key_entry("other", "tl-other")])
    with pytest.raises(openai.APIError, match="revoked"):
        [chunk async for chunk in stream]


async def test_a_whole_answer_whose_key_stops_is_refused(keyed, upstream, key_entry):
    harness, change = await keyed()
    upstream.replies(Reply(hold_headers=True))
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(harness.post("/v1/chat/completions", ASK))
        await upstream.wait_for_requests(1)
        await change([key_entry("other", "tl-other")])
    reply = asking.result()
    assert (reply.status, (await reply.json())["error"]["code"]) == (401, "key_revoked")
    await asyncio.wait_for(upstream.disconnected.wait(), SOON_S)


async def test_requests_may_be_let_finish(keyed, upstream, key_entry):
    harness, change = await keyed()
    reply = await streaming(harness, upstream)
    await change([key_entry("other", "tl-other")], identity={"on_revoke": "finish"})
    assert (await harness.post("/v1/chat/completions", ASK)).status == 401
    upstream.release()
    assert b"key_revoked" not in await reply.content.read()


async def test_a_rotated_key_works_with_both_secrets_and_its_stream_goes_on(keyed, upstream, key_entry):
    harness, change = await keyed()
    reply = await streaming(harness, upstream)
    old = key_entry("test", "tl-test-key")["secret"]
    await change([key_entry("test", "tl-new", previous={"secret": old, "until": LATER})])
    for key in ("tl-test-key", "tl-new"):
        assert (await harness.get("/v1/models", headers=bearer(key))).status == 200
    upstream.release()
    assert b"key_revoked" not in await reply.content.read()
    await change([key_entry("test", "tl-new", previous={"secret": old, "until": "2020-01-01T00:00:00Z"})])
    assert (await harness.get("/v1/models", headers=bearer("tl-test-key"))).status == 401


async def test_a_key_of_some_network_works_from_there_only(keyed, key_entry):
    harness, change = await keyed(networks=["127.0.0.0/8"])
    assert (await harness.post("/v1/chat/completions", ASK)).status == 200
    await change([key_entry("test", "tl-test-key", networks=["10.0.0.0/8"])])
    reply = await harness.post("/v1/chat/completions", ASK)
    assert (reply.status, (await reply.json())["error"]["code"]) == (403, "permission_denied")
    forwarded = {**bearer("tl-test-key"), "x-forwarded-for": "10.1.1.1"}
    assert (await harness.get("/v1/models", headers=forwarded)).status == 403, "anybody can write that header"
    proxied = {"server": {"trusted_proxies": ["127.0.0.1"]}}
    await change([key_entry("test", "tl-test-key", networks=["10.0.0.0/8"])], **proxied)
    assert (await harness.get("/v1/models", headers=forwarded)).status == 200


async def test_a_key_without_the_scope_asks_no_model(keyed):
    harness, _ = await keyed(scopes=["admin:read"])
    reply = await harness.post("/v1/chat/completions", ASK)
    assert reply.status == 403
    assert "'inference'" in (await reply.json())["error"]["message"]
