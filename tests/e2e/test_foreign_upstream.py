"""The SDK suite over an upstream that nobody here wrote: aimock, as an `openai` provider."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from trunkline_testkit import sdk_suite
from trunkline_testkit.parts import free_port, require_program
from trunkline_testkit.processes import Up, fetch, until

ANSWER = "Rouge, vert et bleu foncé. " * 4
FIXTURES = {
    "fixtures": [
        {"match": {"userMessage": "colours"}, "response": {"content": ANSWER}},
        {
            "match": {"userMessage": "weather"},
            "response": {"toolCalls": [{"name": "look_up", "arguments": '{"city": "Bonn"}'}]},
        },
    ]
}
TOOL = {
    "type": "function",
    "function": {"name": "look_up", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


@pytest.fixture(scope="module")
def upstream(tmp_path_factory) -> Iterator[str]:
    program = require_program("aimock", "run tools/test once")
    folder = tmp_path_factory.mktemp("aimock")
    fixtures = folder / "fixtures.json"
    fixtures.write_text(json.dumps(FIXTURES))
    port = free_port()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "-p", str(port), "-f", fixtures], stdout=log, stderr=log)
    try:

        def answers() -> bool:
            assert process.poll() is None, (folder / "log").read_text()
            try:
                return fetch(f"http://127.0.0.1:{port}/v1/models", key="any").status == 200
            except AssertionError:
                return False

        until(answers, 20, "aimock answers")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def up_over_upstream(upstream: str, start_up, tmp_path_factory) -> Iterator[Up]:
    """No worker, no model: only a provider."""
    folder: Path = tmp_path_factory.mktemp("foreign")
    file = folder / "trunkline.yaml"
    file.write_text(
        json.dumps(
            {
                "listen": {"grpc": "127.0.0.1:0", "metrics": "127.0.0.1:0"},
                "providers": {"mock": {"kind": "openai", "base_url": upstream, "bills_after_disconnect": False}},
                "models": {
                    "colours": {"deployments": [{"provider": "mock", "model": "gpt-4o-mini"}]},
                    "vectors": {"deployments": [{"provider": "mock", "model": "text-embedding-3-small"}]},
                },
                "routes": {"auto": {"otherwise": ["colours"]}},
            }
        )
    )
    with start_up(folder / "home", "--config", file) as up:
        yield up


@pytest.mark.parametrize("model", ["auto", "colours"])
async def test_streamed_text_equals_the_whole_answer(up_over_upstream, model):
    with up_over_upstream.client() as client:
        assert sdk_suite.stream_equals_whole(client, model) == ANSWER
    async with up_over_upstream.async_client() as client:
        await sdk_suite.async_stream_equals(client, model, ANSWER)


def test_models_keys_and_unknown_models(up_over_upstream):
    with up_over_upstream.client() as client:
        sdk_suite.models_are_listed(client, "auto", "colours", "vectors")
        sdk_suite.refuses_unknown_models(client)
    with up_over_upstream.client(key="tl-nobody") as client:
        sdk_suite.refuses_strangers(client, "colours")


def test_embeddings(up_over_upstream):
    with up_over_upstream.client() as client:
        reply = client.embeddings.create(model="vectors", input=["one", "two"])
    assert [item.index for item in reply.data] == [0, 1]
    assert len(reply.data[0].embedding) == len(reply.data[1].embedding) > 8


def test_tool_calls_pass_through(up_over_upstream):
    question = [{"role": "user", "content": "How is the weather?"}]
    with up_over_upstream.client() as client:
        whole = client.chat.completions.create(model="colours", messages=question, tools=[TOOL])
        chunks = list(client.chat.completions.create(model="colours", messages=question, tools=[TOOL], stream=True))
    call = whole.choices[0].message.tool_calls[0].function
    assert (call.name, json.loads(call.arguments)) == ("look_up", {"city": "Bonn"})
    deltas = [d for chunk in chunks if chunk.choices for d in chunk.choices[0].delta.tool_calls or ()]
    assert json.loads("".join(delta.function.arguments or "" for delta in deltas)) == {"city": "Bonn"}


def test_what_the_upstream_does_not_know_is_an_error_in_our_form(up_over_upstream):
    """The mock has no fixture for it."""
    with up_over_upstream.client() as client, pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model="colours", messages=[{"role": "user", "content": "Unheard of."}])
    assert caught.value.response.json()["error"]["message"]
