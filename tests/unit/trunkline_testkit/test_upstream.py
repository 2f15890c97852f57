"""The fake provider behaves as told, seen through the real OpenAI SDK where that is possible."""

import asyncio

import aiohttp
import openai
import pytest

from trunkline_testkit.upstream import Reply, chat_reply, chat_stream, error_reply, open_fake_upstream, resplit

MESSAGES = [{"role": "user", "content": "one two three"}]


@pytest.fixture
async def upstream():
    async with open_fake_upstream() as upstream:
        yield upstream


@pytest.fixture
async def client(upstream):
    async with openai.AsyncOpenAI(base_url=upstream.base_url, api_key="k", max_retries=0) as client:
        yield client


async def test_by_itself_it_echoes(upstream, client):
    answer = await client.chat.completions.create(model="m", messages=MESSAGES)
    assert answer.choices[0].message.content == "one two three"
    assert upstream.requests[0].headers["authorization"] == "Bearer k"
    assert upstream.requests[0].json()["model"] == "m"


async def test_streams(client):
    stream = await client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
    pieces = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
    assert "".join(pieces).split() == ["one", "two", "three"]


async def test_replies_in_order(upstream, client):
    upstream.replies(chat_reply("first"), error_reply(429, "slow down", retry_after_s=3))
    assert (await client.chat.completions.create(model="m", messages=MESSAGES)).choices[0].message.content == "first"
    with pytest.raises(openai.RateLimitError) as caught:
        await client.chat.completions.create(model="m", messages=MESSAGES)
    assert caught.value.response.headers["retry-after"] == "3"


async def post(session, upstream):
    return await session.post(f"{upstream.base_url}/chat/completions", json={"model": "m", "messages": MESSAGES})


async def test_a_cut_stream(upstream):
    upstream.replies(Reply(chunks=(b"data: half",), ending="cut"))
    async with aiohttp.ClientSession() as session:
        response = await post(session, upstream)
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()


async def test_a_stall_until_released(upstream):
    upstream.replies(Reply(chunks=(b"data: one\n\n",), ending="stall"))
    async with aiohttp.ClientSession() as session:
        response = await post(session, upstream)
        assert await response.content.readany() == b"data: one\n\n"
        upstream.release()
        assert await response.content.read() == b""


async def test_a_client_that_leaves_is_noticed(upstream):
    upstream.replies(Reply(hold_headers=True))
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        task = group.create_task(post(session, upstream))
        await upstream.wait_for_requests(1)
        task.cancel()
    await upstream.disconnected.wait()


async def test_other_paths_are_not_there(upstream):
    async with aiohttp.ClientSession() as session:
        assert (await session.get(f"{upstream.base_url}/nothing")).status == 404


async def test_replies_nobody_asked_for_fail_the_test():
    with pytest.raises(AssertionError, match="1 replies"):
        async with open_fake_upstream() as upstream:
            upstream.replies(chat_reply("unused"))


def test_resplit_keeps_the_bytes():
    reply = chat_stream(["a"])
    data = b"".join(reply.chunks)
    assert resplit(reply, [data[:7], data[7:]]).chunks == (data[:7], data[7:])
    with pytest.raises(ValueError, match="borders only"):
        resplit(reply, [data[:7]])
