"""What providers do wrong, and what a caller then sees: a rescue where one is possible, the truth where it is not."""

import asyncio

import msgspec
import openai
import pytest

from trunkline_testkit.parts import free_port
from trunkline_testkit.upstream import Reply, chat_stream, error_reply, resplit

ASK = [{"role": "user", "content": "hello there"}]
SSE = (("content-type", "text/event-stream"),)
MODES = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@pytest.fixture
def two(upstream, backup):
    """Model `fake` at `up`, with `spare` at another provider to fall back on."""

    def tree(**model):
        return {
            "providers": {
                "up": {"kind": "openai", "assemble_streams": "auto", "base_url": upstream.base_url},
                "down": {"kind": "openai", "base_url": f"http://127.0.0.1:{free_port()}/v1"},
                "spare": {"kind": "openai", "assemble_streams": "auto", "base_url": backup.base_url},
            },
            "models": {
                "fake": {
                    "deployments": [{"provider": "up", "model": "real"}],
                    "fallbacks": {"on_error": ["spare"]},
                    **model,
                },
                "spare": {"deployments": [{"provider": "spare", "model": "spare-real"}]},
            },
        }

    return tree


async def said(harness, stream):
    """The answer's text and headers."""
    raw = await harness.sdk.chat.completions.with_raw_response.create(model="fake", messages=ASK, stream=stream)
    answer = raw.parse()
    if not stream:
        return answer.choices[0].message.content, raw.headers
    return "".join([chunk.choices[0].delta.content or "" async for chunk in answer]).strip(), raw.headers


async def body_of(harness):
    """The raw event stream."""
    reply = await harness.post("/v1/chat/completions", {"model": "fake", "messages": ASK, "stream": True})
    return reply, await reply.read()


@MODES
async def test_refused_connections_fall_over(open_harness, two, stream):
    harness = await open_harness(two(deployments=[{"provider": "down", "model": "real"}]))
    text, headers = await said(harness, stream)
    assert text == "hello there"
    assert headers["x-trunkline-provider"] == "spare"
    assert headers["x-trunkline-attempts"] == "2"


@MODES
@pytest.mark.parametrize("status", [500, 502, 503, 529, 401, 403, 404, 429])
async def test_errors_of_the_provider_fall_over(open_harness, two, upstream, stream, status):
    upstream.replies(error_reply(status, "broken", retry_after_s=30))
    harness = await open_harness(two())
    text, headers = await said(harness, stream)
    assert text == "hello there"
    assert headers["x-trunkline-provider"] == "spare"
    assert len(upstream.requests) == 1


async def test_a_refusal_of_the_request_does_not_fall_over(open_harness, two, upstream, backup):
    upstream.replies(error_reply(400, "no such parameter", code="unknown"))
    harness = await open_harness(two())
    with pytest.raises(openai.BadRequestError):
        await said(harness, stream=False)
    assert not backup.requests


@MODES
async def test_a_provider_that_breaks_is_tried_again(open_harness, single, upstream, stream):
    upstream.replies(error_reply(500), error_reply(500))
    harness = await open_harness(single(upstream))
    text, headers = await said(harness, stream)
    assert text == "hello there"
    assert headers["x-trunkline-attempts"] == "3"


async def test_attempts_have_one_budget(open_harness, two, upstream, backup):
    upstream.replies(error_reply(500), error_reply(500))
    backup.replies(error_reply(500), error_reply(500))
    harness = await open_harness(two(retries={"max_attempts": 4}))
    with pytest.raises(openai.InternalServerError) as caught:
        await said(harness, stream=False)
    assert caught.value.status_code == 502
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert len(upstream.requests) + len(backup.requests) == 4


async def test_silence_before_the_headers_falls_over(open_harness, two, upstream):
    upstream.replies(Reply(hold_headers=True))
    harness = await open_harness(two(timeouts={"first_token_s": 0.2}))
    text, headers = await said(harness, stream=True)
    assert text == "hello there"
    assert headers["x-trunkline-provider"] == "spare"
    await asyncio.wait_for(upstream.disconnected.wait(), 5)


async def test_silence_after_the_role_falls_over(open_harness, two, upstream):
    role = chat_stream([]).chunks[:1]
    upstream.replies(Reply(headers=SSE, chunks=role, ending="stall"))
    harness = await open_harness(two(timeouts={"first_token_s": 0.2}))
    text, headers = await said(harness, stream=True)
    assert (text, headers["x-trunkline-provider"]) == ("hello there", "spare")


async def test_a_silent_provider_is_not_asked_twice(open_harness, single, upstream):
    upstream.replies(Reply(hold_headers=True))
    harness = await open_harness(single(upstream, timeouts={"first_token_s": 0.2}))
    with pytest.raises(openai.InternalServerError) as caught:
        await said(harness, stream=True)
    assert caught.value.status_code == 504
    assert len(upstream.requests) == 1


async def test_the_total_time_bounds_a_whole_answer(open_harness, single, upstream):
    upstream.replies(Reply(hold_headers=True))
    harness = await open_harness(single(upstream, timeouts={"total_s": 0.2}))
    with pytest.raises(openai.InternalServerError) as caught:
        await said(harness, stream=False)
    assert caught.value.status_code == 504


@pytest.mark.parametrize("ending", ["cut", "end"])
async def test_a_stream_that_ends_before_the_first_token_falls_over(open_harness, two, upstream, ending):
    role = chat_stream([]).chunks[:1]
    upstream.replies(Reply(headers=SSE, chunks=role, ending=ending))
    harness = await open_harness(two())
    text, headers = await said(harness, stream=True)
    assert (text, headers["x-trunkline-provider"]) == ("hello there", "spare")


@pytest.mark.parametrize("ending", ["cut", "end", "stall"])
async def test_a_stream_that_ends_early_is_never_a_success(open_harness, two, upstream, ending):
    some = chat_stream(["half ", "of it"]).chunks[:2]
    upstream.replies(Reply(headers=SSE, chunks=some, ending=ending))
    harness = await open_harness(two(timeouts={"idle_s": 0.2}))
    reply, body = await body_of(harness)
    assert reply.status == 200
    assert b"half" in body
    assert b"[DONE]" not in body
    last = msgspec.json.decode(body.strip().rsplit(b"\n\n", 1)[1].removeprefix(b"data: "))
    assert set(last["error"]) == {"message", "type", "param", "code"}
    assert harness.metric("trunkline_gateway_broken_streams_total", provider="up") == 1


async def test_the_sdk_raises_on_a_broken_stream(harness, upstream):
    upstream.replies(Reply(headers=SSE, chunks=chat_stream(["half"]).chunks[:2], ending="cut"))
    with pytest.raises(openai.APIError, match="cut off"):
        await said(harness, stream=True)


async def test_an_error_inside_a_stream_before_the_first_token_falls_over(open_harness, two, upstream):
    error = b'data: {"error":{"message":"overloaded","type":"server_error"}}\n\n'
    upstream.replies(Reply(headers=SSE, chunks=(chat_stream([]).chunks[0], error)))
    harness = await open_harness(two())
    text, headers = await said(harness, stream=True)
    assert (text, headers["x-trunkline-provider"]) == ("hello there", "spare")


@pytest.mark.parametrize("garbage", [b"data: <html>\n\n", b"data: [1]\n\n", b'data: {"choices":3}\n\n'])
async def test_a_malformed_first_chunk_falls_over(open_harness, two, upstream, garbage):
    upstream.replies(Reply(headers=SSE, chunks=(garbage,)))
    harness = await open_harness(two())
    text, headers = await said(harness, stream=True)
    assert (text, headers["x-trunkline-provider"]) == ("hello there", "spare")


async def test_a_missing_done_is_added(harness, upstream):
    upstream.replies(chat_stream(["all"], done=False))
    _, body = await body_of(harness)
    assert body.endswith(b"data: [DONE]\n\n")
    assert b'"error"' not in body


async def test_a_cut_after_the_finish_reason_is_no_loss(harness, upstream):
    whole = chat_stream(["all"])
    upstream.replies(Reply(headers=SSE, chunks=whole.chunks[:3], ending="cut"))
    _, body = await body_of(harness)
    assert body.endswith(b"data: [DONE]\n\n")


async def test_json_in_place_of_a_stream_falls_over(open_harness, two, upstream):
    upstream.replies(Reply(chunks=(b"{}",)))
    harness = await open_harness(two())
    text, headers = await said(harness, stream=True)
    assert (text, headers["x-trunkline-provider"]) == ("hello there", "spare")


async def test_a_whole_answer_that_is_no_json_falls_over(open_harness, two, upstream):
    upstream.replies(Reply(chunks=(b"<html>oops",)))
    harness = await open_harness(two())
    text, headers = await said(harness, stream=False)
    assert (text, headers["x-trunkline-provider"]) == ("hello there", "spare")


async def test_a_whole_answer_that_is_cut_falls_over(open_harness, two, upstream):
    upstream.replies(Reply(chunks=(b'{"id"', b':"x'), ending="cut"))
    harness = await open_harness(two())
    text, headers = await said(harness, stream=False)
    assert (text, headers["x-trunkline-provider"]) == ("hello there", "spare")


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
async def test_line_ends_and_cuts_do_not_matter(harness, upstream, newline):
    plain = chat_stream(["één ", "👋 ", "drie"])
    raw = b": hello\n\n" + b"".join(plain.chunks)
    raw = raw.replace(b"\n", newline)
    pieces = [raw[index : index + 7] for index in range(0, len(raw), 7)]
    upstream.replies(resplit(Reply(headers=SSE, chunks=(raw,)), pieces))
    _, body = await body_of(harness)
    expected = b"".join(chunk for chunk in plain.chunks if b'"choices":[]' not in chunk)
    assert body == expected


async def test_an_error_in_a_whole_answer_with_200_falls_over(open_harness, two, upstream):
    harness = await open_harness(two())
    upstream.replies(Reply(chunks=(b'{"error":{"message":"no credit"}}',)))
    assert (await said(harness, stream=False))[0] == "hello there"


async def test_half_an_emoji_in_an_event_passes(harness, upstream):
    halves = [b'{"choices":[{"delta":{"content":"%b"}}]}' % half for half in (rb"\ud83d", rb"\ude00")]
    end = b'{"choices":[{"delta":{},"finish_reason":"stop"}]}'
    upstream.replies(Reply(headers=SSE, chunks=tuple(b"data: %b\n\n" % data for data in (*halves, end, b"[DONE]"))))
    _, body = await body_of(harness)
    assert [half in body for half in halves] == [True, True]
    assert body.endswith(b"data: [DONE]\n\n")
    assert len(upstream.requests) == 1


async def test_a_choice_that_ends_twice_does_not_stand_in_for_another(harness, upstream):
    end = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n'
    upstream.replies(Reply(headers=SSE, chunks=(end, end)))
    ask = {"model": "fake", "messages": ASK, "stream": True, "n": 2}
    body = await (await harness.post("/v1/chat/completions", ask)).read()
    assert b'"error"' in body
    assert b"[DONE]" not in body
