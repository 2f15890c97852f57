"""The OpenAI SDK against the gateway, in front of a fake Azure."""

import msgspec
import openai
import pytest

from trunkline_testkit.upstream import Reply, chat_reply, chat_stream, error_reply, open_fake_upstream

ASK = [{"role": "user", "content": "say one two three"}]
ACCOUNTS = {
    "v1": {"api_key": "env:UP"},
    "classic": {"api_key": "env:UP", "api_version": "2024-10-21"},
}


@pytest.fixture
async def azure(open_harness, upstream):
    async def opened(account, **more):
        address = upstream.base_url.removesuffix("/v1")
        provider = {"kind": "azure", "base_url": address, "assemble_streams": "auto", **account}
        deployments = [{"provider": "az", "model": "my-gpt"}]
        models = {"fake": {"deployments": deployments, "retries": {"max_attempts": 1}, **more.pop("model", {})}}
        tree = {"providers": {"az": provider, **more.pop("providers", {})}, "models": {**models, **more}}
        return await open_harness(tree, environment={"SECRET": "hush"})

    return opened


@pytest.mark.parametrize(
    ("account", "path"),
    [
        ("v1", "/openai/v1/chat/completions"),
        ("classic", "/openai/deployments/my-gpt/chat/completions"),
    ],
)
async def test_both_apis_answer_whole_and_in_streams(azure, upstream, account, path):
    harness = await azure(ACCOUNTS[account])
    filtered = {"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": [{"x": 1}]}
    stream = chat_stream(["one ", "two"])
    first = b"data: " + msgspec.json.encode(filtered) + b"\n\n"
    upstream.replies(*[msgspec.structs.replace(stream, chunks=(first, *stream.chunks))] * 2)
    answer = await harness.sdk.chat.completions.create(model="fake", messages=ASK)
    assert (answer.choices[0].message.content, answer.usage.completion_tokens) == ("one two", 2)
    events = await harness.sdk.chat.completions.create(model="fake", messages=ASK, stream=True)
    chunks = [chunk async for chunk in events]
    assert chunks[0].model_extra == {"prompt_filter_results": [{"x": 1}]}
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "one two"
    for request in upstream.requests:
        assert (request.path, request.headers["api-key"]) == (path, "up-key")
        assert "authorization" not in request.headers
        assert request.json()["model"] == "my-gpt"


async def test_what_the_filter_objects_to_goes_to_the_fallback_for_that(azure, upstream, backup):
    body = {
        "error": {
            "message": "The response was filtered",
            "type": None,
            "param": "prompt",
            "code": "content_filter",
            "status": 400,
            "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {}},
        }
    }
    filtered = Reply(status=400, chunks=(msgspec.json.encode(body),))
    harness = await azure(
        ACCOUNTS["v1"],
        model={"fallbacks": {"on_content_policy": ["spare"]}, "retries": {"max_attempts": 2}},
        providers={"other": {"kind": "openai", "base_url": backup.base_url}},
        spare={"deployments": [{"provider": "other", "model": "real"}]},
    )
    upstream.replies(filtered)
    reply = await harness.post("/v1/chat/completions", {"model": "fake", "messages": ASK})
    assert (reply.status, reply.headers["x-trunkline-provider"]) == (200, "other")


async def test_its_way_of_asking_to_wait_is_understood(azure, upstream):
    harness = await azure(ACCOUNTS["v1"], model={"retries": {"max_attempts": 2}})
    limited = error_reply(429, "slow down")
    headers = (*limited.headers, ("x-ms-retry-after-ms", "20"), ("retry-after", "1"))
    upstream.replies(msgspec.structs.replace(limited, headers=headers), chat_reply("at last"))
    answer = await harness.sdk.chat.completions.create(model="fake", messages=ASK)
    assert answer.choices[0].message.content == "at last"


async def test_an_application_gets_one_token_for_many_requests_and_nobody_else_sees_it(azure, upstream):
    def grant(_):
        body = {"token_type": "Bearer", "expires_in": 3599, "access_token": "first"}
        return Reply(chunks=(msgspec.json.encode(body),))

    async with open_fake_upstream(grant) as login:
        entra = {"tenant": "t", "client_id": "c", "client_secret": "env:SECRET", "authority": login.base_url}
        harness = await azure({"entra": entra})
        for _ in range(2):
            await harness.sdk.chat.completions.create(model="fake", messages=ASK)
        assert len(login.requests) == 1
        assert b"client_secret=hush" in login.requests[0].body
        upstream.replies(error_reply(401, "token first has expired"))
        with pytest.raises(openai.InternalServerError) as failed:
            await harness.sdk.chat.completions.create(model="fake", messages=ASK)
        assert "first" not in str(failed.value)
        assert [request.headers["authorization"] for request in upstream.requests] == ["Bearer first"] * 3


async def test_a_preset_changes_what_is_sent_and_not_what_is_answered(open_harness, upstream):
    provider = {"kind": "openai", "preset": "mistral", "base_url": upstream.base_url, "api_key": "env:UP"}
    harness = await open_harness(
        {"providers": {"m": provider}, "models": {"fake": {"deployments": [{"provider": "m", "model": "large"}]}}}
    )
    upstream.replies(chat_stream(["one ", "two"]), chat_reply("three"))
    options = {"max_completion_tokens": 9, "seed": 3, "user": "u", "stream_options": {"include_usage": True}}
    events = await harness.sdk.chat.completions.create(model="fake", messages=ASK, stream=True, **options)
    chunks = [chunk async for chunk in events]
    assert chunks[-1].usage.completion_tokens == 2
    sent = upstream.requests[0].json()
    assert sent == {"model": "large", "messages": ASK, "stream": True, "max_tokens": 9, "random_seed": 3}
    claude = {"model": "fake", "max_tokens": 9, "messages": ASK, "metadata": {"user_id": "u"}}
    await harness.post("/v1/messages", claude)
    assert upstream.requests[1].json() == {"model": "large", "messages": ASK, "max_tokens": 9}
