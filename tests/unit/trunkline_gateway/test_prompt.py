"""Text out of a request for the checks, and back with redactions."""

import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.prompt import DECLARED, redacted, text_parts
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
        ("/messages/2/tool_calls/0/function/name", "assistant", "f"),
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
        ("/input/1/name", "user", "f"),
        ("/input/1/arguments", "user", "{}"),
        ("/input/2/output", "user", "result"),
    ]


def says(**message):
    return {"messages": [{"role": "user", **message}]}


def part(**fields):
    return says(content=[fields])


def item(**fields):
    return {"input": [fields]}


SCHEMA = {"type": "object", "properties": {"type": {"type": "string", "description": "SPOKEN", "enum": ["a"]}}}
BIG = "QUJD" * 30
MEDIA = f"data:image/png;base64,{BIG}"
HEARD = [
    (Surface.COMPLETION, {"prompt": "p", "suffix": "SPOKEN"}),
    (Surface.CHAT, says(content="SPOKEN")),
    (Surface.CHAT, says(name="SPOKEN")),
    (Surface.CHAT, says(refusal="SPOKEN")),
    (Surface.CHAT, says(reasoning_content="SPOKEN")),
    (Surface.CHAT, says(reasoning="SPOKEN")),
    (Surface.CHAT, says(thinking_blocks=[{"type": "thinking", "thinking": "SPOKEN", "signature": "s"}])),
    (Surface.CHAT, says(tool_calls=[{"id": "1", "type": "custom", "custom": {"name": "f", "input": "SPOKEN"}}])),
    (Surface.CHAT, says(tool_calls=[{"id": "1", "function": {"name": "f", "arguments": "SPOKEN"}}])),
    (Surface.CHAT, says(function_call={"name": "f", "arguments": "SPOKEN"})),
    (Surface.CHAT, part(type="refusal", refusal="SPOKEN")),
    (Surface.CHAT, part(type="file", file={"file_data": MEDIA, "filename": "SPOKEN"})),
    (Surface.CHAT, part(type="file", file={"file_data": "SPOKEN in clear " * 9})),
    (Surface.CHAT, part(type="image_url", image_url={"url": "https://x.test/?q=SPOKEN"})),
    (Surface.CHAT, part(type="image_url", image_url={"url": "data:text/plain,SPOKEN"})),
    (Surface.CHAT, part(type="text", text="data:image/png;base64,SPOKEN")),
    (Surface.CHAT, part(type="unheard_of", anything={"deep": ["SPOKEN"]})),
    (Surface.CHAT, {"messages": [], "prediction": {"type": "content", "content": "SPOKEN"}}),
    (
        Surface.CHAT,
        {"messages": [], "prediction": {"type": "content", "content": [{"type": "text", "text": "SPOKEN"}]}},
    ),
    (Surface.CHAT, {"messages": [], "documents": [{"title": "SPOKEN"}]}),
    (Surface.CHAT, {"messages": [], "tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}]}),
    (Surface.CHAT, {"messages": [], "functions": [{"name": "f", "description": "SPOKEN"}]}),
    (Surface.CHAT, {"messages": [], "response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}}),
    (Surface.MESSAGES, {"system": [{"type": "text", "text": "SPOKEN"}], "messages": []}),
    (Surface.MESSAGES, {"messages": [], "tools": [{"name": "f", "input_schema": SCHEMA}]}),
    (Surface.MESSAGES, {"messages": [], "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}),
    (Surface.MESSAGES, part(type="document", title="SPOKEN", source={"type": "base64", "data": BIG})),
    (Surface.MESSAGES, part(type="document", context="SPOKEN", source={"type": "file", "file_id": "f"})),
    (Surface.MESSAGES, part(type="document", source={"type": "text", "data": "SPOKEN", "media_type": "text/plain"})),
    (Surface.MESSAGES, part(type="document", source={"type": "text", "data": "SPOKEN" * 12})),
    (Surface.MESSAGES, part(type="search_result", title="SPOKEN", source="s", content=[])),
    (Surface.MESSAGES, part(type="search_result", title="t", source="SPOKEN", content=[])),
    (Surface.MESSAGES, part(type="thinking", thinking="SPOKEN", signature="s")),
    (Surface.MESSAGES, part(type="tool_use", id="1", name="f", input={"type": "SPOKEN", "n": 1})),
    (Surface.MESSAGES, part(type="tool_use", id="1", name="f", input={"deep": [{"id": "SPOKEN"}]})),
    (Surface.MESSAGES, part(type="tool_result", tool_use_id="1", content=[{"type": "text", "text": "SPOKEN"}])),
    (Surface.TOKEN_COUNT, part(type="document", title="SPOKEN", source={"type": "base64", "data": BIG})),
    (Surface.RESPONSES, {"instructions": "SPOKEN", "input": "x"}),
    (Surface.RESPONSES, {"input": [], "prompt": {"id": "p", "variables": {"type": "SPOKEN"}}}),
    (
        Surface.RESPONSES,
        {"input": [], "prompt": {"id": "p", "variables": {"x": {"type": "input_text", "text": "SPOKEN"}}}},
    ),
    (Surface.RESPONSES, {"input": [], "text": {"format": {"type": "json_schema", "schema": SCHEMA}}}),
    (Surface.RESPONSES, {"input": [], "tools": [{"type": "function", "name": "f", "description": "SPOKEN"}]}),
    (Surface.RESPONSES, item(type="shell_call", call_id="c", action={"commands": ["SPOKEN"]})),
    (Surface.RESPONSES, item(type="local_shell_call", action={"type": "exec", "env": {"A": "SPOKEN"}})),
    (Surface.RESPONSES, item(type="shell_call_output", output=[{"stdout": "SPOKEN", "stderr": ""}])),
    (Surface.RESPONSES, item(type="reasoning", id="r", summary=[{"type": "summary_text", "text": "SPOKEN"}])),
    (Surface.RESPONSES, item(type="message", role="assistant", content=[{"type": "refusal", "refusal": "SPOKEN"}])),
    (Surface.RESPONSES, item(type="function_call", call_id="c", name="f", arguments="SPOKEN")),
    (Surface.RESPONSES, item(type="function_call_output", call_id="c", output="SPOKEN")),
    (Surface.RESPONSES, item(type="custom_tool_call", call_id="c", name="f", input="SPOKEN")),
    (Surface.RESPONSES, item(type="code_interpreter_call", code="SPOKEN")),
    (Surface.RESPONSES, item(type="image_generation_call", result=BIG, revised_prompt="SPOKEN")),
    (Surface.RESPONSES, item(role="user", content=[{"type": "input_file", "filename": "SPOKEN", "file_data": MEDIA}])),
    (Surface.MODERATION, {"input": [{"type": "text", "text": "SPOKEN"}]}),
    (Surface.EMBEDDING, {"input": "SPOKEN"}),
    (Surface.RERANK, {"query": "q", "documents": [{"type": "SPOKEN"}]}),
]


@pytest.mark.parametrize(("surface", "body"), HEARD)
def test_every_text_that_a_model_may_read_is_seen_and_can_be_redacted(surface, body):
    data = msgspec.json.encode(body)
    found = [part for part in text_parts(surface, data) if "SPOKEN" in part.text]
    assert len(found) == 1
    start = found[0].text.index("SPOKEN")
    out = redacted(surface, data, [Cut(found[0].path, start, start + len("SPOKEN"), "[X]")])
    assert msgspec.json.decode(out) == msgspec.json.decode(data.replace(b"SPOKEN", b"[X]", 1))


@pytest.mark.parametrize(
    ("surface", "body"),
    [
        (Surface.CHAT, part(type="image_url", image_url={"url": MEDIA, "detail": "high"})),
        (Surface.CHAT, part(type="input_audio", input_audio={"data": BIG, "format": "wav"})),
        (Surface.CHAT, part(type="file", file={"file_id": "file-1"})),
        (Surface.CHAT, says(tool_call_id="c")),
        (Surface.MESSAGES, part(type="image", source={"type": "base64", "media_type": "image/png", "data": BIG})),
        (Surface.MESSAGES, part(type="thinking", thinking="", signature="c2ln")),
        (Surface.MESSAGES, part(type="redacted_thinking", data="a+b/c")),
        (Surface.MESSAGES, part(type="text", text="", cache_control={"type": "ephemeral", "ttl": "5m"})),
        (Surface.RESPONSES, item(type="reasoning", id="r", summary=[], encrypted_content="gAAAA")),
        (Surface.RESPONSES, item(role="user", content=[{"type": "input_image", "image_url": MEDIA}])),
        (Surface.RESPONSES, {"input": [], "tools": [{"type": "mcp", "authorization": "t", "headers": {"a": "t"}}]}),
    ],
)
def test_names_of_kinds_ids_signatures_and_media_are_no_texts(surface, body):
    assert text_parts(surface, msgspec.json.encode(body)) == ()


def test_media_cost_little_more_than_reading_their_json():
    data = msgspec.json.encode(part(type="image_url", image_url={"url": "data:image/png;base64," + "QUJD" * 4_000_000}))
    started_s = time.process_time()
    assert text_parts(Surface.CHAT, data) == ()
    assert time.process_time() - started_s < 1.0, "16 MB are looked at by no loop of Python's"


def test_texts_lie_as_deep_as_json_may():
    deep = "[" * 400 + '"SPOKEN"' + "]" * 400
    data = b'{"messages":[{"role":"user","content":' + deep.encode() + b"}]}"
    assert [part.text for part in text_parts(Surface.CHAT, data)] == ["SPOKEN"]


def test_what_is_said_of_tools_is_nobodys_words():
    body = {"messages": [{"role": "user", "content": "hi"}], "tools": [{"type": "function", "function": {"name": "f"}}]}
    assert [part.role for part in text_parts(Surface.CHAT, encoded(**body))] == ["user", DECLARED]
