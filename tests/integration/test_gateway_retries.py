"""Waits that providers ask for, accounts without credit, fallbacks by kind, and whole answers out of streams."""

import asyncio
from email.utils import formatdate

import msgspec
import openai
import pytest

from trunkline_testkit.upstream import Reply, chat_reply, chat_stream, error_reply

ASK = [{"role": "user", "content": "hello there"}]
SSE = (("content-type", "text/event-stream"),)
JSON = (("content-type", "application/json"),)
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
MODES = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@pytest.fixture
def tree(upstream, backup):
    """Model `fake` at `up`, `other` there as well, `spare` and `long` elsewhere."""

    def made(provider=None, **model):
        return {
            "providers": {
                "up": {"kind": "openai", "assemble_streams": "auto", "base_url": upstream.base_url, **(provider or {})},
                "spare": {"kind": "openai", "assemble_streams": "auto", "base_url": backup.base_url},
            },
            "models": {
                "fake": {"deployments": [{"provider": "up", "model": "real"}], **model},
                "other": {
                    "deployments": [{"provider": "up", "model": "other-real"}],
                    "fallbacks": {"on_error": ["spare"]},
                },
                "spare": {"deployments": [{"provider": "spare", "model": "spare-real"}]},
                "long": {"deployments": [{"provider": "spare", "model": "long-real"}]},
            },
        }

    return made


async def said(harness, *, stream=False, model="fake", **more):
    raw = await harness.sdk.chat.completions.with_raw_response.create(model=model, messages=ASK, stream=stream, **more)
    answer = raw.parse()
    if not stream:
        return answer.choices[0].message.content, raw.headers
    return "".join([chunk.choices[0].delta.content or "" async for chunk in answer]), raw.headers


async def refused(harness, kind, **more):
    with pytest.raises(kind) as caught:
        await said(harness, **more)
    return caught.value.response


def limited(**headers):
    body = error_reply(429, code="rate_limit_exceeded").chunks
    return Reply(
        status=429, headers=(*JSON, *((name.replace("_", "-"), text) for name, text in headers.items())), chunks=body
    )


@MODES
@pytest.mark.parametrize(
    ("headers", "wait_s"), [({"retry_after_ms": "60"}, 0.06), ({"retry_after": "0.06"}, 0.06), ({}, 1.0)]
)
async def test_a_wait_that_a_provider_asks_for_is_waited(open_harness, tree, upstream, stream, headers, wait_s):
    upstream.replies(limited(**headers))
    harness = await open_harness(tree())
    began_s = asyncio.get_running_loop().time()
    text, seen = await said(harness, stream=stream)
    assert asyncio.get_running_loop().time() - began_s >= wait_s
    assert (text, seen["x-trunkline-attempts"]) == ("hello there", "2")
    assert seen["x-trunkline-tried"].startswith("up/real;upstream_rate_limited;")
    assert harness.metric("trunkline_gateway_cooldowns_total", provider="up", cause="told") == 1


async def test_a_date_that_is_past_is_no_wait(open_harness, tree, upstream):
    upstream.replies(limited(retry_after=formatdate(0, usegmt=True)))
    assert (await said(await open_harness(tree())))[0] == "hello there"


async def test_a_wait_that_is_too_long_is_the_callers_and_nobody_asks_again_before_it_is_over(
    open_harness, tree, upstream
):
    upstream.replies(limited(retry_after="90"))
    harness = await open_harness(tree())
    first = await refused(harness, openai.RateLimitError)
    again = await refused(harness, openai.RateLimitError)
    assert len(upstream.requests) == 1
    assert [first.headers["retry-after"], first.headers["x-trunkline-attempts"]] == ["90", "1"]
    assert 80 < int(again.headers["retry-after"]) <= 90
    assert "x-trunkline-attempts" not in again.headers
    assert "not asked again for" in again.json()["error"]["message"]


async def test_a_spent_account_is_left_alone_for_all_its_models(open_harness, tree, upstream):
    upstream.replies(error_reply(429, code="insufficient_quota"))
    harness = await open_harness(tree())
    response = await refused(harness, openai.InternalServerError)
    assert (response.status_code, response.json()["error"]["code"]) == (502, "upstream_error")
    text, headers = await said(harness, model="other")
    assert (text, headers["x-trunkline-provider"], headers["x-trunkline-attempts"]) == ("hello there", "spare", "1")
    assert len(upstream.requests) == 1
    assert harness.metric("trunkline_gateway_cooldowns_total", provider="up", cause="account") == 1


@MODES
@pytest.mark.parametrize(
    ("kind", "code"), [("on_context_window", "context_length_exceeded"), ("on_content_policy", "content_filter")]
)
async def test_what_another_model_may_do_goes_there(open_harness, tree, upstream, stream, kind, code):
    upstream.replies(error_reply(400, code=code))
    harness = await open_harness(tree(fallbacks={"on_error": ["spare"], kind: ["long"]}))
    text, headers = await said(harness, stream=stream)
    assert (text, headers["x-trunkline-model"]) == ("hello there", "long")


@pytest.mark.parametrize("code", ["context_length_exceeded", "content_filter"])
async def test_without_such_a_model_it_is_the_callers_error(open_harness, tree, upstream, backup, code):
    upstream.replies(error_reply(400, "in its own words", code=code))
    response = await refused(await open_harness(tree(fallbacks={"on_error": ["spare"]})), openai.BadRequestError)
    assert "in its own words" in response.json()["error"]["message"]
    assert not backup.requests


async def test_errors_tell_every_attempt(open_harness, tree, upstream, backup):
    upstream.replies(error_reply(500), error_reply(500))
    backup.replies(error_reply(404))
    response = await refused(await open_harness(tree(fallbacks={"on_error": ["spare"]})), openai.InternalServerError)
    assert response.headers["x-trunkline-attempts"] == "3"
    tried = [attempt.split(";")[:2] for attempt in response.headers["x-trunkline-tried"].split(", ")]
    assert tried == [
        ["up/real", "upstream_unavailable"],
        ["spare/spare-real", "upstream_error"],
        ["up/real", "upstream_unavailable"],
    ]


async def test_a_whole_answer_is_put_together_from_a_stream_and_says_the_same(open_harness, tree, upstream):
    harness = await open_harness(tree())
    reply = await harness.post("/v1/chat/completions", {"model": "fake", "messages": ASK})
    assert upstream.requests[0].json()["stream_options"] == {"include_usage": True}
    assert upstream.requests[0].json()["stream"] is True
    body = msgspec.json.decode(await reply.read())
    assert body == msgspec.json.decode(chat_reply("hello there", model="real").chunks[0])


@pytest.mark.parametrize(
    ("provider", "more"),
    [({"assemble_streams": "never"}, {}), ({}, {"n": 2}), ({}, {"tools": TOOLS})],
    ids=["never", "several choices", "tools"],
)
async def test_what_a_stream_may_not_say_as_well_is_asked_for_whole(open_harness, tree, upstream, provider, more):
    whole = chat_reply("as it  came")
    upstream.replies(whole)
    harness = await open_harness(tree(provider))
    reply = await harness.post("/v1/chat/completions", {"model": "fake", "messages": ASK, **more})
    assert "stream" not in upstream.requests[0].json()
    assert await reply.read() == whole.chunks[0]


async def test_tools_may_be_put_together_where_the_operator_says_so(open_harness, tree, upstream):
    harness = await open_harness(tree({"assemble_streams": "always"}))
    await said(harness, tools=TOOLS)
    assert upstream.requests[0].json()["stream"] is True


async def test_a_model_that_may_not_be_streamed_is_asked_whole_from_then_on(open_harness, tree, upstream):
    error = {"message": "verify yourself to stream this model", "type": "invalid_request_error", "param": "stream"}
    refusal = Reply(status=400, chunks=(msgspec.json.encode({"error": error}),))
    upstream.replies(refusal, chat_reply("one"), chat_reply("two"))
    harness = await open_harness(tree())
    assert [(await said(harness))[0] for _ in range(2)] == ["one", "two"]
    assert [bool(request.json().get("stream")) for request in upstream.requests] == [True, False, False]


async def test_a_server_that_answers_whole_all_the_same_is_understood(open_harness, tree, upstream):
    upstream.replies(chat_reply("one"), chat_reply("two"))
    harness = await open_harness(tree())
    assert [(await said(harness))[0] for _ in range(2)] == ["one", "two"]
    assert [bool(request.json().get("stream")) for request in upstream.requests] == [True, False]


SOME = chat_stream(["half ", "of it"]).chunks[:2]


@pytest.mark.parametrize(
    "reply",
    [
        Reply(hold_headers=True),
        Reply(headers=SSE, chunks=chat_stream([]).chunks[:1], ending="stall"),
        Reply(headers=SSE, chunks=SOME, ending="stall"),
        Reply(headers=SSE, chunks=SOME, ending="cut"),
        Reply(headers=SSE, chunks=SOME),
        Reply(headers=SSE, chunks=(*SOME, b'data: {"error":{"message":"overloaded"}}\n\n')),
        Reply(headers=SSE, chunks=(*SOME, b"data: {nonsense\n\n", *chat_stream([]).chunks[1:])),
    ],
    ids=["silent", "role only", "stalled", "cut", "ended", "error", "malformed"],
)
async def test_a_whole_answer_fails_over_until_all_of_it_is_there(open_harness, tree, upstream, reply):
    upstream.replies(reply)
    clocks = {"first_token_s": 0.3, "idle_s": 0.3}
    harness = await open_harness(tree(fallbacks={"on_error": ["spare"]}, timeouts=clocks))
    text, headers = await asyncio.wait_for(said(harness), 5)
    assert (text, headers["x-trunkline-provider"]) == ("hello there", "spare")


async def test_a_whole_answer_that_ends_without_done_is_complete(open_harness, tree, upstream):
    upstream.replies(chat_stream(["all ", "there"], done=False))
    assert (await said(await open_harness(tree())))[0] == "all there"


async def test_a_caller_who_leaves_a_whole_answer_ends_it_at_the_provider(open_harness, tree, upstream):
    upstream.replies(Reply(headers=SSE, chunks=SOME, ending="stall"))
    harness = await open_harness(tree())
    task = asyncio.ensure_future(said(harness))
    await upstream.wait_for_requests(1)
    task.cancel()
    await asyncio.wait_for(upstream.disconnected.wait(), 5)


async def test_an_event_that_makes_no_sense_is_left_out_of_a_stream_and_counted(open_harness, tree, upstream):
    first, *rest = chat_stream(["hello ", "there"]).chunks
    upstream.replies(Reply(headers=SSE, chunks=(first, b"data: {nonsense\n\n", *rest)))
    harness = await open_harness(tree())
    assert (await said(harness, stream=True))[0] == "hello there"
    assert harness.metric("trunkline_gateway_malformed_events_total", provider="up") == 1
