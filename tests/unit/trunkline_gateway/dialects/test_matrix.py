"""Golden files: one conversation, one answer, in every pair; and what the table says is what happens.

`tests/golden/dialects/clients` and `providers` are written by hand after the public documentation; the folders of the
pairs hold what comes out, read and approved once.
"""

import json
from pathlib import Path

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from trunkline_gateway.dialects import matrix
from trunkline_gateway.dialects.canonical import Dialect
from trunkline_gateway.dialects.frames import Head, wire
from trunkline_gateway.sse import DONE, SseParser
from trunkline_kit.errors import Unsupported

ROOT = Path(__file__).resolve().parents[4]
GOLDEN = ROOT / "tests" / "golden" / "dialects"
README = ROOT / "services" / "gateway" / "trunkline_gateway" / "dialects" / "README.md"
IDS = {"chat": "chatcmpl-7", "messages": "msg_7", "responses": "resp_7"}
every_pair = pytest.mark.parametrize("pair", matrix.PAIRS.values(), ids=lambda pair: pair.name)


def head(pair):
    return Head(id=IDS[pair.client.name], model="house-model", created=1_700_000_000)


def body_of(pair):
    """The client's own; where the target cannot do all of that, what is written for the pair."""
    special = GOLDEN / "clients" / f"{pair.name}.json"
    return (special if special.exists() else GOLDEN / "clients" / f"{pair.client.name}.json").read_bytes()


def golden(pair, name):
    return (GOLDEN / pair.name / name).read_bytes()


def streamed(pair):
    data = (GOLDEN / "providers" / f"{pair.provider.name}.sse").read_bytes()
    decoder, encoder = pair.provider.open_stream(), pair.client.open_stream(head(pair), body_of(pair))
    frames = [frame for payload in SseParser().feed(data) for frame in encoder.encode(decoder.feed(payload))]
    return [*frames, *encoder.encode(decoder.close()), *encoder.end()]


@every_pair
def test_request(pair):
    request = pair.client.decode_request(body_of(pair))
    sent = pair.provider.encode_request(request, pair.provider.abilities, "provider-model")
    assert json.loads(sent) == json.loads(golden(pair, "request.json"))


@every_pair
def test_answer(pair):
    data = (GOLDEN / "providers" / f"{pair.provider.name}.json").read_bytes()
    encoded = pair.client.encode_answer(pair.provider.decode_answer(data), head(pair), body_of(pair))
    assert json.loads(encoded) == json.loads(golden(pair, "answer.json"))


@every_pair
def test_stream(pair):
    assert wire(streamed(pair)).decode() == golden(pair, "stream.sse").decode()


@every_pair
def test_openai_s_own_types_read_it(pair):
    frames = [frame.data for frame in streamed(pair) if frame.data != DONE]
    match pair.client.dialect:
        case Dialect.CHAT:
            ChatCompletion.model_validate_json(golden(pair, "answer.json"))
            for data in frames:
                ChatCompletionChunk.model_validate_json(data)
        case Dialect.RESPONSES:
            Response.model_validate_json(golden(pair, "answer.json"))
            events = TypeAdapter(ResponseStreamEvent)
            assert [events.validate_json(data).type for data in frames] == [json.loads(data)["type"] for data in frames]


def test_pairs_are_named_after_both():
    assert {pair.name for pair in matrix.PAIRS.values()} == {path.name for path in GOLDEN.iterdir()} - {
        "clients",
        "providers",
    }


def test_the_readme_has_the_table():
    assert matrix.table() in README.read_text(), "put what matrix.table() returns into dialects/README.md"


ASKING = {
    "choice among some tools": {
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "tool_choice": {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]},
        },
    },
    "audio out": {"modalities": ["text", "audio"], "audio": {"voice": "ash", "format": "wav"}},
    "JSON object": {"response_format": {"type": "json_object"}},
    "`n` above 1": {"n": 2},
    "logprobs": {"logprobs": True},
    "seed": {"seed": 1},
    "penalties": {"frequency_penalty": 1},
    "logit bias": {"logit_bias": {"1": 2}},
    "top-k": {"top_k": 5},
    "verbosity": {"verbosity": "low"},
    "stop sequences": {"stop": "x"},
    "reasoning": {"reasoning_effort": "high"},
}


@pytest.mark.parametrize("provider", matrix.PROVIDERS, ids=lambda provider: provider.name)
@pytest.mark.parametrize(
    "feature", [feature for feature in matrix.FEATURES if feature.name in ASKING], ids=lambda f: f.name
)
def test_the_table_tells_the_truth(feature, provider):
    asked = ASKING[feature.name]
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x"}], **asked}).encode()
    request = matrix.CHAT.decode_request(body)
    if matrix.carries(matrix.PAIRS["chat", provider.name], feature) == "yes":
        assert provider.encode_request(request, provider.abilities, "m")
    else:
        with pytest.raises(Unsupported) as refused:
            provider.encode_request(request, provider.abilities, "m")
        assert refused.value.param in asked
