"""A worker with the fake model behind a gateway, asked by OpenAI's own client."""

import json
from pathlib import Path

import openai
import pytest
from prometheus_client import CollectorRegistry

from trunkline_kit.clock import SystemClock
from trunkline_kit.parts import Kit
from trunkline_kit.rpc import Net
from trunkline_kit.tracing import Tracing
from trunkline_worker.app import open_worker
from trunkline_worker.config import WorkerConfig

ASK = [{"role": "user", "content": "hi there"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "pick",
        "parameters": {
            "type": "object",
            "properties": {"size": {"enum": [1, 2, 3]}},
            "required": ["size"],
            "additionalProperties": False,
        },
    },
}


@pytest.fixture
async def sdk(open_harness):
    net = Net()
    kit = Kit(net=net, clock=SystemClock(), tracing=Tracing(), metrics=CollectorRegistry(), environment={})
    config = WorkerConfig(listen="local:worker", home=Path("/nowhere"), model="fake:", drain_grace_s=0)
    async with open_worker(config, kit):
        tree = {
            "providers": {"w": {"kind": "worker", "target": "local:worker"}},
            "models": {"m": {"deployments": [{"provider": "w", "model": "fake"}]}},
        }
        yield (await open_harness(tree, net=net)).sdk


async def test_several_answers_whole_and_streamed(sdk):
    whole = await sdk.chat.completions.create(model="m", messages=ASK, n=3, temperature=0)
    assert [choice.message.content for choice in whole.choices] == ["hi there"] * 3
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (9, 27)
    stream = await sdk.chat.completions.create(model="m", messages=ASK, n=3, temperature=0, stream=True)
    texts, ends = {}, []
    async for chunk in stream:
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
            ends += [choice.index] if choice.finish_reason else []
    assert (texts, sorted(ends)) == (dict.fromkeys(range(3), "hi there"), [0, 1, 2])


async def test_a_forced_call_whole_and_streamed(sdk):
    asked = {"model": "m", "messages": ASK, "tools": [TOOL], "tool_choice": "required", "temperature": 2}
    whole = await sdk.chat.completions.create(**asked)
    [call] = whole.choices[0].message.tool_calls
    assert (whole.choices[0].finish_reason, whole.choices[0].message.content) == ("tool_calls", None)
    assert (call.function.name, json.loads(call.function.arguments)["size"] in {1, 2, 3}) == ("pick", True)
    stream = await sdk.chat.completions.create(**asked, stream=True)
    pieces = [piece async for chunk in stream for choice in chunk.choices for piece in choice.delta.tool_calls or ()]
    assert (pieces[0].id.startswith("call_"), pieces[0].function.name) == (True, "pick")
    assert json.loads("".join(piece.function.arguments or "" for piece in pieces))["size"] in {1, 2, 3}
    told = [*ASK, {"role": "assistant", "tool_calls": [call.model_dump()]}, {"role": "tool", "content": "ok"}]
    after = await sdk.chat.completions.create(model="m", messages=told, tools=[TOOL], temperature=0)
    assert after.choices[0].message.content == "ok"


async def test_a_schema_is_kept_and_a_bad_one_named(sdk):
    schema = {"type": "array", "items": {"enum": ["x", "y"]}, "minItems": 2, "maxItems": 4}
    form = {"type": "json_schema", "json_schema": {"name": "a", "strict": True, "schema": schema}}
    answer = await sdk.chat.completions.create(model="m", messages=ASK, response_format=form, temperature=2)
    made = json.loads(answer.choices[0].message.content)
    assert 2 <= len(made) <= 4
    assert set(made) <= {"x", "y"}
    form["json_schema"]["schema"] = {"type": "sometimes"}
    with pytest.raises(openai.BadRequestError) as refused:
        await sdk.chat.completions.create(model="m", messages=ASK, response_format=form)
    assert refused.value.param == "response_format.json_schema.schema"


async def test_a_prompt_that_comes_again_is_cached(sdk):
    asked = [{"role": "user", "content": "the very same words " * 8}]
    cached = []
    for _ in range(2):
        answer = await sdk.chat.completions.create(model="m", messages=asked, max_tokens=2)
        details = answer.usage.prompt_tokens_details
        cached.append(details.cached_tokens if details else 0)
    assert cached == [0, 144]
