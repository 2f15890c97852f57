"""The real OpenAI SDK against the gateway, a fake provider behind it."""

import asyncio
from typing import Any

import msgspec
import openai
import pytest

from trunkline_gateway.providers.http_account import ERROR_BYTES_MAX
from trunkline_testkit.upstream import Reply, chat_reply, chat_stream, error_reply

ASK: Any = [{"role": "user", "content": "say one two three"}]
SSE = (("content-type", "text/event-stream"),)


async def test_a_whole_answer_is_the_providers_own(harness, upstream):
    raw = await harness.sdk.chat.completions.with_raw_response.create(model="fake", messages=ASK, seed=7)
    answer = raw.parse()
    assert answer.choices[0].message.content == "say one two three"
    assert answer.usage.total_tokens == 7
    assert raw.headers["x-trunkline-provider"] == "up"
    assert raw.headers["x-trunkline-model"] == "fake"
    assert raw.headers["x-trunkline-attempts"] == "1"
    sent = upstream.requests[0]
    as_stream = {"stream": True, "stream_options": {"include_usage": True}}
    assert sent.json() == {"model": "real-fake", "messages": ASK, "seed": 7, **as_stream}
    assert sent.headers["authorization"] == "Bearer up-key"
    assert "x-stainless-lang" not in sent.headers, "the caller's headers stay here"


async def test_a_stream_comes_together_to_the_whole_answer(harness):
    stream = await harness.sdk.chat.completions.create(model="fake", messages=ASK, stream=True)
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "say one two three"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason] == ["stop"]
    assert all(chunk.usage is None for chunk in chunks), "nobody asked for usage"


async def test_usage_in_a_stream_is_passed_on_when_asked_for(harness, upstream):
    stream = await harness.sdk.chat.completions.create(
        model="fake", messages=ASK, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens == 7
    assert upstream.requests[0].json()["stream_options"] == {"include_usage": True}


async def test_usage_is_always_asked_for_and_counted(harness, upstream):
    stream = await harness.sdk.chat.completions.create(model="fake", messages=ASK, stream=True)
    async for _ in stream:
        pass
    assert upstream.requests[0].json()["stream_options"] == {"include_usage": True}
    assert harness.metric("trunkline_gateway_tokens_total", provider="up", **{"class": "output"}) == 4


async def test_unknown_fields_and_number_spellings_survive(harness, upstream):
    body = b'{"model":"fake","messages":[{"role":"user","content":"\\u00e9"}],"x":{"a":1.50,"b":[1e2]},"seed":1}'
    headers = {"authorization": "Bearer tl-test-key", "content-type": "application/json"}
    assert (await harness.post("/v1/chat/completions", data=body, headers=headers)).status == 200
    assert b'"x":{"a":1.50,"b":[1e2]}' in upstream.requests[0].body
    assert b"\\u00e9" in upstream.requests[0].body


async def test_a_model_given_twice_means_the_same_to_both(harness, upstream):
    body = b'{"model":"secret-model","model":"fake","messages":[{"role":"user","content":"x"}]}'
    assert (await harness.post("/v1/chat/completions", data=body)).status == 400, "not JSON by content type"
    headers = {"authorization": "Bearer tl-test-key", "content-type": "application/json"}
    assert (await harness.post("/v1/chat/completions", data=body, headers=headers)).status == 200
    assert b"secret-model" not in upstream.requests[0].body


async def test_models_are_listed_and_found(harness):
    listed = [model.id async for model in harness.sdk.models.list()]
    assert listed == ["fake"]
    assert (await harness.sdk.models.retrieve("fake")).id == "fake"
    with pytest.raises(openai.NotFoundError) as caught:
        await harness.sdk.models.retrieve("org/other")
    assert caught.value.code == "model_not_found"


async def test_the_sync_client_works_too(harness):
    def ask() -> str | None:
        with openai.OpenAI(api_key="tl-test-key", base_url=f"{harness.url}/v1", max_retries=0) as sdk:
            return sdk.chat.completions.create(model="fake", messages=ASK).choices[0].message.content

    assert await asyncio.to_thread(ask) == "say one two three"


async def test_embeddings_pass_through(harness, upstream):
    data = b'[{"object":"embedding","index":0,"embedding":[0.5,1]}]'
    body = b'{"object":"list","data":%b,"model":"e","usage":{"prompt_tokens":2,"total_tokens":2}}' % data
    upstream.replies(Reply(chunks=(body,)))
    answer = await harness.sdk.embeddings.create(model="fake", input="hello", encoding_format="float")
    assert answer.data[0].embedding == [0.5, 1]
    assert upstream.requests[0].path == "/v1/embeddings"


async def test_legacy_completions_pass_through(harness, upstream):
    event = b'data: {"id":"c","object":"text_completion","created":1,"model":"m","choices":[{"index":0,"text":"%b",'
    upstream.replies(
        Reply(
            headers=SSE,
            chunks=(
                event % b"a" + b'"finish_reason":null}]}\n\n',
                event % b"b" + b'"finish_reason":"stop"}]}\n\n',
                b"data: [DONE]\n\n",
            ),
        )
    )
    stream = await harness.sdk.completions.create(model="fake", prompt="x", stream=True)
    assert "".join([chunk.choices[0].text async for chunk in stream]) == "ab"


async def test_a_wrong_key_is_told_from_a_missing_one(harness):
    wrong = await harness.post("/v1/chat/completions", {}, headers={"authorization": "Bearer tl-other"})
    missing = await harness.post("/v1/chat/completions", {}, headers={})
    malformed = await harness.post("/v1/chat/completions", {}, headers={"authorization": "Basic eDp5"})
    texts = [(await reply.json())["error"]["message"] for reply in (wrong, missing, malformed)]
    assert [reply.status for reply in (wrong, missing, malformed)] == [401, 401, 401]
    assert len(set(texts)) == 3
    by_header = await harness.get("/v1/models", headers={"x-api-key": "tl-test-key"})
    assert by_header.status == 200


async def test_a_key_sees_only_its_models(open_harness, upstream, single, key_entry):
    tree = single(upstream)
    tree["models"]["other"] = tree["models"]["fake"]
    tree["keys"] = [key_entry("test", "tl-test-key", models=["oth*"])]
    harness = await open_harness(tree)
    assert [model.id async for model in harness.sdk.models.list()] == ["other"]
    assert (await harness.sdk.chat.completions.create(model="other", messages=ASK)).choices
    with pytest.raises(openai.NotFoundError) as caught:
        await harness.sdk.chat.completions.create(model="fake", messages=ASK)
    assert caught.value.code == "model_not_found"


async def test_the_providers_refusal_keeps_its_words(harness, upstream):
    upstream.replies(error_reply(400, "temperature is too hot", code="bad"))
    with pytest.raises(openai.BadRequestError, match="temperature is too hot"):
        await harness.sdk.chat.completions.create(model="fake", messages=ASK)
    assert len(upstream.requests) == 1


async def test_the_providers_401_is_not_the_callers(harness, upstream):
    upstream.replies(error_reply(401, "Incorrect API key provided: sk-abc"))
    with pytest.raises(openai.InternalServerError) as caught:
        await harness.sdk.chat.completions.create(model="fake", messages=ASK)
    assert caught.value.status_code == 502
    assert caught.value.code == "upstream_error"
    assert "sk-abc" not in str(caught.value)


async def test_the_providers_429_keeps_its_retry_after(harness, upstream):
    upstream.replies(error_reply(429, "slow", retry_after_s=70))
    with pytest.raises(openai.RateLimitError) as caught:
        await harness.sdk.chat.completions.create(model="fake", messages=ASK)
    assert caught.value.response.headers["retry-after"] == "70"
    assert caught.value.response.headers["retry-after-ms"] == "70000"
    assert "x-should-retry" not in caught.value.response.headers
    assert caught.value.code == "upstream_rate_limited"


async def test_what_was_tried_often_enough_is_not_for_the_sdk_to_try_again(open_harness, upstream, single):
    """Its retries would multiply with ours."""
    harness = await open_harness(single(upstream, retries={"max_attempts": 2}))
    upstream.replies(*[error_reply(429, "slow", retry_after_s=0)] * 2)
    with pytest.raises(openai.RateLimitError) as caught:
        await harness.sdk.chat.completions.create(model="fake", messages=ASK)
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert len(upstream.requests) == 2


async def test_the_providers_own_id_is_told_with_answers_and_errors(harness, upstream):
    upstream.replies(msgspec.structs.replace(chat_reply("x"), headers=(("x-request-id", "req_theirs"),)))
    raw = await harness.sdk.chat.completions.with_raw_response.create(model="fake", messages=ASK)
    assert raw.headers["x-trunkline-provider-request-id"] == "req_theirs"
    upstream.replies(msgspec.structs.replace(error_reply(400), headers=(("request-id", "req_other"),)))
    with pytest.raises(openai.BadRequestError) as caught:
        await harness.sdk.chat.completions.create(model="fake", messages=ASK)
    assert caught.value.response.headers["x-trunkline-provider-request-id"] == "req_other"


async def test_connections_to_the_provider_are_used_again(harness, upstream):
    for _ in range(3):
        stream = await harness.sdk.chat.completions.create(model="fake", messages=ASK, stream=True)
        async for _chunk in stream:
            pass
        await harness.sdk.chat.completions.create(model="fake", messages=ASK)
    assert len(upstream.requests) == 6
    upstream.replies(chat_reply("x"), chat_stream(["y"]))
    await harness.sdk.chat.completions.create(model="fake", messages=ASK)
    await harness.sdk.chat.completions.create(model="fake", messages=ASK, stream=True)


async def test_an_endless_error_is_not_read_to_its_end(harness, upstream):
    upstream.replies(Reply(status=400, chunks=(b"x" * (ERROR_BYTES_MAX + 1),) * 3))
    with pytest.raises(openai.BadRequestError, match="without saying why"):
        await harness.sdk.chat.completions.create(model="fake", messages=ASK)
