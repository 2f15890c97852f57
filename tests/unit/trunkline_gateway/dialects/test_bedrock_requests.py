import json

import pytest

from trunkline_gateway.dialects import matrix
from trunkline_gateway.dialects.bedrock_models import abilities_of
from trunkline_gateway.dialects.bedrock_requests import encode_request
from trunkline_kit.errors import InvalidRequest, Unsupported

CLAUDE = "eu.anthropic.claude-opus-4-6-v1"
OLD_CLAUDE = "anthropic.claude-sonnet-4-20250514-v1:0"
NOVA = "amazon.nova-pro-v1:0"
LLAMA = "us.meta.llama4-maverick-17b-instruct-v1:0"
F = {"type": "function", "function": {"name": "f", "description": "", "strict": True}}
G = {"type": "function", "function": {"name": "g", "parameters": {"type": "object"}}}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
HISTORY = [
    {"role": "user", "content": "x"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c", "content": "r"},
]


def sent(model=CLAUDE, messages=None, client=matrix.CHAT, **fields):
    body = {"model": "m", "messages": messages or [{"role": "user", "content": "x"}], **fields}
    request = client.decode_request(json.dumps(body).encode())
    return json.loads(encode_request(request, abilities_of(model), model))


def anthropic_sent(model=CLAUDE, **fields):
    return sent(model, client=matrix.MESSAGES, **{"max_tokens": 9000, **fields})


def more(body):
    return body.get("additionalModelRequestFields")


def test_the_least():
    """No limit is asked for: Bedrock's own is the model's largest."""
    assert sent() == {"messages": [{"role": "user", "content": [{"text": "x"}]}]}


def test_what_the_path_says_is_not_in_the_body():
    assert sent(stream=True) == sent()


def test_sampling():
    body = sent(temperature=0.5, top_p=0.9, stop=["a", "b"], max_tokens=7)
    assert body["inferenceConfig"] == {"temperature": 0.5, "topP": 0.9, "stopSequences": ["a", "b"], "maxTokens": 7}


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (CLAUDE, {"top_k": 5}),
        (NOVA, {"inferenceConfig": {"topK": 5}}),
        ("mistral.mistral-large-2407-v1:0", {"top_k": 5}),
        ("cohere.command-r-plus-v1:0", {"k": 5}),
    ],
)
def test_top_k_by_family(model, expected):
    assert more(anthropic_sent(model, top_k=5)) == expected


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", {"auto": {}}),
        ("required", {"any": {}}),
        ({"type": "function", "function": {"name": "g"}}, {"tool": {"name": "g"}}),
        (None, None),
    ],
)
def test_choices(choice, expected):
    config = sent(tools=[F, G], tool_choice=choice)["toolConfig"]
    assert config.get("toolChoice") == expected
    assert [tool["toolSpec"]["name"] for tool in config["tools"]] == ["f", "g"]


def test_tools():
    first, second = sent(tools=[F, G])["toolConfig"]["tools"]
    schema = {"json": {"type": "object", "properties": {}}}
    assert first == {"toolSpec": {"name": "f", "inputSchema": schema, "strict": True}}
    assert second == {"toolSpec": {"name": "g", "inputSchema": {"json": {"type": "object"}}}}


def test_only_some_tools_are_the_only_ones():
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "g"}}]}
    config = sent(LLAMA, tools=[F, G], tool_choice={"type": "allowed_tools", "allowed_tools": allowed})["toolConfig"]
    assert [tool["toolSpec"]["name"] for tool in config["tools"]] == ["g"]
    assert config["toolChoice"] == {"any": {}}


@pytest.mark.parametrize(("choice", "kind"), [(None, "auto"), ("auto", "auto"), ("required", "any")])
def test_one_tool_at_a_time_is_said_as_anthropic_says_it(choice, kind):
    """The choice is said in one place: said in two, Bedrock refuses it."""
    body = sent(tools=[F], tool_choice=choice, parallel_tool_calls=False)
    assert "toolChoice" not in body["toolConfig"]
    assert more(body) == {"tool_choice": {"type": kind, "disable_parallel_tool_use": True}}


def test_one_tool_at_a_time_needs_claude():
    with pytest.raises(Unsupported) as refused:
        sent(LLAMA, tools=[F], parallel_tool_calls=False)
    assert refused.value.param == "parallel_tool_calls"
    assert "toolConfig" not in sent(LLAMA, parallel_tool_calls=False), "without tools it means nothing"


def test_no_tool_must_be_called():
    assert "toolConfig" not in sent(LLAMA, tools=[F], tool_choice="none"), "none are shown, so none is called"
    body = sent(messages=HISTORY, tools=[F], tool_choice="none")
    assert [tool["toolSpec"]["name"] for tool in body["toolConfig"]["tools"]] == ["f"]
    assert more(body) == {"tool_choice": {"type": "none"}}
    with pytest.raises(Unsupported) as refused:
        sent(LLAMA, messages=HISTORY, tools=[F], tool_choice="none")
    assert refused.value.param == "tool_choice"


def test_tools_that_are_spoken_of_must_be_defined():
    body = sent(messages=HISTORY)
    assert [tool["toolSpec"]["name"] for tool in body["toolConfig"]["tools"]] == ["f"]
    assert more(body) == {"tool_choice": {"type": "none"}}
    with pytest.raises(Unsupported) as refused:
        sent(LLAMA, messages=HISTORY)
    assert refused.value.param == "tools"


def test_structure_is_json_in_a_string():
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    form = {"type": "json_schema", "json_schema": {"name": "n", "description": "d", "schema": schema}}
    described = sent(response_format=form)["outputConfig"]["textFormat"]
    assert described["type"] == "json_schema"
    written = described["structure"]["jsonSchema"]
    assert (written["name"], written["description"], json.loads(written["schema"])) == ("n", "d", schema)


@pytest.mark.parametrize(
    ("model", "fields", "thinking", "effort"),
    [
        (CLAUDE, {"reasoning_effort": "high"}, {"type": "adaptive"}, "high"),
        (CLAUDE, {"reasoning_effort": "minimal"}, {"type": "adaptive"}, "low"),
        (CLAUDE, {"reasoning_effort": "none"}, {"type": "disabled"}, None),
        (OLD_CLAUDE, {"reasoning_effort": "high"}, {"type": "enabled", "budget_tokens": 24576}, None),
        (
            OLD_CLAUDE,
            {"reasoning_effort": "high", "max_tokens": 2000},
            {"type": "enabled", "budget_tokens": 1999},
            None,
        ),
        (NOVA, {"reasoning_effort": "high"}, None, "high"),
        (NOVA, {"reasoning_effort": "none"}, None, None),
    ],
)
def test_efforts(model, fields, thinking, effort):
    body = sent(model, **fields)
    assert (more(body) or {}).get("thinking") == thinking
    assert body.get("outputConfig", {}).get("effort") == effort


@pytest.mark.parametrize(
    ("model", "asked", "thinking", "effort"),
    [
        (CLAUDE, {"type": "enabled", "budget_tokens": 2048}, {"type": "enabled", "budget_tokens": 2048}, None),
        (CLAUDE, {"type": "adaptive"}, {"type": "adaptive"}, None),
        (CLAUDE, {"type": "disabled"}, {"type": "disabled"}, None),
        (NOVA, {"type": "enabled", "budget_tokens": 2048}, None, "low"),
    ],
)
def test_switches(model, asked, thinking, effort):
    body = anthropic_sent(model, thinking=asked)
    assert (more(body) or {}).get("thinking") == thinking
    assert body.get("outputConfig", {}).get("effort") == effort


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"temperature": 0.5}, "temperature"),
        ({"top_p": 0.5}, "top_p"),
        ({"tools": [F], "tool_choice": "required"}, "tool_choice"),
    ],
)
@pytest.mark.parametrize("model", [CLAUDE, OLD_CLAUDE])
def test_what_does_not_go_with_thinking_is_named(model, fields, param):
    with pytest.raises(Unsupported) as refused:
        sent(model, reasoning_effort="high", **fields)
    assert refused.value.param == param
    assert sent(model, reasoning_effort="none", **fields)


def test_too_small_a_budget_names_the_limit():
    with pytest.raises(Unsupported) as refused:
        sent(OLD_CLAUDE, reasoning_effort="low", max_completion_tokens=500)
    assert refused.value.param == "max_completion_tokens"


@pytest.mark.parametrize(
    ("model", "fields", "param"),
    [
        (CLAUDE, {"n": 2}, "n"),
        (CLAUDE, {"seed": 1}, "seed"),
        (CLAUDE, {"logprobs": True}, "logprobs"),
        (CLAUDE, {"frequency_penalty": 1}, "frequency_penalty"),
        (CLAUDE, {"temperature": 1.5}, "temperature"),
        (CLAUDE, {"response_format": {"type": "json_object"}}, "response_format"),
        (CLAUDE, {"logit_bias": {"1": 2}}, "logit_bias"),
        (CLAUDE, {"verbosity": "low"}, "verbosity"),
        (CLAUDE, {"something_new": 1}, "something_new"),
        (LLAMA, {"top_k": 1}, "top_k"),
        ("anthropic.claude-3-haiku-20240307-v1:0", {"reasoning_effort": "low"}, "reasoning_effort"),
        (CLAUDE, {"tools": [F], "tool_choice": {"type": "function", "function": {"name": "x"}}}, "tool_choice"),
        (CLAUDE, {"tool_choice": "required"}, "tool_choice"),
    ],
)
def test_what_is_refused_is_named(model, fields, param):
    with pytest.raises(InvalidRequest) as refused:
        sent(model, **fields)
    assert refused.value.param == param


def test_what_no_answer_depends_on_is_left_out():
    assert sent(service_tier="flex", prompt_cache_key="k", user="u", metadata={"a": "b"}, store=True) == sent()


MARK = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
MARKED = {
    "system": [{"type": "text", "text": "s", **MARK}],
    "tools": [{"name": "f", "input_schema": {"type": "object"}, **MARK}],
    "messages": [{"role": "user", "content": [{"type": "text", "text": "x", **MARK}]}],
}
POINT = {"cachePoint": {"type": "default", "ttl": "1h"}}


def test_marks_follow_what_they_mark():
    body = anthropic_sent(**MARKED)
    assert body["system"] == [{"text": "s"}, POINT]
    assert body["toolConfig"]["tools"][1] == POINT
    assert body["messages"][0]["content"] == [{"text": "x"}, POINT]


def test_families_have_other_caches():
    nova = anthropic_sent(NOVA, **MARKED)
    assert nova["system"] == [{"text": "s"}, {"cachePoint": {"type": "default"}}]
    assert len(nova["toolConfig"]["tools"]) == 1
    assert "cachePoint" not in json.dumps(anthropic_sent(LLAMA, **MARKED))


def test_a_mark_of_the_whole_request_is_at_its_end():
    body = anthropic_sent(messages=[{"role": "user", "content": "x"}], cache_control={"type": "ephemeral"})
    assert body["messages"][-1]["content"] == [{"text": "x"}, {"cachePoint": {"type": "default"}}]
