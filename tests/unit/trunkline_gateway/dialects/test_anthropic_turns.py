import json

import msgspec
import pytest
from msgspec import Raw

from trunkline_gateway.dialects import canonical as model
from trunkline_gateway.dialects.anthropic_turns import mark_of, turns_of
from trunkline_gateway.dialects.canonical import Dialect, Message, Request, Role
from trunkline_kit.errors import InvalidRequest, Unsupported


def said(role, *parts, place=""):
    return Message(role=role, parts=tuple(model.Text(text=p) if isinstance(p, str) else p for p in parts), place=place)


def call(name):
    return model.ToolCall(id=name, name="f", arguments="{}")


def result(name, *parts):
    return model.ToolResult(call_id=name, parts=parts)


def turns(*messages, dialect=Dialect.CHAT):
    found = turns_of(Request(dialect=dialect, model="m", messages=messages))
    return [(turn["role"], turn["content"]) for turn in json.loads(msgspec.json.encode(found))]


def refused(*messages):
    with pytest.raises(InvalidRequest) as error:
        turns(*messages)
    return type(error.value), error.value.param


def test_neighbours_of_one_role_are_one_turn():
    found = turns(said(Role.USER, "a"), said(Role.USER, "b"), said(Role.ASSISTANT, "c"), said(Role.ASSISTANT, "d", "e"))
    assert [(role, [block["text"] for block in blocks]) for role, blocks in found] == [
        ("user", ["a", "b"]),
        ("assistant", ["c", "d", "e"]),
    ]


def test_results_lead_their_turn():
    found = turns(
        said(Role.USER, "a"),
        said(Role.ASSISTANT, call("x"), call("y")),
        said(Role.TOOL, result("x")),
        said(Role.USER, "b"),
        said(Role.TOOL, result("y", model.Text(text="r"))),
    )
    assert [block.get("tool_use_id", block.get("text")) for block in found[2][1]] == ["x", "y", "b"]
    assert found[2][1][1] == {"type": "tool_result", "tool_use_id": "y", "content": "r"}


def test_calls_and_results_belong_together():
    asked = said(Role.USER, "a")
    calls = said(Role.ASSISTANT, call("x"), call("y"), place="messages[1]")
    assert refused(asked, calls) == (InvalidRequest, "messages[1].tool_calls")
    half = said(Role.TOOL, result("x"), place="messages[2]")
    assert refused(asked, calls, half) == (InvalidRequest, "messages[1].tool_calls")
    assert refused(asked, half) == (InvalidRequest, "messages[0]")
    assert turns(asked, calls, dialect=Dialect.MESSAGES), "in its own dialect the provider judges"


def test_ids_that_anthropic_would_refuse():
    found = turns(said(Role.USER, "a"), said(Role.ASSISTANT, call("f:1.é")), said(Role.TOOL, result("f:1.é")))
    assert found[1][1][0]["id"] == found[2][1][0]["tool_use_id"] == "f_1__"


def test_what_is_empty_is_left_out():
    empty = model.Text(text="")
    assert turns(said(Role.USER, "a", empty), said(Role.ASSISTANT, empty), said(Role.USER, "b")) == [
        ("user", [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])
    ]
    assert refused(said(Role.USER, empty, place="messages[0]")) == (InvalidRequest, "messages[0].content")


@pytest.mark.parametrize(
    ("thought", "block"),
    [
        (
            model.Reasoning(text="t", signature="s", origin="anthropic"),
            {"type": "thinking", "thinking": "t", "signature": "s"},
        ),
        (model.Reasoning(encrypted="d", origin="anthropic"), {"type": "redacted_thinking", "data": "d"}),
        (model.Reasoning(text="t"), None),
        (model.Reasoning(text="t", signature="s", origin="gemini"), None),
        (model.Reasoning(encrypted="d", origin="openai"), None),
    ],
)
def test_only_its_own_thoughts_come_back(thought, block):
    content = turns(said(Role.USER, "a"), said(Role.ASSISTANT, thought, "b", "c"))[1][1]
    assert content[:-2] == ([] if block is None else [block])


@pytest.mark.parametrize("arguments", ["[]", "{", '"x"', "nul"])
def test_arguments_are_an_object(arguments):
    odd = model.ToolCall(id="x", name="f", arguments=arguments)
    assert refused(said(Role.ASSISTANT, odd, place="messages[1]")) == (InvalidRequest, "messages[1].content[0]")


@pytest.mark.parametrize(
    ("file", "source"),
    [
        (model.File(url="u"), {"type": "url", "url": "u"}),
        (model.File(file_id="f"), {"type": "file", "file_id": "f"}),
        (model.File(text="t"), {"type": "text", "media_type": "text/plain", "data": "t"}),
        (model.File(data="w6Q=", media_type="text/csv"), {"type": "text", "media_type": "text/plain", "data": "ä"}),
        (
            model.File(data="AA==", media_type="application/pdf"),
            {"type": "base64", "media_type": "application/pdf", "data": "AA=="},
        ),
    ],
)
def test_documents(file, source):
    assert turns(said(Role.USER, file))[0][1] == [{"type": "document", "source": source}]


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        (model.File(data="AA==", media_type="application/zip"), Unsupported),
        (model.File(data="?", media_type="text/plain"), InvalidRequest),
        (model.File(data="/w==", media_type="text/plain"), InvalidRequest),
        (model.Audio(data="AA=="), Unsupported),
    ],
)
def test_what_is_no_document(part, kind):
    assert refused(said(Role.USER, part, place="messages[0]")) == (kind, "messages[0].content[0]")


def test_citations_of_its_own_come_back():
    own = model.Citation(native=Raw(b'{"type":"x"}'), origin="anthropic")
    other = model.Citation(url="u", native=Raw(b"{}"), origin="gemini")
    text = model.Text(text="a", citations=(own, other))
    assert turns(said(Role.USER, "q"), said(Role.ASSISTANT, text))[1][1][0]["citations"] == [{"type": "x"}]


def test_marks():
    assert mark_of(None) is None
    assert msgspec.json.encode(mark_of(model.CacheMark(ttl="1h"))) == b'{"type":"ephemeral","ttl":"1h"}'
    assert msgspec.json.encode(mark_of(model.CacheMark(ttl="24h"))) == b'{"type":"ephemeral"}'
