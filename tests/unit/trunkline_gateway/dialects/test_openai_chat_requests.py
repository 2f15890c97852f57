import json

import pytest
from msgspec import Raw

from trunkline_gateway.dialects import canonical as model
from trunkline_gateway.dialects.abilities import Abilities
from trunkline_gateway.dialects.canonical import Dialect, Message, Request, Role
from trunkline_gateway.dialects.openai_chat_requests import ABILITIES, Quirks, effort_of, encode_request
from trunkline_kit.errors import InvalidRequest, Unsupported

USER = Message(role=Role.USER, parts=(model.Text(text="x"),))
MARK = model.CacheMark(ttl="5m")


def encode(*messages, quirks=Quirks(), abilities=ABILITIES, dialect=Dialect.MESSAGES, **fields):  # noqa: B008
    request = Request(dialect=dialect, model="m", messages=messages or (USER,), **fields)
    return json.loads(encode_request(request, abilities, "gpt", quirks))


def test_the_least_there_is():
    assert encode() == {"model": "gpt", "messages": [{"role": "user", "content": "x"}]}


def test_a_stream_always_asks_for_usage():
    assert encode(stream=True)["stream_options"] == {"include_usage": True}


def test_results_of_tools_become_messages_of_their_own():
    results = (
        model.ToolResult(call_id="a", parts=(model.Text(text="1"),)),
        model.ToolResult(call_id="b", parts=(model.Text(text="2"), model.Text(text="3")), is_error=True),
    )
    said = Message(role=Role.USER, parts=(*results, model.Text(text="and?")))
    assert encode(said)["messages"] == [
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {
            "role": "tool",
            "tool_call_id": "b",
            "content": [{"type": "text", "text": "2"}, {"type": "text", "text": "3"}],
        },
        {"role": "user", "content": "and?"},
    ]


def test_an_assistant_s_turn():
    parts = (
        model.Reasoning(text="t", signature="s", origin="anthropic"),
        model.ToolCall(id="c", name="f", arguments="", signature="g"),
        model.ToolCall(id="d", name="f", arguments='{"a":1}'),
    )
    turn = encode(Message(role=Role.ASSISTANT, parts=parts))["messages"][0]
    first, second = turn.pop("tool_calls")
    assert turn == {"role": "assistant"}
    assert first["function"] == {"name": "f", "arguments": "{}"}
    assert first["extra_content"] == {"google": {"thought_signature": "g"}}
    assert second == {"type": "function", "id": "d", "function": {"name": "f", "arguments": '{"a":1}'}}
    refusal = Message(role=Role.ASSISTANT, parts=(model.Refusal(text="no"),))
    assert encode(refusal)["messages"][0] == {"role": "assistant", "refusal": "no"}
    assert encode(Message(role=Role.ASSISTANT))["messages"][0] == {"role": "assistant", "content": ""}


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_thoughts_go_back_only_where_they_are_wanted(field):
    turn = Message(role=Role.ASSISTANT, parts=(model.Reasoning(text="t"), model.Text(text="a")))
    assert encode(turn)["messages"][0] == {"role": "assistant", "content": "a"}
    assert encode(turn, quirks=Quirks(reasoning_field=field))["messages"][0][field] == "t"


def test_instructions_of_one_role_are_one_message():
    pieces = (
        model.Instruction(text="a", cache=MARK),
        model.Instruction(text="b"),
        model.Instruction(text="c", role=Role.DEVELOPER),
    )
    first, second, _ = encode(instructions=pieces)["messages"]
    assert first == {"role": "system", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}
    assert second == {"role": "developer", "content": "c"}
    assert encode(instructions=pieces, quirks=Quirks(developer_role=False))["messages"][1]["role"] == "system"


def test_marks_only_where_they_are_understood():
    said = Message(role=Role.USER, parts=(model.Text(text="x", cache=MARK),))
    tool = model.Function(name="f", cache=MARK)
    plain = encode(said, tools=(tool,))
    assert plain["messages"][0]["content"] == "x"
    marked = encode(said, tools=(tool,), quirks=Quirks(cache_marks=True))
    assert marked["messages"][0]["content"][0]["cache_control"] == {"type": "ephemeral", "ttl": "5m"}
    assert marked["tools"][0]["cache_control"] == {"type": "ephemeral", "ttl": "5m"}


def test_servers_differ():
    old = Quirks(output_limit_field="max_tokens", end_user=False)
    assert encode(output_tokens_max=5, end_user="u", quirks=old) == {**encode(), "max_tokens": 5}
    assert encode(output_tokens_max=5, end_user="u") == {**encode(), "max_completion_tokens": 5, "user": "u"}


def test_what_openai_keeps_is_its_own_dialect_s():
    kept = {"metadata": Raw(b'{"a":"b"}'), "store": True}
    assert encode(**kept) == encode()
    assert encode(dialect=Dialect.CHAT, **kept) == {**encode(), "metadata": {"a": "b"}, "store": True}


def test_unknown_fields():
    extras = (model.Extra(name="min_p", raw=Raw(b"0.5")),)
    assert encode(dialect=Dialect.CHAT, extras=extras)["min_p"] == 0.5
    with pytest.raises(Unsupported) as refused:
        encode(extras=extras)
    assert refused.value.param == "min_p"
    assert encode(extras=(model.Extra(name="service_tier", raw=Raw(b'"auto"')),)) == encode()


@pytest.mark.parametrize(
    ("thinking", "effort"),
    [
        (None, None),
        (model.Thinking(effort="xhigh", budget_tokens=1), "xhigh"),
        (model.Thinking(mode=model.ThinkingMode.OFF), "none"),
        (model.Thinking(mode=model.ThinkingMode.ADAPTIVE), None),
        (model.Thinking(budget_tokens=1024), "low"),
        (model.Thinking(budget_tokens=8192), "medium"),
        (model.Thinking(budget_tokens=10_000), "high"),
        (model.Thinking(budget_tokens=64_000), "xhigh"),
    ],
)
def test_effort(thinking, effort):
    assert effort_of(thinking) == effort


def test_files():
    parts = (
        model.File(data="AA==", name="n.pdf"),
        model.File(file_id="f"),
        model.Image(data="BB==", media_type="image/png"),
    )
    content = encode(Message(role=Role.USER, parts=parts), abilities=Abilities(file_ids=True))["messages"][0]["content"]
    assert content == [
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "n.pdf"}},
        {"type": "file", "file": {"file_id": "f"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,BB=="}},
    ]


def test_what_only_an_assistant_says():
    said = Message(role=Role.USER, parts=(model.Refusal(text="x"),))
    with pytest.raises(InvalidRequest):
        encode(said)


@pytest.mark.parametrize(("dialect", "sent"), [(Dialect.RESPONSES, "flex"), (Dialect.MESSAGES, None)])
def test_the_tier_of_service_is_carried_between_openai_s_dialects(dialect, sent):
    extras = (model.Extra(name="service_tier", raw=Raw(b'"flex"')),)
    assert encode(dialect=dialect, extras=extras).get("service_tier") == sent
