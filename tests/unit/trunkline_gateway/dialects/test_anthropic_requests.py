import json

import pytest
from msgspec import Raw
from msgspec.structs import replace

from trunkline_gateway.dialects import canonical as model
from trunkline_gateway.dialects.anthropic_requests import ABILITIES, encode_request
from trunkline_gateway.dialects.canonical import Dialect, Message, Request, Role
from trunkline_kit.errors import InvalidRequest, Unsupported

USER = Message(role=Role.USER, parts=(model.Text(text="x"),))
TOOL = model.Function(name="f")
NUMBERS = replace(ABILITIES, thinking_effort=False)
LEAST = {"model": "claude", "max_tokens": 8192, "messages": [{"role": "user", "content": "x"}]}


def encode(abilities=ABILITIES, dialect=Dialect.CHAT, **fields):
    request = Request(dialect=dialect, model="m", messages=(USER,), **fields)
    return json.loads(encode_request(request, abilities, "claude"))


def refused(**fields):
    with pytest.raises(InvalidRequest) as error:
        encode(**fields)
    return type(error.value), error.value.param


def test_the_least_there_is():
    assert encode() == LEAST
    assert encode(output_tokens_max=7)["max_tokens"] == 7
    assert encode(replace(ABILITIES, output_tokens_max=9))["max_tokens"] == 9


def test_system():
    pieces = (model.Instruction(text="a"), model.Instruction(text="", role=Role.DEVELOPER))
    assert encode(instructions=pieces)["system"] == "a"
    marked = (model.Instruction(text="a", cache=model.CacheMark(ttl="30m")), model.Instruction(text="b"))
    assert encode(instructions=marked)["system"] == [
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "b"},
    ]


@pytest.mark.parametrize(
    ("mode", "parallel", "expected"),
    [
        (None, None, None),
        (None, True, None),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        (model.ToolMode.NONE, False, {"type": "none"}),
        (model.ToolMode.REQUIRED, None, {"type": "any"}),
        (model.ToolMode.AUTO, True, {"type": "auto", "disable_parallel_tool_use": False}),
    ],
)
def test_tool_choice(mode, parallel, expected):
    choice = None if mode is None else model.ToolChoice(mode=mode)
    body = encode(tools=(TOOL,), tool_choice=choice, parallel_tool_calls=parallel)
    assert body.get("tool_choice") == expected


def test_a_named_tool():
    choice = model.ToolChoice(mode=model.ToolMode.NAMED, name="f")
    assert encode(tools=(TOOL,), tool_choice=choice)["tool_choice"] == {"type": "tool", "name": "f"}
    assert refused(tool_choice=choice) == (InvalidRequest, "tool_choice")
    assert encode(tool_choice=model.ToolChoice(mode=model.ToolMode.AUTO)) == LEAST


def test_tools():
    tool = model.Function(name="g", description="d", parameters=Raw(b'{"type":"object"}'), strict=True)
    assert encode(tools=(TOOL, tool))["tools"] == [
        {"name": "f", "input_schema": {"type": "object", "properties": {}}},
        {"name": "g", "description": "d", "input_schema": {"type": "object"}, "strict": True},
    ]


ON, OFF, ADAPTIVE = model.ThinkingMode.ON, model.ThinkingMode.OFF, model.ThinkingMode.ADAPTIVE
THINKING = [
    (model.Thinking(summary="auto"), None, None, None),
    (model.Thinking(effort="minimal"), {"type": "adaptive"}, "low", {"type": "enabled", "budget_tokens": 1024}),
    (model.Thinking(effort="max"), {"type": "adaptive"}, "max", {"type": "enabled", "budget_tokens": 24000}),
    (model.Thinking(mode=OFF), {"type": "disabled"}, None, {"type": "disabled"}),
    (model.Thinking(mode=ADAPTIVE), {"type": "adaptive"}, None, None),
    (model.Thinking(mode=ON), {"type": "adaptive"}, None, {"type": "enabled", "budget_tokens": 8192}),
    (
        model.Thinking(mode=ON, budget_tokens=2000, effort="high", summary="none"),
        {"type": "enabled", "budget_tokens": 2000, "display": "omitted"},
        "high",
        {"type": "enabled", "budget_tokens": 2000, "display": "omitted"},
    ),
]


@pytest.mark.parametrize(("asked", "switch", "effort", "by_number"), THINKING)
def test_thinking_by_effort_and_by_number(asked, switch, effort, by_number):
    body = encode(thinking=asked)
    assert body.get("thinking") == switch
    assert body.get("output_config", {}).get("effort") == effort
    body = encode(NUMBERS, thinking=asked)
    assert body.get("thinking") == by_number
    assert "output_config" not in body


def test_an_effort_of_its_own_dialect_switches_nothing_on():
    body = encode(dialect=Dialect.MESSAGES, thinking=model.Thinking(effort="low"))
    assert "thinking" not in body
    assert body["output_config"] == {"effort": "low"}


def test_no_room_to_think():
    little = {"output_tokens_max": 1000, "thinking": model.Thinking(effort="low")}
    assert refused(abilities=NUMBERS, **little) == (Unsupported, "max_completion_tokens")
    assert encode(**little)["max_tokens"] == 1000


@pytest.mark.parametrize(
    ("limit", "asked", "sent"),
    [
        (None, model.Thinking(effort="high"), (24000, 32000)),
        (None, model.Thinking(effort="low"), (2048, 2048 + 8192)),
        (None, model.Thinking(mode=ON, budget_tokens=40000), (40000, 40000 + 8192)),
        (3000, model.Thinking(effort="high"), (2999, 3000)),
    ],
)
def test_thoughts_leave_room_for_an_answer_unless_the_caller_limits_both(limit, asked, sent):
    body = encode(NUMBERS, output_tokens_max=limit, thinking=asked)
    assert (body["thinking"]["budget_tokens"], body["max_tokens"]) == sent


@pytest.mark.parametrize("abilities", [ABILITIES, NUMBERS])
@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"sampling": model.Sampling(temperature=0.5)}, "temperature"),
        ({"sampling": model.Sampling(top_p=0.9)}, "top_p"),
        ({"sampling": model.Sampling(top_k=5)}, "top_k"),
        ({"tools": (TOOL,), "tool_choice": model.ToolChoice(mode=model.ToolMode.REQUIRED)}, "tool_choice"),
        ({"tools": (TOOL,), "tool_choice": model.ToolChoice(mode=model.ToolMode.NAMED, name="f")}, "tool_choice"),
    ],
)
def test_what_does_not_go_with_thinking_is_named(abilities, fields, param):
    assert refused(abilities=abilities, thinking=model.Thinking(effort="high"), **fields) == (Unsupported, param)
    assert "thinking" not in encode(abilities, **fields)
    assert encode(abilities, thinking=model.Thinking(mode=OFF), **fields)["thinking"] == {"type": "disabled"}


def test_what_goes_with_thinking():
    sampling = model.Sampling(temperature=1.0, top_p=0.95)
    choice = model.ToolChoice(mode=model.ToolMode.AUTO)
    body = encode(thinking=model.Thinking(effort="high"), sampling=sampling, tools=(TOOL,), tool_choice=choice)
    assert (body["temperature"], body["top_p"], body["tool_choice"]) == (1.0, 0.95, {"type": "auto"})


def test_structured_output():
    structure = model.Structure(schema=Raw(b'{"type":"object"}'), name="n", strict=False)
    assert encode(structure=structure)["output_config"] == {
        "format": {"type": "json_schema", "schema": {"type": "object"}}
    }
    assert refused(structure=model.Structure()) == (Unsupported, "response_format")


def test_the_rest():
    body = encode(
        sampling=model.Sampling(temperature=1.0, top_p=0.5, top_k=3),
        stops=("a",),
        end_user="u",
        stream=True,
        metadata=Raw(b"{}"),
        store=True,
        cache=model.CacheMark(ttl="1h"),
        extras=(model.Extra(name="prompt_cache_key", raw=Raw(b'"k"')),),
    )
    assert body == {
        **LEAST,
        "temperature": 1.0,
        "top_p": 0.5,
        "top_k": 3,
        "stop_sequences": ["a"],
        "metadata": {"user_id": "u"},
        "stream": True,
        "cache_control": {"type": "ephemeral", "ttl": "1h"},
    }


def test_unknown_fields_of_its_own_dialect_pass():
    extras = (model.Extra(name="container", raw=Raw(b'"c"')),)
    assert encode(dialect=Dialect.MESSAGES, extras=extras)["container"] == "c"
    assert refused(extras=extras) == (Unsupported, "container")


def test_a_model_that_takes_no_temperature():
    new = replace(ABILITIES, sampling=False)
    assert encode(new, sampling=model.Sampling(temperature=1.0, top_p=1.0)) == LEAST
    assert refused(abilities=new, sampling=model.Sampling(temperature=0.5)) == (Unsupported, "temperature")


@pytest.mark.parametrize(
    ("budget", "effort", "sent"),
    [
        (1, "", "low"),
        (2048, "", "low"),
        (2049, "", "medium"),
        (30_000, "", "xhigh"),
        (90_000, "", "xhigh"),
        (1, "max", "max"),
    ],
)
def test_a_number_is_the_nearest_effort_where_a_model_takes_none(budget, effort, sent):
    adaptive = replace(ABILITIES, thinking_budget=False)
    asked = model.Thinking(mode=model.ThinkingMode.ON, budget_tokens=budget, effort=effort)
    body = encode(adaptive, thinking=asked)
    assert (body["thinking"], body["output_config"]) == ({"type": "adaptive"}, {"effort": sent})
    assert "thinking" not in encode(adaptive, thinking=model.Thinking(mode=model.ThinkingMode.OFF))
