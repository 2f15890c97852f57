"""The caller's bytes as each server wants them."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway import body as bodies
from trunkline_gateway.dialects.openai_chat_requests import Quirks
from trunkline_gateway.plan import Target
from trunkline_gateway.providers.accents import PLAIN, OfPreset, accent_of, quirks_of
from trunkline_gateway.providers.base import Call
from trunkline_gateway.surface import CONTROL_DECODERS, PATHS, Surface
from trunkline_kit.errors import InvalidRequest
from trunkline_kit.presets import PRESETS, Preset

TARGET = Target("m", "up", "real")
ASK = [{"role": "user", "content": "hi"}]


def call(**fields):
    body = msgspec.json.encode({"model": "m", "messages": ASK, **fields})
    control = bodies.decode(body, CONTROL_DECODERS[Surface.CHAT])
    return Call(surface=Surface.CHAT, body=body, control=control, request_id="r")


def sent(accent, *, as_stream=False, **fields):
    found = json.loads(accent.body(call(**fields), TARGET, as_stream=as_stream))
    assert found.pop("model") == "real"
    assert found.pop("messages") == ASK
    return found


async def test_plain_changes_nothing_but_the_model():
    assert sent(PLAIN, max_completion_tokens=5, seed=1) == {"max_completion_tokens": 5, "seed": 1}
    assert sent(PLAIN, as_stream=True) == {"stream": True, "stream_options": {"include_usage": True}}
    assert PLAIN.path(Surface.CHAT, TARGET) == PATHS[Surface.CHAT]
    assert await PLAIN.headers() == ()


def test_servers_without_habits_cost_nothing():
    assert accent_of(None) is accent_of("vllm") is accent_of("xai") is PLAIN
    assert isinstance(accent_of("mistral"), OfPreset)


def test_mistral_gets_its_own_names_and_nothing_that_it_refuses():
    mistral = accent_of("mistral")
    assert sent(mistral, max_completion_tokens=5, seed=1, user="u", store=False, metadata={"a": "b"}) == {
        "max_tokens": 5,
        "random_seed": 1,
    }
    assert sent(mistral, as_stream=True) == {"stream": True}
    asked = {"stream": True, "stream_options": {"include_usage": True}}
    assert sent(mistral, as_stream=True, **asked) == {"stream": True}
    padded = {"include_usage": True, "include_obfuscation": False}
    assert sent(mistral, as_stream=True, stream=True, stream_options=padded) == {
        "stream": True,
        "stream_options": {"include_obfuscation": False},
    }
    assert sent(mistral, stream_options=None) == {}
    with pytest.raises(InvalidRequest):
        mistral.body(msgspec.structs.replace(call(), body=b'{"stream_options":[]}'), TARGET)


@pytest.mark.parametrize(
    ("given_fields", "wanted"),
    [
        ({"max_completion_tokens": 5}, {"max_tokens": 5}),
        ({"max_tokens": 5}, {"max_tokens": 5}),
        ({"max_completion_tokens": 5, "max_tokens": 7}, {"max_tokens": 7}),
        ({"max_completion_tokens": 5, "max_tokens": None}, {"max_tokens": 5}),
        ({"max_completion_tokens": None}, {}),
        ({}, {}),
    ],
)
def test_the_limit_goes_by_the_name_that_is_known(given_fields, wanted):
    assert sent(accent_of("ollama"), **given_fields) == wanted


@given(st.dictionaries(st.sampled_from(["temperature", "tools", "n", "top_k", "stop", "x"]), st.integers() | st.none()))
def test_what_no_preset_knows_keeps_its_bytes(fields):
    every = OfPreset(PRESETS["mistral"])
    body = msgspec.json.encode({"model": "m", "messages": ASK, **fields})
    asked = msgspec.structs.replace(call(), body=body)
    assert json.loads(every.body(asked, TARGET)) == {"model": "real", "messages": ASK, **fields}


def test_other_dialects_are_written_as_the_server_wants_them():
    assert quirks_of(None) is None
    assert quirks_of("openrouter") == Quirks(
        output_limit_field="max_tokens", developer_role=False, cache_marks=True, reasoning_field="reasoning"
    )
    assert quirks_of("openai") == Quirks()
    assert quirks_of("mistral").end_user is False


def test_every_field_of_a_preset_that_changes_requests_makes_an_accent():
    changes = {"renamed": (("a", "b"),), "dropped": frozenset({"a"}), "usage_in_streams": "always"}
    changes["output_limit_field"] = "max_tokens"
    for name, value in changes.items():
        preset = Preset(title="t", base_url="http://h", **{name: value})
        assert OfPreset(preset).body(call(a=1, max_completion_tokens=2), TARGET, as_stream=True) != PLAIN.body(
            call(a=1, max_completion_tokens=2), TARGET, as_stream=True
        )
