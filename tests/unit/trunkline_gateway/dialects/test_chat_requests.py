import json

import pytest

from trunkline_gateway.dialects import canonical as model
from trunkline_gateway.dialects import matrix
from trunkline_gateway.dialects.canonical import Dialect, Role
from trunkline_gateway.dialects.chat_requests import decode_request
from trunkline_kit.errors import InvalidRequest, Unsupported

USER = {"role": "user", "content": "x"}


def decode(*messages, **fields):
    return decode_request(json.dumps({"model": "m", "messages": [*messages] or [USER], **fields}).encode())


def refused(*messages, **fields):
    with pytest.raises(InvalidRequest) as error:
        decode(*messages, **fields)
    return type(error.value), error.value.param


def test_an_effort_that_nobody_knows_is_named():
    assert refused(reasoning_effort="bogus") == (InvalidRequest, "reasoning_effort")
    for effort in model.EFFORTS:
        assert decode(reasoning_effort=effort).thinking is not None


def test_the_least_there_is():
    request = decode()
    assert request.dialect is Dialect.CHAT
    assert request.messages == (model.Message(role=Role.USER, parts=(model.Text(text="x"),), place="messages[0]"),)
    assert (request.choices, request.stream, request.extras, request.thinking) == (1, False, (), None)


def test_instructions_come_before_the_conversation():
    late = {"role": "system", "content": "late"}
    request = decode(
        {"role": "system", "content": "a"},
        {"role": "developer", "content": [{"type": "text", "text": "b"}]},
        USER,
        late,
    )
    assert [(piece.role, piece.text) for piece in request.instructions] == [(Role.SYSTEM, "a"), (Role.DEVELOPER, "b")]
    assert [(said.role, said.place) for said in request.messages] == [
        (Role.USER, "messages[2]"),
        (Role.SYSTEM, "messages[3]"),
    ]


def test_an_assistant_s_turn_in_the_order_of_its_parts():
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}, "index": 0}
    call["extra_content"] = {"google": {"thought_signature": "g"}}
    turn = {
        "role": "assistant",
        "content": [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "r"}],
        "reasoning_content": "t",
        "audio": {"id": "snd"},
        "tool_calls": [call],
        "annotations": [],
        "function_call": None,
        "provider_specific_fields": {},
    }
    assert decode(turn).messages[0].parts == (
        model.Reasoning(text="t"),
        model.Text(text="a"),
        model.Refusal(text="r"),
        model.Audio(id="snd"),
        model.ToolCall(
            id="c", name="f", arguments="{}", place="messages[0].tool_calls[0].function.arguments", signature="g"
        ),
    )
    assert decode({"role": "assistant", "content": ""}).messages[0].parts == ()


def test_thoughts_with_their_proofs():
    blocks = [
        {"type": "thinking", "thinking": "t", "signature": "s"},
        {"type": "redacted_thinking", "data": "d"},
        {"type": "thinking", "thinking": "g", "signature": "trunkline.gemini.signature.x"},
    ]
    turn = {"role": "assistant", "content": "a", "reasoning_content": "t", "thinking_blocks": blocks}
    assert decode(turn).messages[0].parts[:3] == (
        model.Reasoning(text="t", signature="s", origin="anthropic"),
        model.Reasoning(encrypted="d", origin="anthropic"),
        model.Reasoning(text="g", signature="x", origin="gemini"),
    )


def test_marks_of_a_message_are_its_last_part_s():
    mark = {"type": "ephemeral", "ttl": "5m"}
    texts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    request = decode({"role": "system", "content": texts, "cache_control": mark}, {**USER, "cache_control": mark})
    assert [piece.cache for piece in request.instructions] == [None, model.CacheMark(ttl="5m")]
    assert request.messages[0].parts[0].cache == model.CacheMark(ttl="5m")
    point = {"type": "text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}}
    assert decode({"role": "user", "content": [point]}).messages[0].parts[0].cache == model.CacheMark()


@pytest.mark.parametrize(
    ("fields", "thinking"),
    [
        ({"reasoning_effort": "high"}, model.Thinking(effort="high")),
        ({"reasoning_effort": "none"}, model.Thinking(mode=model.ThinkingMode.OFF)),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 9}},
            model.Thinking(mode=model.ThinkingMode.ON, budget_tokens=9),
        ),
        ({"thinking": {"type": "disabled"}}, model.Thinking(mode=model.ThinkingMode.OFF)),
    ],
)
def test_thinking(fields, thinking):
    assert decode(**fields).thinking == thinking


def test_fields_of_which_there_are_two():
    assert decode(max_tokens=5).output_tokens_max == 5
    assert decode(max_tokens=5, max_completion_tokens=6).output_tokens_max == 6
    assert decode(stop="a").stops == decode(stop=["a"]).stops == ("a",)
    assert decode(safety_identifier="s").end_user == "s"
    assert decode(user="u", safety_identifier="s").end_user == "u"


def test_what_is_unknown_is_kept_by_name():
    request = decode(min_p=0.5, service_tier=None, web_search_options={})
    assert [extra.name for extra in request.extras] == ["min_p", "web_search_options"]


def test_native_tools_stay_as_they_came():
    tool = decode(tools=[{"type": "custom", "custom": {"name": "f"}}]).tools[0]
    assert isinstance(tool, model.NativeTool)
    assert (tool.type, tool.place) == ("custom", "tools[0]")


@pytest.mark.parametrize(
    ("fields", "kind", "param"),
    [
        ({"top_logprobs": 3}, InvalidRequest, "top_logprobs"),
        ({"stop": [""]}, InvalidRequest, "stop"),
        ({"n": 0}, InvalidRequest, "n"),
        ({"modalities": ["image"]}, Unsupported, "modalities"),
        ({"modalities": ["text", "audio"]}, InvalidRequest, "audio"),
        ({"tool_choice": "maybe"}, InvalidRequest, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, InvalidRequest, "tool_choice.function"),
        ({"tool_choice": {"type": "custom", "custom": {"name": "f"}}}, Unsupported, "tool_choice"),
        (
            {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "x", "tools": []}}},
            InvalidRequest,
            "tool_choice.allowed_tools.mode",
        ),
        ({"response_format": {"type": "xml"}}, Unsupported, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, InvalidRequest, "response_format.json_schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}},
            InvalidRequest,
            "response_format.json_schema.schema",
        ),
        ({"thinking": {"type": "sometimes"}}, Unsupported, "thinking.type"),
        ({"tools": [{"type": "function", "function": {"name": ""}}]}, InvalidRequest, "tools[0].function.name"),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "colour": 1}}]},
            Unsupported,
            "tools[0].function.colour",
        ),
    ],
)
def test_refusals(fields, kind, param):
    assert refused(**fields) == (kind, param)


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "function", "name": "f", "content": "x"}, "messages[1].role"),
        ({"role": "assistant", "function_call": {"name": "f", "arguments": ""}}, "messages[1].function_call"),
        ({"role": "user", "content": [{"type": "video_url"}]}, "messages[1].content[0].type"),
        ({"role": "user", "content": [{"type": "file", "file": {}}]}, "messages[1].content[0].file"),
        ({"role": "tool", "content": "x"}, "messages[1].tool_call_id"),
    ],
)
def test_refused_messages(message, param):
    assert refused(USER, message)[1] == param


@pytest.mark.parametrize("provider", [matrix.ANTHROPIC, matrix.BEDROCK, matrix.GEMINI])
def test_arguments_that_are_no_json_are_found(provider):
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{"}}
    request = decode(USER, {"role": "assistant", "content": "a", "tool_calls": [call]})
    with pytest.raises(InvalidRequest) as error:
        provider.encode_request(request, provider.abilities, "m")
    assert error.value.param == "messages[1].tool_calls[0].function.arguments"


def test_a_tool_of_an_unknown_type_is_found():
    tools = [{"type": "function", "function": {"name": "f"}}, {"type": "custom", "custom": {"name": "g"}}]
    with pytest.raises(InvalidRequest, match=r"tools\[1\]") as error:
        matrix.ANTHROPIC.encode_request(decode(tools=tools), matrix.ANTHROPIC.abilities, "m")
    assert error.value.param == "tools[1]"
