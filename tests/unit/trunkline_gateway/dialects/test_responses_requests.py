import json

import pytest

from trunkline_gateway.dialects import canonical as model
from trunkline_gateway.dialects.canonical import Dialect, Role
from trunkline_gateway.dialects.responses_requests import decode_request, echo_of, items_of
from trunkline_kit.errors import InvalidRequest, Unsupported


def body(*items, **fields):
    return json.dumps({"model": "m", "input": [*items] or "x", **fields}).encode()


def decode(*items, **fields):
    return decode_request(body(*items, **fields))


def refused(*items, **fields):
    with pytest.raises(InvalidRequest) as error:
        decode(*items, **fields)
    return type(error.value), error.value.param


def test_an_effort_that_nobody_knows_is_named():
    assert refused(reasoning={"effort": "bogus"}) == (InvalidRequest, "reasoning.effort")


def test_the_least_there_is():
    request = decode()
    assert (request.dialect, request.stream_usage, request.continues) == (Dialect.RESPONSES, True, "")
    assert request.messages == (model.Message(role=Role.USER, parts=(model.Text(text="x"),), place="input"),)


def test_an_assistant_s_items_are_one_turn():
    request = decode(
        {"role": "user", "content": "x"},
        {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "t"}], "encrypted_content": "e"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a", "annotations": []}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "r", "status": "completed"},
        {"type": "function_call", "call_id": "d", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "d", "output": [{"type": "input_image", "file_id": "i"}]},
    )
    assert [said.role for said in request.messages] == [Role.USER, Role.ASSISTANT, Role.TOOL, Role.ASSISTANT, Role.TOOL]
    turn = request.messages[1]
    assert turn.place == "input[1]"
    assert turn.parts == (
        model.Reasoning(text="t", encrypted="e", origin="openai"),
        model.Text(text="a"),
        model.ToolCall(id="c", name="f", arguments="{}", place="input[3].arguments"),
    )
    assert request.messages[4].parts == (model.ToolResult(call_id="d", parts=(model.Image(file_id="i"),)),)


def test_instructions():
    request = decode(
        {"role": "developer", "content": "b"},
        {"role": "user", "content": "x"},
        {"role": "system", "content": "late"},
        instructions="a",
    )
    assert [(piece.role, piece.text) for piece in request.instructions] == [(Role.SYSTEM, "a"), (Role.DEVELOPER, "b")]
    assert [said.role for said in request.messages] == [Role.USER, Role.SYSTEM]


def test_parts():
    parts = (
        decode(
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "x"},
                    {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"},
                    {"type": "input_file", "file_url": "u", "filename": "n"},
                    {"type": "input_file", "file_data": "data:application/pdf;base64,AAAA"},
                    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
                ],
            }
        )
        .messages[0]
        .parts
    )
    assert parts == (
        model.Text(text="x"),
        model.Image(data="AAAA", media_type="image/png", detail="low"),
        model.File(url="u", name="n"),
        model.File(data="AAAA", media_type="application/pdf"),
        model.Audio(data="AAAA", format="mp3"),
    )


def test_thoughts_of_others():
    item = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "t"}]}
    sealed = {**item, "encrypted_content": "trunkline.anthropic.signature.s"}
    assert decode(sealed).messages[0].parts == (model.Reasoning(text="t", signature="s", origin="anthropic"),)
    clear = {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "r"}]}
    assert decode(clear).messages[0].parts == (model.Reasoning(text="r"),)


def test_settings():
    request = decode(
        tools=[{"type": "function", "name": "f", "parameters": None, "strict": None}, {"type": "web_search"}],
        tool_choice={"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]},
        text={"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": True}, "verbosity": "low"},
        reasoning={"effort": "none", "summary": "auto"},
        include=["message.output_text.logprobs", "reasoning.encrypted_content"],
        previous_response_id="resp_0",
        store=False,
        background=False,
        truncation="disabled",
        prompt_cache_key="k",
    )
    assert request.tools[0] == model.Function(name="f")
    assert request.tools[1].place == "tools[1]"
    assert request.tool_choice == model.ToolChoice(mode=model.ToolMode.REQUIRED, allowed=("f",))
    assert request.structure is not None
    assert (request.structure.name, request.structure.strict, request.verbosity) == ("n", True, "low")
    assert request.thinking == model.Thinking(mode=model.ThinkingMode.OFF, summary="auto")
    assert (request.logprobs, request.continues, request.store) == (True, "resp_0", False)
    assert [extra.name for extra in request.extras] == ["prompt_cache_key"]


@pytest.mark.parametrize(
    ("fields", "kind", "param"),
    [
        ({"background": True}, Unsupported, "background"),
        ({"truncation": "auto"}, Unsupported, "truncation"),
        ({"input": 3}, InvalidRequest, "input"),
        ({"tools": [{"name": "f"}]}, InvalidRequest, "tools[0].type"),
        ({"tools": [{"type": "function", "name": "f", "async": True}]}, Unsupported, "tools[0].async"),
        ({"tool_choice": "maybe"}, InvalidRequest, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, InvalidRequest, "tool_choice.name"),
        ({"tool_choice": {"type": "allowed_tools"}}, InvalidRequest, "tool_choice.tools"),
        ({"tool_choice": {"type": "web_search_preview"}}, Unsupported, "tool_choice"),
        ({"text": {"format": {"type": "xml"}}}, Unsupported, "text.format.type"),
        ({"text": {"format": {"type": "json_schema", "name": "n"}}}, InvalidRequest, "text.format.schema"),
        ({"reasoning": {"mode": "pro"}}, Unsupported, "reasoning.mode"),
    ],
)
def test_refusals(fields, kind, param):
    assert refused(**fields) == (kind, param)


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ({"role": "critic", "content": "x"}, "input[0].role"),
        ({"role": "system", "content": [{"type": "input_image", "file_id": "i"}]}, "input[0].content"),
        ({"type": "function_call", "name": "f"}, "input[0].call_id"),
        ({"role": "user", "content": [{"type": "input_image"}]}, "input[0].content[0]"),
        ({"type": "function_call_output", "call_id": "c", "output": [{"type": "input_file"}]}, "input[0].output[0]"),
        ({"type": "reasoning", "summary": 3}, "input[0].summary"),
    ],
)
def test_refused_items(item, param):
    assert refused(item)[1] == param


def test_items_of_other_kinds_stay_as_they_came():
    part = decode({"type": "item_reference", "id": "msg_1"}).messages[0].parts[0]
    assert isinstance(part, model.Native)
    assert part.type == "item_reference"


def test_what_is_repeated():
    echo = echo_of(body(instructions="a", tools=None, temperature=0.5))
    assert (bytes(echo.instructions), bytes(echo.tools), bytes(echo.temperature)) == (b'"a"', b"[]", b"0.5")


def test_input_as_items():
    assert json.loads(bytes(items_of(body())[0])) == {"role": "user", "content": "x"}
    assert [json.loads(bytes(raw)) for raw in items_of(body({"role": "user", "content": "y"}))] == [
        {"role": "user", "content": "y"}
    ]
