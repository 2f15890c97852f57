import json

import pytest

from trunkline_gateway.dialects.chat_requests import decode_request as decode_chat
from trunkline_gateway.dialects.gemini_models import abilities_of
from trunkline_gateway.dialects.gemini_requests import DROPPED, encode_request
from trunkline_gateway.dialects.messages_requests import decode_request as decode_messages
from trunkline_gateway.dialects.responses_requests import decode_request as decode_responses
from trunkline_kit.errors import InvalidRequest, Unsupported

ASK = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
FUNCTION = {"type": "function", "function": {"name": "f"}}
STRICT = {"type": "function", "function": {"name": "f", "strict": True}}


def chat(model="m", **fields):
    request = decode_chat(json.dumps({**ASK, **fields}).encode())
    return json.loads(encode_request(request, abilities_of(model), model))


def messages(model="m", **fields):
    request = decode_messages(json.dumps({**ASK, "max_tokens": 9, **fields}).encode())
    return json.loads(encode_request(request, abilities_of(model), model))


def responses(model="m", **fields):
    request = decode_responses(json.dumps({"model": "m", "input": "x", **fields}).encode())
    return json.loads(encode_request(request, abilities_of(model), model))


def test_the_least_request():
    assert chat() == {"contents": [{"role": "user", "parts": [{"text": "x"}]}]}


def test_the_system_prompt_stands_apart():
    body = chat(messages=[{"role": "system", "content": "a"}, {"role": "developer", "content": "b"}, *ASK["messages"]])
    assert body["systemInstruction"] == {"parts": [{"text": "a"}, {"text": "b"}]}
    assert len(body["contents"]) == 1


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ({"max_tokens": 5}, {"maxOutputTokens": 5}),
        ({"stop": ["a", "b"]}, {"stopSequences": ["a", "b"]}),
        ({"temperature": 0, "top_p": 0.5, "top_k": 3}, {"temperature": 0.0, "topP": 0.5, "topK": 3}),
        ({"seed": -1}, {"seed": -1}),
        ({"presence_penalty": 1, "frequency_penalty": 2}, {"presencePenalty": 1.0, "frequencyPenalty": 2.0}),
        ({"n": 3}, {"candidateCount": 3}),
        ({"logprobs": True}, {"responseLogprobs": True}),
        ({"logprobs": True, "top_logprobs": 4}, {"responseLogprobs": True, "logprobs": 4}),
        ({"response_format": {"type": "json_object"}}, {"responseMimeType": "application/json"}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "array"}}}},
            {"responseMimeType": "application/json", "responseJsonSchema": {"type": "array"}},
        ),
    ],
)
def test_settings(asked, sent):
    assert chat(**asked)["generationConfig"] == sent


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"parallel_tool_calls": False, "tools": [FUNCTION]}, "parallel_tool_calls"),
        ({"logit_bias": {"1": 2}}, "logit_bias"),
        ({"verbosity": "high"}, "verbosity"),
        ({"modalities": ["text", "audio"], "audio": {"voice": "v", "format": "wav"}}, "audio"),
        ({"stop": list("abcdef")}, "stop"),
        ({"temperature": 2.5}, "temperature"),
        ({"seed": 2**40}, "seed"),
        ({"min_p": 0.1}, "min_p"),
        ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "tools[0]"),
        ({"messages": [*ASK["messages"], {"role": "system", "content": "s"}]}, "messages[1].role"),
        ({"messages": [{"role": "system", "content": "s"}]}, "messages"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [FUNCTION], "tool_choice": {"type": "function", "function": {"name": "g"}}}, "tool_choice"),
        ({"reasoning_effort": "enormous"}, "reasoning_effort"),
    ],
)
def test_what_it_cannot_do_is_refused_by_name(asked, param):
    with pytest.raises(InvalidRequest) as refused:
        chat(**asked)
    assert refused.value.param == param


@pytest.mark.parametrize("field", sorted(DROPPED - {"stream_options", "include", "max_tool_calls"}))
def test_what_changes_no_answer_is_left_out(field):
    assert chat(**{field: {"type": "content", "content": "x"} if field == "prediction" else "x"}) == chat()


@pytest.mark.parametrize(
    ("tools", "choice", "config"),
    [
        ([FUNCTION], None, None),
        ([STRICT], None, {"mode": "VALIDATED"}),
        ([STRICT], "none", {"mode": "NONE"}),
        ([FUNCTION], "auto", {"mode": "AUTO"}),
        ([FUNCTION], "required", {"mode": "ANY"}),
        ([FUNCTION], {"type": "function", "function": {"name": "f"}}, {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        (
            [FUNCTION],
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [FUNCTION]}},
            {"mode": "VALIDATED", "allowedFunctionNames": ["f"]},
        ),
    ],
)
def test_choices_of_tools(tools, choice, config):
    body = chat(tools=tools, tool_choice=choice)
    assert body["tools"] == [{"functionDeclarations": [{"name": "f"}]}]
    assert body.get("toolConfig") == (None if config is None else {"functionCallingConfig": config})


SHOWN = {"includeThoughts": True}


@pytest.mark.parametrize(
    ("model", "effort", "config"),
    [
        ("gemini-2.5-flash", "minimal", SHOWN | {"thinkingBudget": 1024}),
        ("gemini-2.5-flash", "max", SHOWN | {"thinkingBudget": 24576}),
        ("gemini-2.5-flash", "none", {"thinkingBudget": 0}),
        ("gemini-2.5-pro", "none", {"thinkingBudget": 128}),
        ("gemini-3-pro", "minimal", SHOWN | {"thinkingLevel": "LOW"}),
        ("gemini-3-pro", "medium", SHOWN | {"thinkingLevel": "HIGH"}),
        ("gemini-3-pro", "none", {"thinkingLevel": "LOW"}),
        ("gemini-3.1-pro", "medium", SHOWN | {"thinkingLevel": "MEDIUM"}),
        ("gemini-3-flash", "xhigh", SHOWN | {"thinkingLevel": "HIGH"}),
        ("gemini-3-flash", "none", {"thinkingLevel": "MINIMAL"}),
        ("unknown", "high", SHOWN | {"thinkingBudget": 24576}),
    ],
)
def test_efforts(model, effort, config):
    assert chat(model, reasoning_effort=effort)["generationConfig"] == {"thinkingConfig": config}


@pytest.mark.parametrize(
    ("model", "thinking", "config"),
    [
        ("gemini-2.5-pro", {"type": "enabled", "budget_tokens": 2048}, SHOWN | {"thinkingBudget": 2048}),
        ("gemini-2.5-flash", {"type": "enabled", "budget_tokens": 99999}, SHOWN | {"thinkingBudget": 24576}),
        ("gemini-2.5-flash", {"type": "adaptive"}, SHOWN | {"thinkingBudget": -1}),
        ("gemini-3-pro", {"type": "enabled", "budget_tokens": 2048}, SHOWN | {"thinkingLevel": "LOW"}),
        ("gemini-3-pro", {"type": "enabled", "budget_tokens": 99999}, SHOWN | {"thinkingLevel": "HIGH"}),
        ("gemini-3-pro", {"type": "adaptive"}, SHOWN),
        ("gemini-3-pro", {"type": "disabled"}, {"thinkingLevel": "LOW"}),
    ],
)
def test_budgets(model, thinking, config):
    assert messages(model, thinking=thinking, max_tokens=100000)["generationConfig"]["thinkingConfig"] == config


def test_thoughts_are_shown_to_whom_asks():
    hidden = messages(thinking={"type": "adaptive", "display": "omitted"})
    assert hidden["generationConfig"]["thinkingConfig"] == {"thinkingBudget": -1}
    assert responses(reasoning={"effort": "low"})["generationConfig"]["thinkingConfig"] == {"thinkingBudget": 1024}
    shown = responses(reasoning={"effort": "low", "summary": "auto"})
    assert shown["generationConfig"]["thinkingConfig"] == {"includeThoughts": True, "thinkingBudget": 1024}


def test_a_model_that_does_not_think_is_not_asked_to():
    with pytest.raises(Unsupported):
        chat("gemini-2.0-flash", reasoning_effort="low")
    assert chat("gemini-2.0-flash", reasoning_effort="none") == chat()
