"""OpenAI's Responses over real sockets: the SDK in front of providers of every dialect."""

import json
from functools import partial

import msgspec
import openai
import pydantic
import pytest

from trunkline.guardrails.v1 import guardrails_service_pb2 as guard_pb
from trunkline.guardrails.v1.guardrails_service_pb2_grpc import add_GuardrailsServiceServicer_to_server
from trunkline_kit.rpc import Net
from trunkline_testkit.servicers import Intercepted
from trunkline_testkit.upstream import Reply, chat_reply, chat_stream

SSE = (("content-type", "text/event-stream"),)


@pytest.fixture
async def claude(open_harness, upstream):
    """A gateway in front of a provider of Anthropic's dialect."""
    base = upstream.base_url.removesuffix("/v1")
    return await open_harness(
        {
            "providers": {"up": {"kind": "anthropic", "base_url": base, "api_key": "env:UP"}},
            "models": {"fake": {"deployments": [{"provider": "up", "model": "claude-x"}]}},
        }
    )


def message(said):
    """A whole answer of Anthropic's API."""
    body = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": [{"type": "text", "text": said}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 11, "output_tokens": 2},
    }
    return Reply(chunks=(json.dumps(body).encode(),))


async def test_the_sdk_asks_a_server_of_chat_completions(harness, upstream):
    upstream.replies(chat_reply("one two", prompt_tokens=5))
    response = await harness.sdk.responses.create(model="fake", input="hello", instructions="Be brief.")
    assert (response.output_text, response.status, response.model) == ("one two", "completed", "fake")
    assert (response.usage.input_tokens, response.usage.output_tokens) == (5, 2)
    assert response.id.startswith("resp_")
    assert len(response.id) > 40
    assert [said["role"] for said in upstream.requests[-1].json()["messages"]] == ["system", "user"]
    labels = {"surface": "responses", "outcome": "ok", "status": "2xx"}
    assert harness.metric("trunkline_gateway_requests_total", **labels) == 1


async def test_what_goes_by_count_is_met_before_anything_is_looked_up(open_harness, single, upstream, key_entry):
    key = key_entry("test", "tl-test-key", limits=[{"requests": 2, "per_s": 60}, {"tokens": 1_000, "per_s": 60}])
    harness = await open_harness({**single(upstream), "keys": [key]})
    upstream.replies(chat_reply("one", prompt_tokens=5))
    first = await harness.post("/v1/responses", {"model": "fake", "input": "hello", "max_output_tokens": 10})
    assert {"x-ratelimit-remaining-requests", "x-ratelimit-remaining-tokens"} <= {*map(str.lower, first.headers)}
    missing = {"model": "fake", "input": [{"id": "msg_nowhere"}]}
    assert [(await harness.post("/v1/responses", missing)).status for _ in range(2)] == [400, 429]


async def test_what_goes_by_size_is_met_by_the_whole_conversation(open_harness, single, upstream, key_entry):
    key = key_entry("test", "tl-test-key", limits=[{"tokens": 1_000, "per_s": 60}, {"concurrent": 1}])
    harness = await open_harness({**single(upstream), "keys": [key]})
    upstream.replies(chat_reply("one,two," * 1_000, prompt_tokens=5))
    first = await harness.sdk.responses.create(model="fake", input="hello", max_output_tokens=10)
    asked = {"model": "fake", "input": "more", "max_output_tokens": 10}
    refused = await harness.post("/v1/responses", {**asked, "previous_response_id": first.id})
    assert refused.status == 429, "the conversation alone is more than the limit"
    assert (await harness.post("/v1/responses", asked)).status == 200, "the refused one is not under way any more"


async def test_it_asks_anthropic(claude, upstream):
    upstream.replies(message("one"))
    response = await claude.sdk.responses.create(model="fake", input="hello")
    assert (response.output_text, response.usage.input_tokens) == ("one", 11)


async def test_it_streams_from_a_server_of_chat_completions(harness, upstream):
    upstream.replies(chat_stream(["one ", "two"], prompt_tokens=5))
    async with harness.sdk.responses.stream(model="fake", input="hello") as stream:
        events = [event async for event in stream]
        final = await stream.get_final_response()
    assert [event.delta for event in events if event.type == "response.output_text.delta"] == ["one ", "two"]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert (final.output_text, final.usage.output_tokens) == ("one two", 2)


def cut_short(reply, by):
    """The stream without its last events, and then the connection breaks."""
    return msgspec.structs.replace(reply, chunks=reply.chunks[:-by], ending="cut")


@pytest.mark.parametrize("by", [1, 2], ids=["no [DONE]", "no usage either"])
async def test_a_stream_that_breaks_after_its_last_word_is_complete(harness, upstream, by):
    upstream.replies(cut_short(chat_stream(["one ", "two"]), by))
    async with harness.sdk.responses.stream(model="fake", input="hello") as stream:
        final = await stream.get_final_response()
    assert (final.output_text, final.status) == ("one two", "completed")


async def test_a_broken_stream_ends_as_failed_and_goes_on_counting(harness, upstream):
    upstream.replies(cut_short(chat_stream(["one ", "two"]), 3))
    stream = await harness.sdk.responses.create(model="fake", input="hello", stream=True)
    events = [event async for event in stream]
    assert [event.type for event in events[-2:]] == ["error", "response.failed"]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].response.id == events[0].response.id
    assert events[-1].response.status == "failed"


async def test_a_conversation_goes_on_at_any_provider(harness, upstream):
    first = await harness.sdk.responses.create(model="fake", input="one", instructions="Be brief.")
    second = await harness.sdk.responses.create(model="fake", input="two", previous_response_id=first.id)
    async with harness.sdk.responses.stream(model="fake", input="three", previous_response_id=second.id) as stream:
        third = await stream.get_final_response()
    said = [(one["role"], one["content"]) for one in upstream.requests[-1].json()["messages"]]
    assert said == [("user", "one"), ("assistant", "one"), ("user", "two"), ("assistant", "two"), ("user", "three")]
    assert (third.previous_response_id, third.output_text) == (second.id, "three")


async def test_what_is_kept_can_be_read_listed_and_forgotten(harness):
    first = await harness.sdk.responses.create(model="fake", input="one")
    second = await harness.sdk.responses.create(model="fake", input="two", previous_response_id=first.id)
    assert await harness.sdk.responses.retrieve(second.id) == second
    listed = [item async for item in harness.sdk.responses.input_items.list(second.id, order="asc", limit=1)]
    assert [item.content[0].text for item in listed] == ["one", "one", "two"]
    assert len({item.id for item in listed}) == 3
    await harness.sdk.responses.delete(second.id)
    with pytest.raises(openai.NotFoundError):
        await harness.sdk.responses.retrieve(second.id)
    with pytest.raises(openai.BadRequestError) as caught:
        await harness.sdk.responses.create(model="fake", input="x", previous_response_id=second.id)
    assert (caught.value.code, caught.value.param) == ("previous_response_not_found", "previous_response_id")


async def test_what_is_not_to_be_kept_is_not(harness):
    made = await harness.sdk.responses.create(model="fake", input="one", store=False)
    with pytest.raises(openai.NotFoundError):
        await harness.sdk.responses.retrieve(made.id)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"background": True}, "background"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"truncation": "auto"}, "truncation"),
        ({"input": 1}, "input"),
        ({"tools": [{"type": "web_search"}]}, "tools[0]"),
        ({"previous_response_id": "resp_nobody_made"}, "previous_response_id"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_cannot_be_done_is_a_400_that_names_it(harness, upstream, change, param):
    reply = await harness.post("/v1/responses", {"model": "fake", "input": "x", **change})
    body = await reply.json()
    assert (reply.status, body["error"]["param"]) == (400, param)
    assert not upstream.requests


async def test_an_interrupted_answer_is_not_kept(harness, upstream):
    upstream.replies(cut_short(chat_stream(["one ", "two"]), 3))
    stream = await harness.sdk.responses.create(model="fake", input="hello", stream=True)
    events = [event async for event in stream]
    with pytest.raises(openai.NotFoundError):
        await harness.sdk.responses.retrieve(events[0].response.id)


class Weather(pydantic.BaseModel):
    city: str
    degrees: int


async def test_the_sdk_parses_structured_output(harness, upstream):
    upstream.replies(chat_reply('{"city": "Bern", "degrees": 7}'))
    parsed = await harness.sdk.responses.parse(model="fake", input="weather?", text_format=Weather)
    assert parsed.output_parsed == Weather(city="Bern", degrees=7)
    assert upstream.requests[-1].json()["response_format"]["type"] == "json_schema"


TOOL = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


async def test_tools_are_called_and_answered_over_two_requests(claude, upstream):
    use = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Bern"}}
    thought = {"type": "thinking", "thinking": "hm", "signature": "sig"}
    body = json.loads(message("").chunks[0]) | {"content": [thought, use], "stop_reason": "tool_use"}
    upstream.replies(Reply(chunks=(json.dumps(body).encode(),)), message("7 degrees"))
    first = await claude.sdk.responses.create(model="fake", input="weather?", tools=[TOOL])
    call = first.output[-1]
    assert (call.type, call.name, call.arguments) == ("function_call", "weather", '{"city":"Bern"}')
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "7"}
    second = await claude.sdk.responses.create(
        model="fake", input=[result], tools=[TOOL], previous_response_id=first.id, reasoning={"effort": "low"}
    )
    assert second.output_text == "7 degrees"
    said = upstream.requests[-1].json()["messages"]
    assert [turn["role"] for turn in said] == ["user", "assistant", "user"]
    assert [block["type"] for block in said[1]["content"]] == ["thinking", "tool_use"]
    assert said[1]["content"][0]["signature"] == "sig"


async def test_what_is_redacted_is_neither_sent_nor_kept(open_harness, single, upstream, key_entry):
    net, guard = Net(), Intercepted()
    async with net.serve("local:guardrails", partial(add_GuardrailsServiceServicer_to_server, guard)):
        tree = single(upstream)
        tree["policies"] = {"p": {"guardrails": {"input": [{"check": "secrets", "on_fail": "redact"}]}}}
        tree["keys"] = [key_entry("test", "tl-test-key", policy="p")]
        harness = await open_harness(tree, net=net)
        cuts = [guard_pb.Redaction(path=path, end_chars=6, replacement="*") for path in ("/instructions", "/input")]
        redacted = guard_pb.CheckInputResponse(action=3, redactions=cuts)
        guard.reply("CheckInput", redacted, guard_pb.CheckInputResponse(action=1))
        first = await harness.sdk.responses.create(model="fake", instructions="SECRET!", input="SECRET ok")
        assert [said["content"] for said in upstream.requests[-1].json()["messages"]] == ["*!", "* ok"]
        assert (await harness.sdk.responses.retrieve(first.id)).instructions == "*!"
        second = await harness.sdk.responses.create(model="fake", input="more", previous_response_id=first.id)
        listed = await harness.sdk.responses.input_items.list(second.id, order="asc")
        assert [item.content[0].text for item in listed.data] == ["* ok", "* ok", "more"]
        checked = [part.text for part in guard.requests("CheckInput")[1].parts]
        assert checked == ["* ok", "* ok", "more"], "the whole conversation, each time"
