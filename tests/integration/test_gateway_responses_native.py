"""Responses at accounts that speak them themselves: bytes pass through, and what they keep is asked for there."""

import json

import openai
import pytest

from trunkline_testkit.upstream import Reply, chat_reply, error_reply

KEY = "tl-test-key"
SSE = (("content-type", "text/event-stream"),)
CIPHER = "gAAAA-only-up-can-read-this"


def response(said, name="resp_up1", *, thought=False, **rest):
    """A whole answer of OpenAI's."""
    items = [{"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [text(said)]}]
    if thought:
        items.insert(0, {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": CIPHER})
    return {
        "id": name,
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": "real-x",
        "output": items,
        "usage": {"input_tokens": 9, "output_tokens": 2, "input_tokens_details": {"cached_tokens": 4}},
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "of_the_future": 1,
        **rest,
    }


def text(said):
    return {"type": "output_text", "text": said, "annotations": []}


def whole(body):
    return Reply(chunks=(json.dumps(body).encode(),))


def stream(said, **rest):
    """The same as events."""
    full = response(said, **rest)
    begun = {**full, "status": "in_progress", "output": [], "usage": None}
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    events = [
        {"type": "response.created", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": {**full["output"][-1], "content": []}},
        {"type": "response.content_part.added", **place, "part": text("")},
        {"type": "response.output_text.delta", **place, "delta": said, "logprobs": []},
        {"type": "response.completed", "response": full},
    ]
    return Reply(
        headers=SSE,
        chunks=tuple(
            f"event: {event['type']}\ndata: {json.dumps({**event, 'sequence_number': number})}\n\n".encode()
            for number, event in enumerate(events)
        ),
    )


@pytest.fixture
async def native(open_harness, upstream, backup, key_entry):
    """One model at two accounts, `up` and, as its fallback, `spare`; another model at chat completions only."""

    def account(at, responses):
        return {"kind": "openai", "base_url": at.base_url, "api_key": "env:UP", "responses": responses}

    def at(*providers, **rest):
        return {"deployments": [{"provider": name, "model": "real-x"} for name in providers], **rest}

    return await open_harness(
        {
            "providers": {
                "up": account(upstream, "native"),
                "spare": account(backup, "native"),
                "chat": account(backup, "auto"),
            },
            "models": {
                "fake": at("up", fallbacks={"on_error": ["other"]}),
                "other": at("spare"),
                "both": {
                    "deployments": [
                        {"provider": "up", "model": "real-x", "weight": 1e-9},
                        {"provider": "spare", "model": "real-x", "weight": 1e9},
                    ]
                },
                "chatty": at("chat"),
            },
            "keys": [
                key_entry("test", KEY, team="a"),
                key_entry("mate", "tl-mate", team="a"),
                key_entry("stranger", "tl-stranger", team="b"),
            ],
        }
    )


async def test_a_whole_answer_passes_through(native, upstream):
    upstream.replies(whole(response("hi")))
    asked = {"model": "fake", "input": "hello", "of_the_future": {"x": 1}, "store": True}
    reply = await native.post("/v1/responses", asked)
    assert await reply.read() == json.dumps(response("hi")).encode(), "byte for byte"
    assert upstream.requests[-1].json() == {**asked, "model": "real-x"}
    assert upstream.requests[-1].path == "/v1/responses"
    assert native.metric("trunkline_gateway_tokens_total", provider="up", **{"class": "output"}) == 2


async def test_a_stream_passes_through(native, upstream):
    sent = stream("hi")
    upstream.replies(sent)
    reply = await native.post("/v1/responses", {"model": "fake", "input": "hello", "stream": True})
    assert await reply.read() == b"".join(sent.chunks), "byte for byte"
    assert "stream_options" not in upstream.requests[-1].json()
    assert native.metric("trunkline_gateway_tokens_total", provider="up", **{"class": "input"}) == 9


async def test_what_an_account_keeps_is_continued_there_and_nowhere_else(native, upstream, backup):
    upstream.replies(whole(response("one")), error_reply(500), error_reply(500), error_reply(500))
    first = await native.sdk.responses.create(model="fake", input="hello")
    with pytest.raises(openai.APIStatusError):
        await native.sdk.responses.create(model="fake", input="more", previous_response_id=first.id)
    assert upstream.requests[-1].json()["previous_response_id"] == "resp_up1"
    assert upstream.requests[-1].json()["input"] == "more"
    assert not backup.requests


async def test_it_goes_on_elsewhere_where_another_model_is_asked_for(native, upstream, backup):
    upstream.replies(whole(response("one", thought=True)))
    backup.replies(chat_reply("two"))
    first = await native.sdk.responses.create(model="fake", input="hello")
    second = await native.sdk.responses.create(model="chatty", input="more", previous_response_id=first.id)
    said = [(one["role"], one["content"]) for one in backup.requests[-1].json()["messages"]]
    assert said == [("user", "hello"), ("assistant", "one"), ("user", "more")]
    assert second.previous_response_id == first.id
    upstream.replies(whole(response("three", "resp_up3")))
    await native.sdk.responses.create(model="fake", input="last", previous_response_id=second.id)
    sent = upstream.requests[-1].json()
    assert "previous_response_id" not in sent
    assert [item.get("role") for item in sent["input"]] == ["user", "assistant", "user", "assistant", "user"]
    assert not any("id" in item for item in sent["input"])


async def test_thoughts_that_one_account_can_read_go_back_to_it(native, upstream):
    upstream.replies(whole(response("one", thought=True)), *[whole(response("two"))] * 3)
    first = await native.sdk.responses.create(model="fake", input="hello", store=False)
    again = [{"role": "user", "content": "hello"}, *[item.model_dump(exclude_none=True) for item in first.output]]
    for _ in range(3):
        reply = await native.sdk.responses.with_raw_response.create(model="both", input=again, store=False)
        assert reply.headers["x-trunkline-provider"] == "up"
    assert upstream.requests[-1].json()["input"][1]["encrypted_content"] == CIPHER


async def test_items_are_referred_to_where_they_are_kept_and_sent_along_elsewhere(native, upstream, backup):
    upstream.replies(whole(response("one")), whole(response("two", "resp_up2")))
    backup.replies(chat_reply("three"))
    await native.sdk.responses.create(model="fake", input="hello")
    asked = [{"type": "item_reference", "id": "msg_1"}, {"role": "user", "content": "more"}]
    await native.sdk.responses.create(model="fake", input=asked)
    assert upstream.requests[-1].json()["input"][0] == asked[0]
    await native.sdk.responses.create(model="chatty", input=asked)
    assert [one["content"] for one in backup.requests[-1].json()["messages"]] == ["two", "more"]
    with pytest.raises(openai.BadRequestError):
        await native.sdk.responses.create(model="fake", input=[{"type": "item_reference", "id": "msg_9"}])


async def test_what_is_anothers_is_not_there(native, upstream):
    upstream.replies(whole(response("one")), Reply(chunks=(b'{"deleted": true}',)))
    first = await native.sdk.responses.create(model="fake", input="hello")
    stranger, mate = native.sdk.with_options(api_key="tl-stranger"), native.sdk.with_options(api_key="tl-mate")
    for ask in (stranger.responses.retrieve, stranger.responses.delete, stranger.responses.input_items.list):
        with pytest.raises(openai.NotFoundError):
            await ask(first.id)
    with pytest.raises(openai.BadRequestError):
        await stranger.responses.create(model="fake", input="x", previous_response_id=first.id)
    with pytest.raises(openai.BadRequestError):
        await stranger.responses.create(model="fake", input=[{"type": "item_reference", "id": "msg_1"}])
    assert (await mate.responses.retrieve(first.id)).output_text == "one"
    await mate.responses.delete(first.id)
    assert (upstream.requests[-1].method, upstream.requests[-1].path) == ("DELETE", "/v1/responses/resp_up1")


@pytest.mark.parametrize(
    "item",
    [{"id": "msg_1"}, {"type": None, "id": "msg_1"}, {"type": "reasoning", "id": "msg_1", "summary": []}],
    ids=str,
)
async def test_nobody_refers_to_what_another_team_was_given(native, upstream, item):
    upstream.replies(whole(response("one")))
    await native.sdk.responses.create(model="fake", input="hello")
    stranger = {"authorization": "Bearer tl-stranger"}
    reply = await native.post("/v1/responses", {"model": "fake", "input": [item]}, headers=stranger)
    assert (reply.status, (await reply.json())["error"]["param"]) == (400, "input[0].id")
    assert len(upstream.requests) == 1


async def test_what_the_account_does_not_remove_is_not_said_to_be_gone(native, upstream):
    upstream.replies(whole(response("one")), error_reply(500))
    first = await native.sdk.responses.create(model="fake", input="hello")
    with pytest.raises(openai.InternalServerError):
        await native.sdk.responses.delete(first.id)
    assert (await native.sdk.responses.retrieve(first.id)).id == first.id


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
async def test_a_failure_inside_a_200_falls_over(native, upstream, backup, streams):
    failed = response("", status="failed", output=[], error={"code": "server_error", "message": "oh"})
    event = {"type": "response.failed", "response": failed, "sequence_number": 0}
    data = f"event: response.failed\ndata: {json.dumps(event)}\n\n".encode()
    upstream.replies(*[Reply(headers=SSE, chunks=(data,)) if streams else whole(failed)])
    backup.replies(stream("rescued") if streams else whole(response("rescued")))
    reply = await native.post("/v1/responses", {"model": "fake", "input": "hello", "stream": streams})
    assert b"rescued" in await reply.read()
    assert reply.headers["x-trunkline-provider"] == "spare"
