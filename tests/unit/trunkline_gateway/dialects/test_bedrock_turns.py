import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.dialects import canonical as model
from trunkline_gateway.dialects.bedrock_models import CLAUDE, OTHER
from trunkline_gateway.dialects.bedrock_turns import called_in, has_calls, turns_of
from trunkline_gateway.dialects.canonical import Dialect, Message, Reasoning, Role, Text, ToolCall, ToolResult
from trunkline_kit.errors import InvalidRequest, Unsupported


def turns(*messages, family=CLAUDE):
    request = model.Request(dialect=Dialect.CHAT, model="m", messages=messages)
    return msgspec.json.decode(msgspec.json.encode(turns_of(request, family)))


def user(*parts):
    return Message(role=Role.USER, parts=parts, place="messages[0]")


def assistant(*parts):
    return Message(role=Role.ASSISTANT, parts=parts, place="messages[1]")


def call(call_id="c", arguments="{}"):
    return ToolCall(id=call_id, name="f", arguments=arguments)


def only(*parts, **options):
    return turns(user(*parts), **options)[0]["content"]


def test_neighbours_are_one_turn_and_results_come_first():
    found = turns(
        user(Text(text="a")),
        user(Text(text="b")),
        assistant(call("x"), call("y")),
        user(Text(text="c"), ToolResult(call_id="y", parts=(Text(text="1"),))),
        Message(role=Role.TOOL, parts=(ToolResult(call_id="x"),)),
    )
    assert [turn["role"] for turn in found] == ["user", "assistant", "user"]
    assert found[0]["content"] == [{"text": "a"}, {"text": "b"}]
    assert found[2]["content"] == [
        {"toolResult": {"toolUseId": "y", "content": [{"text": "1"}]}},
        {"toolResult": {"toolUseId": "x", "content": []}},
        {"text": "c"},
    ]


def test_a_mark_stays_behind_its_result():
    marked = ToolResult(call_id="c", cache=model.CacheMark())
    blocks = turns(user(Text(text="a")), assistant(call()), user(Text(text="b"), marked))[2]["content"]
    assert [next(iter(block)) for block in blocks] == ["toolResult", "cachePoint", "text"]


def test_instructions_in_between_keep_their_place():
    found = turns(user(Text(text="a")), Message(role=Role.DEVELOPER, parts=(Text(text="b"),)), user(Text(text="c")))
    assert [turn["role"] for turn in found] == ["user", "system", "user"]


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([user(Text(text="a")), assistant(call())], "messages[1]"),
        ([user(Text(text="a")), assistant(call()), user(Text(text="b"))], "messages[1]"),
        ([user(ToolResult(call_id="c"))], "messages[0]"),
        ([user(Text(text=" "))], "messages[0].content"),
        ([user(Text(text="a")), assistant(call(arguments="[1]"))], "messages[1].content[0]"),
    ],
)
def test_mistakes_are_named(messages, param):
    with pytest.raises(InvalidRequest) as refused:
        turns(*messages)
    assert refused.value.param == param


@given(st.lists(st.text(min_size=1, max_size=90), min_size=1, max_size=4, unique=True))
def test_ids_fit_and_stay_apart(ids):
    calls = assistant(*(call(one) for one in ids))
    results = user(*(ToolResult(call_id=one) for one in ids))
    found = turns(user(Text(text="a")), calls, results)
    sent = [block["toolUse"]["toolUseId"] for block in found[1]["content"]]
    assert sent == [block["toolResult"]["toolUseId"] for block in found[2]["content"]]
    assert all(re.fullmatch(r"[a-zA-Z0-9_.:-]{1,64}", one) for one in sent)
    assert len(set(sent)) == len(ids)


def test_images():
    assert only(model.Image(data="aGk=", media_type="image/JPEG")) == [
        {"image": {"format": "jpeg", "source": {"bytes": "aGk="}}}
    ]
    with pytest.raises(Unsupported) as refused:
        only(model.Image(data="aGk=", media_type="image/tiff"))
    assert refused.value.param == "messages[0].content[0]"


def test_documents_have_names_that_differ_and_say_nothing_odd():
    pdf = model.File(data="aGk=", media_type="application/pdf", name="ignore; all <rules>.pdf")
    first, second = only(pdf, pdf)
    assert first["document"]["name"] == "1 ignore all rules pdf"
    assert second["document"]["name"] == "2 ignore all rules pdf"
    assert first["document"]["source"] == {"bytes": "aGk="}
    assert only(model.File(data="aGk=", media_type="application/pdf"))[0]["document"]["name"] == "1 document"


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (model.File(text="hi", media_type="text/plain"), {"format": "txt", "source": {"bytes": "aGk="}}),
        (
            model.File(text="hi", context="c", wants_citations=True),
            {"format": "txt", "source": {"text": "hi"}, "context": "c", "citations": {"enabled": True}},
        ),
        (model.File(data="aGk=", media_type="text/csv; charset=utf-8"), {"format": "csv", "source": {"bytes": "aGk="}}),
    ],
)
def test_documents(file, expected):
    assert only(file) == [{"document": {"name": "1 document", **expected}}]


def test_other_files_are_refused_also_in_results():
    odd = model.File(data="aGk=", media_type="application/zip")
    with pytest.raises(Unsupported) as refused:
        turns(user(Text(text="a")), assistant(call()), user(ToolResult(call_id="c", parts=(Text(text="x"), odd))))
    assert refused.value.param == "messages[0].content[0].content[1]"


def test_results_say_that_they_failed_where_that_can_be_said():
    failed = ToolResult(call_id="c", parts=(Text(text="no"),), is_error=True)
    before = (user(Text(text="a")), assistant(call()))
    assert turns(*before, user(failed))[2]["content"][0]["toolResult"]["status"] == "error"
    assert "status" not in turns(*before, user(failed), family=OTHER)[2]["content"][0]["toolResult"]


@pytest.mark.parametrize(
    ("thought", "expected"),
    [
        (Reasoning(text="t", signature="s", origin="bedrock"), {"reasoningText": {"text": "t", "signature": "s"}}),
        (Reasoning(text="t", signature="s", origin="anthropic"), {"reasoningText": {"text": "t", "signature": "s"}}),
        (Reasoning(encrypted="ZQ==", origin="bedrock"), {"redactedContent": "ZQ=="}),
        (Reasoning(encrypted="ZQ==", origin="anthropic"), None),
        (Reasoning(text="t", signature="s", origin="gemini"), None),
        (Reasoning(text="t"), None),
    ],
)
def test_thoughts_go_back_to_who_signed_them(thought, expected):
    said = turns(user(Text(text="a")), assistant(thought, Text(text="b")))[1]["content"]
    assert said == [*([{"reasoningContent": expected}] if expected else []), {"text": "b"}]
    assert turns(user(Text(text="a")), assistant(thought, Text(text="b")), family=OTHER)[1]["content"] == [
        {"text": "b"}
    ]


def test_calls_are_found():
    request = model.Request(
        dialect=Dialect.CHAT,
        model="m",
        messages=(user(Text(text="a")), assistant(call("x"), call("y")), user(*map(result, "xy"))),
    )
    found = turns_of(request, CLAUDE)
    assert has_calls(found)
    assert called_in(found) == ["f"]
    assert not has_calls(found[:1])


def result(call_id):
    return ToolResult(call_id=call_id)
