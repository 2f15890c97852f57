"""What a request is seen to ask is what a target that cannot do it would refuse."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.dialects.abilities import Abilities, refuse
from trunkline_gateway.dialects.canonical import Dialect
from trunkline_gateway.dialects.matrix import CLIENTS
from trunkline_gateway.dialects.needs import NATIVE, needs
from trunkline_kit.errors import Unsupported

FLAGS = [field.name for field in msgspec.structs.fields(Abilities) if field.type is bool]
ALL = msgspec.structs.replace(Abilities(stops_max=99), **dict.fromkeys(FLAGS, True))
CLIENT = {client.dialect: client for client in CLIENTS}
ONLY_SAID = {"thinking_budget", "thinking_effort"}
"""Which of the two a model takes is for the codec to settle: one becomes the other."""


def optional(**fields):
    return st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in fields.items()})


CHAT_PARTS = [
    {"type": "text", "text": "hello"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
    {"type": "image_url", "image_url": {"detail": "high", "url": "data:image/png;base64,AAAA"}},
    {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}},
    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    {"type": "file", "file": {"file_id": "file-1"}},
    {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}},
]
FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CHAT = st.builds(
    lambda parts, rest: {"model": "m", "messages": [{"role": "user", "content": parts}, *rest.pop("more", [])], **rest},
    st.lists(st.sampled_from(CHAT_PARTS), min_size=1, max_size=3) | st.just("hello"),
    optional(
        more=[[{"role": "system", "content": "be brief"}], [{"role": "assistant", "audio": {"id": "a1"}}]],
        tools=[[FUNCTION], [{"type": "custom", "custom": {"name": "c"}}], [FUNCTION, {"type": "custom"}], [], None],
        tool_choice=["auto", "none"],
        parallel_tool_calls=[True, False],
        n=[1, 2],
        logprobs=[True, False],
        response_format=[{"type": "text"}, {"type": "json_object"}],
        temperature=[None, 1, 1.0, 0.2],
        top_p=[1, 0.5],
        seed=[7],
        top_k=[5],
        frequency_penalty=[0, 0.5],
        presence_penalty=[0.5],
        logit_bias=[{}, {"5": 1}, None],
        stop=["x", ["x", "y"], []],
        reasoning_effort=["none", "low"],
        thinking=[{"type": "enabled", "budget_tokens": 2000}, {"type": "adaptive"}],
        verbosity=["medium", "low"],
    ),
)

MESSAGES_PARTS = [
    {"type": "text", "text": "hello"},
    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
    {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}},
    {"type": "image", "source": {"type": "file", "file_id": "f"}},
    {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hello"}},
    {"type": "document", "source": {"type": "url", "url": "https://x.test/a.pdf"}},
    {"type": "tool_result", "tool_use_id": "t", "content": "sunny"},
    {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "sunny"}]},
    {
        "type": "tool_result",
        "tool_use_id": "t",
        "content": [{"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}}],
    },
    {"type": "search_result", "source": {"type": "x"}},
]
MESSAGES = st.builds(
    lambda parts, rest: {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": parts}], **rest},
    st.lists(st.sampled_from(MESSAGES_PARTS), min_size=1, max_size=3) | st.just("hello"),
    optional(
        tools=[[{"name": "f", "input_schema": {}}], [{"type": "web_search_20250305", "name": "web_search"}]],
        tool_choice=[{"type": "auto"}, {"type": "auto", "disable_parallel_tool_use": True}],
        temperature=[1, 0.5],
        top_k=[5],
        stop_sequences=[["x"], []],
        thinking=[{"type": "enabled", "budget_tokens": 2000}, {"type": "adaptive"}, {"type": "disabled"}],
        output_config=[{"effort": "low"}, {"format": {"type": "json_schema", "schema": {}}}],
    ),
)

ITEMS = [
    {"role": "user", "content": "hello"},
    {"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png;base64,AAAA"}]},
    {"role": "user", "content": [{"type": "input_image", "image_url": "https://x.test/a.png"}]},
    {"role": "user", "content": [{"type": "input_image", "file_id": "f"}]},
    {"role": "user", "content": [{"type": "input_file", "file_url": "https://x.test/a.pdf"}]},
    {"role": "developer", "content": "be brief"},
    {"type": "function_call_output", "call_id": "c", "output": "sunny"},
    {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_image", "file_id": "f"}]},
    {"type": "web_search_call", "id": "w", "status": "completed"},
]
RESPONSES = st.builds(
    lambda items, rest: {"model": "m", "input": items, **rest},
    st.lists(st.sampled_from(ITEMS), min_size=1, max_size=3) | st.just("hello"),
    optional(
        tools=[[{"type": "function", "name": "f", "parameters": {}}], [{"type": "web_search"}]],
        tool_choice=["auto", {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]}],
        text=[{"format": {"type": "json_object"}}, {"verbosity": "low"}, {"format": {"type": "text"}}],
        reasoning=[{"effort": "low"}, {"effort": "none"}, {}],
        include=[["message.output_text.logprobs"], []],
        temperature=[1, 0.2],
    ),
)


@pytest.mark.parametrize(
    "image",
    [
        {"detail": "data:", "url": "http://10.0.0.1/"},
        {"url": "data:image/png;base64,AAAA", "detail": "x", "url ": "", "format": "data:"},
        "http://10.0.0.1/",
    ],
)
def test_a_link_is_one_wherever_its_object_says_data(image):
    body = {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": image}]}]}
    is_link = "http" in str(image)
    assert ("image_urls" in needs(msgspec.json.encode(body), Dialect.CHAT)) is is_link


def is_refused(request, abilities):
    try:
        refuse(request, abilities)
    except Unsupported:
        return True
    return False


@given(
    st.one_of(
        st.tuples(st.just(Dialect.CHAT), CHAT),
        st.tuples(st.just(Dialect.MESSAGES), MESSAGES),
        st.tuples(st.just(Dialect.RESPONSES), RESPONSES),
    )
)
def test_what_is_seen_is_what_is_refused(asked):
    dialect, body = asked
    data = msgspec.json.encode(body)
    request = CLIENT[dialect].decode_request(data)
    seen = needs(data, dialect)
    assert is_refused(request, ALL) is (NATIVE in seen)
    own = msgspec.structs.replace(ALL, native=dialect)
    for flag in set(FLAGS) - ONLY_SAID:
        if flag in {"file_ids", "top_k"}:
            # Where bytes pass through they mean what the caller means.
            without, expected = msgspec.structs.replace(ALL, **{flag: False}), flag in seen or NATIVE in seen
        else:
            without, expected = msgspec.structs.replace(own, **{flag: False}), flag in seen
        assert is_refused(request, without) is expected, flag


@pytest.mark.parametrize("body", [b"", b"[]", b'{"messages":5}', b'{"n":"two"}', b"\xff", b'{"messages":[' * 5000])
def test_what_cannot_be_read_asks_for_nothing(body):
    assert needs(body, Dialect.CHAT) == frozenset()


def test_json_schemas_and_spoken_answers_of_chat():
    schema = {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}
    asked = {"messages": [], "response_format": schema, "modalities": ["text", "audio"], "audio": {}}
    assert needs(msgspec.json.encode(asked), Dialect.CHAT) == {"json_schema", "audio_output"}
