"""Text out of a request for the checks, and back with redactions."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.prompt import redacted, text_parts
from trunkline_gateway.surface import Surface
from trunkline_kit.errors import InvalidRequest


class Cut(msgspec.Struct):
    path: str
    start_chars: int
    end_chars: int
    replacement: str


def encoded(**body):
    return msgspec.json.encode(body)


def test_every_text_of_a_chat_has_its_place():
    call = {"id": "1", "function": {"name": "f", "arguments": '{"q":"deep"}'}}
    body = encoded(
        messages=[
            {"role": "system", "content": "be nice"},
            {"role": "user", "content": [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {}}]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "content": "result"},
        ]
    )
    assert [(part.path, part.role, part.text) for part in text_parts(Surface.CHAT, body)] == [
        ("/messages/0/content", "system", "be nice"),
        ("/messages/1/content/0/text", "user", "look"),
        ("/messages/2/tool_calls/0/function/arguments", "assistant", '{"q":"deep"}'),
        ("/messages/3/content", "tool", "result"),
    ]


def test_prompts_and_inputs_too():
    assert [part.path for part in text_parts(Surface.COMPLETION, encoded(prompt="a"))] == ["/prompt"]
    assert [part.path for part in text_parts(Surface.EMBEDDING, encoded(input=["a", "", "b"]))] == [
        "/input/0",
        "/input/2",
    ]
    assert text_parts(Surface.COMPLETION, encoded(prompt=[1, 2])) == ()
    assert [part.path for part in text_parts(Surface.MODERATION, encoded(input=["a"]))] == ["/input/0"]


def test_every_member_of_a_document_is_read_and_can_be_redacted():
    body = encoded(query="q", documents=["a", {"text": "b", "by": {"name/s": ["c"]}}])
    found = [(part.path, part.text) for part in text_parts(Surface.RERANK, body)]
    places = ["/query", "/documents/0", "/documents/1/text", "/documents/1/by/name~1s/0"]
    assert found == list(zip(places, "qabc", strict=True))
    cuts = [Cut(place, 0, 1, "[X]") for place in places]
    out = msgspec.json.decode(redacted(Surface.RERANK, body, cuts))
    assert out == {"query": "[X]", "documents": ["[X]", {"text": "[X]", "by": {"name/s": ["[X]"]}}]}


@given(st.text(min_size=6, max_size=12))
def test_redactions_replace_exactly_what_they_name(text):
    body = encoded(x=1, messages=[{"role": "user", "content": text}])
    cuts = [Cut("/messages/0/content", 0, 2, "[A]"), Cut("/messages/0/content", 4, 5, "")]
    out = msgspec.json.decode(redacted(Surface.CHAT, body, cuts))
    assert out == {"x": 1, "messages": [{"role": "user", "content": "[A]" + text[2:4] + text[5:]}]}


def test_redactions_inside_parts_and_plain_prompts():
    body = encoded(messages=[{"role": "user", "content": [{"type": "text", "text": "my key"}]}])
    out = redacted(Surface.CHAT, body, [Cut("/messages/0/content/0/text", 3, 6, "*")])
    assert msgspec.json.decode(out)["messages"][0]["content"][0]["text"] == "my *"
    assert msgspec.json.decode(redacted(Surface.COMPLETION, encoded(prompt="abc"), [Cut("/prompt", 0, 1, "-")])) == {
        "prompt": "-bc"
    }


def test_what_cannot_be_read_is_the_callers():
    with pytest.raises(InvalidRequest):
        text_parts(Surface.CHAT, b"[")


def test_instructions_items_and_results_of_tools_of_a_response():
    body = encoded(
        instructions="be nice",
        input=[
            {"role": "user", "content": [{"type": "input_text", "text": "look"}]},
            {"type": "function_call", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "1", "output": "result"},
        ],
    )
    assert [(part.path, part.role, part.text) for part in text_parts(Surface.RESPONSES, body)] == [
        ("/instructions", "system", "be nice"),
        ("/input/0/content/0/text", "user", "look"),
        ("/input/1/arguments", "user", "{}"),
        ("/input/2/output", "user", "result"),
    ]
