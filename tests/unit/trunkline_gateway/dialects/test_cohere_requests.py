import json

import pytest

from trunkline_gateway.dialects import matrix
from trunkline_gateway.dialects.cohere_requests import ABILITIES, encode_request
from trunkline_kit.errors import InvalidRequest

F = {"type": "function", "function": {"name": "f", "description": "d", "strict": True}}
G = {"type": "function", "function": {"name": "g", "parameters": {"type": "object"}}}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
USER = {"role": "user", "content": "x"}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
FORM = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}


def sent(*messages, client=matrix.CHAT, **fields):
    body = {"model": "m", "messages": [*messages] or [USER], **fields}
    request = client.decode_request(json.dumps(body).encode())
    return json.loads(encode_request(request, ABILITIES, "command-a"))


def test_the_least():
    assert sent() == {"model": "command-a", "messages": [USER]}
    assert sent(stream=True) == sent() | {"stream": True}


def test_sampling():
    fields = {"temperature": 0.5, "top_k": 5, "seed": 3, "frequency_penalty": 0.5, "presence_penalty": 1, "stop": "e"}
    body = sent(**fields, top_p=0.9, max_completion_tokens=7)
    assert body == sent() | {
        "temperature": 0.5,
        "k": 5,
        "p": 0.9,
        "seed": 3,
        "frequency_penalty": 0.5,
        "presence_penalty": 1.0,
        "stop_sequences": ["e"],
        "max_tokens": 7,
    }


@pytest.mark.parametrize(("given", "written"), [(1, 0.99), (0, 0.01), (0.5, 0.5)])
def test_the_ends_of_top_p(given, written):
    assert sent(top_p=given)["p"] == written


def test_tools():
    body = sent(tools=[F, G])
    empty = {"type": "object", "properties": {}}
    assert body["tools"] == [
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": empty}},
        {"type": "function", "function": {"name": "g", "parameters": {"type": "object"}}},
    ]
    assert "tool_choice" not in body


@pytest.mark.parametrize(
    ("choice", "written", "names"),
    [
        ("auto", None, ["f", "g"]),
        ("none", "NONE", ["f", "g"]),
        ("required", "REQUIRED", ["f", "g"]),
        ({"type": "function", "function": {"name": "g"}}, "REQUIRED", ["g"]),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [G | {"function": {"name": "g"}}]}},
            None,
            ["g"],
        ),
    ],
)
def test_choices(choice, written, names):
    body = sent(tools=[F, G], tool_choice=choice)
    assert body.get("tool_choice") == written
    assert [tool["function"]["name"] for tool in body["tools"]] == names


def test_a_plan_comes_before_calls():
    said = {"role": "assistant", "content": "I will look.", "tool_calls": [CALL]}
    body = sent(USER, said, {"role": "tool", "tool_call_id": "c", "content": "r"}, {**said, "tool_calls": None})
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert body["messages"][1:] == [
        {"role": "assistant", "tool_calls": [call], "tool_plan": "I will look."},
        {"role": "tool", "content": "r", "tool_call_id": "c"},
        {"role": "assistant", "content": "I will look."},
    ]


def test_results_of_another_dialect_come_first():
    messages = [
        USER,
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}}]},
        {
            "role": "user",
            "content": [{"type": "text", "text": "and"}, {"type": "tool_result", "tool_use_id": "c", "content": "r"}],
        },
    ]
    body = sent(*messages, client=matrix.MESSAGES, max_tokens=5, system="s")
    assert body["messages"][0] == {"role": "system", "content": "s"}
    assert [one["role"] for one in body["messages"][1:]] == ["user", "assistant", "tool", "user"]


def test_thoughts_do_not_go_back():
    said = {"role": "assistant", "content": "b", "reasoning_content": "t"}
    assert sent(USER, said)["messages"][1] == {"role": "assistant", "content": "b"}


def test_images():
    parts = [
        {"type": "text", "text": "what"},
        {"type": "image_url", "image_url": {"url": "https://example.com/x.png", "detail": "low"}},
    ]
    (message,) = sent({"role": "user", "content": parts})["messages"]
    assert message["content"] == parts


@pytest.mark.parametrize(("effort", "budget"), [("low", 2048), ("high", 24576)])
def test_efforts_are_budgets(effort, budget):
    assert sent(reasoning_effort=effort)["thinking"] == {"type": "enabled", "token_budget": budget}


@pytest.mark.parametrize(
    ("asked", "written"),
    [
        ({"type": "enabled", "budget_tokens": 1500}, {"type": "enabled", "token_budget": 1500}),
        ({"type": "adaptive"}, {"type": "enabled"}),
        ({"type": "disabled"}, {"type": "disabled"}),
    ],
)
def test_switches(asked, written):
    assert sent(client=matrix.MESSAGES, max_tokens=2000, thinking=asked)["thinking"] == written


def test_thoughts_can_be_turned_off():
    assert sent(reasoning_effort="none")["thinking"] == {"type": "disabled"}


def test_structure():
    assert sent(response_format={"type": "json_object"})["response_format"] == {"type": "json_object"}
    assert sent(response_format=FORM)["response_format"] == {"type": "json_object", "json_schema": SCHEMA}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"temperature": 1.5}, "temperature"),
        ({"frequency_penalty": -1}, "frequency_penalty"),
        ({"presence_penalty": 1.5}, "presence_penalty"),
        ({"top_k": 501}, "top_k"),
        ({"seed": -1}, "seed"),
        ({"stop": ["a"] * 6}, "stop"),
        ({"tools": [F], "parallel_tool_calls": False}, "parallel_tool_calls"),
        ({"tools": [F], "response_format": FORM}, "response_format"),
        ({"documents": [{"id": "a"}]}, "documents"),
        ({"safety_mode": "OFF"}, "safety_mode"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"logit_bias": {"1": 1}}, "logit_bias"),
    ],
)
def test_what_is_refused_is_named(fields, param):
    with pytest.raises(InvalidRequest) as refused:
        sent(**fields)
    assert refused.value.param == param


def test_files_are_refused_where_they_are():
    file = {"type": "file", "file": {"file_data": "data:application/pdf;base64,aGk=", "filename": "x.pdf"}}
    with pytest.raises(InvalidRequest) as refused:
        sent({"role": "user", "content": [{"type": "text", "text": "a"}, file]})
    assert refused.value.param == "messages[0].content[1]"


def test_what_no_answer_depends_on_is_left_out():
    assert sent(service_tier="flex", prompt_cache_key="k", user="u", metadata={"a": "b"}, store=True) == sent()
