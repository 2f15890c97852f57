import json

import pytest

from trunkline_gateway.dialects import canonical as model
from trunkline_gateway.dialects.canonical import Dialect, Role
from trunkline_gateway.dialects.messages_requests import citation_of, citations_of, decode_request
from trunkline_kit.errors import InvalidRequest, Unsupported

USER = {"role": "user", "content": "x"}


def decode(*content, **fields):
    messages = [{"role": "user", "content": [*content]}] if content else [USER]
    body = {"model": "m", "max_tokens": 10, "messages": messages, **fields}
    return decode_request(json.dumps(body).encode())


def refused(*content, **fields):
    with pytest.raises(InvalidRequest) as error:
        decode(*content, **fields)
    return type(error.value), error.value.param


def test_an_effort_that_nobody_knows_is_named():
    assert refused(output_config={"effort": "bogus"}) == (InvalidRequest, "output_config.effort")
    assert decode(output_config={"effort": "max"}).thinking == model.Thinking(effort="max")


def test_the_least_there_is():
    request = decode()
    assert (request.dialect, request.output_tokens_max, request.stream_usage) == (Dialect.MESSAGES, 10, True)
    assert request.messages[0].parts == (model.Text(text="x"),)


def test_blocks():
    parts = (
        decode(
            {"type": "thinking", "thinking": "t", "signature": "s"},
            {"type": "redacted_thinking", "data": "d"},
            {"type": "tool_use", "id": "i", "name": "f", "input": {"a": 1}, "caller": {"type": "direct"}},
            {"type": "tool_result", "tool_use_id": "i"},
            {"type": "image", "source": {"type": "file", "file_id": "f"}},
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": "x"},
                "title": "T",
                "context": "C",
                "citations": {"enabled": True},
            },
            {"type": "mcp_tool_use", "id": "m"},
        )
        .messages[0]
        .parts
    )
    assert parts[:6] == (
        model.Reasoning(text="t", signature="s", origin="anthropic"),
        model.Reasoning(encrypted="d", origin="anthropic"),
        model.ToolCall(id="i", name="f", arguments='{"a":1}', place="messages[0].content[2].input"),
        model.ToolResult(call_id="i"),
        model.Image(file_id="f"),
        model.File(text="x", media_type="text/plain", name="T", context="C", wants_citations=True),
    )
    native = parts[6]
    assert isinstance(native, model.Native)
    assert native.type == "mcp_tool_use"


def test_results_of_tools():
    result = {"type": "tool_result", "tool_use_id": "i", "is_error": True}
    inside = [{"type": "text", "text": "a"}, {"type": "image", "source": {"type": "url", "url": "u"}}]
    assert decode({**result, "content": inside}).messages[0].parts[0] == model.ToolResult(
        call_id="i", parts=(model.Text(text="a"), model.Image(url="u")), is_error=True
    )
    assert decode({**result, "content": "a"}).messages[0].parts[0].parts == (model.Text(text="a"),)


def test_system():
    assert decode(system="s").instructions == (model.Instruction(text="s"),)
    marked = [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    assert decode(system=marked).instructions == (model.Instruction(text="s", cache=model.CacheMark(ttl="1h")),)
    late = decode(messages=[USER, {"role": "system", "content": "now"}]).messages[1]
    assert (late.role, late.parts) == (Role.SYSTEM, (model.Text(text="now"),))


@pytest.mark.parametrize(
    ("choice", "expected", "parallel"),
    [
        ({"type": "auto"}, model.ToolChoice(mode=model.ToolMode.AUTO), None),
        ({"type": "any", "disable_parallel_tool_use": True}, model.ToolChoice(mode=model.ToolMode.REQUIRED), False),
        ({"type": "none"}, model.ToolChoice(mode=model.ToolMode.NONE), None),
        (
            {"type": "tool", "name": "f", "disable_parallel_tool_use": False},
            model.ToolChoice(mode=model.ToolMode.NAMED, name="f"),
            True,
        ),
    ],
)
def test_tool_choices(choice, expected, parallel):
    request = decode(tool_choice=choice)
    assert (request.tool_choice, request.parallel_tool_calls) == (expected, parallel)


@pytest.mark.parametrize(
    ("fields", "thinking"),
    [
        ({"output_config": {"effort": "high"}}, model.Thinking(effort="high")),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2000, "display": "omitted"}},
            model.Thinking(mode=model.ThinkingMode.ON, budget_tokens=2000, summary="none"),
        ),
        ({"thinking": {"type": "adaptive"}}, model.Thinking(mode=model.ThinkingMode.ADAPTIVE)),
        ({"thinking": {"type": "disabled"}}, model.Thinking(mode=model.ThinkingMode.OFF)),
    ],
)
def test_thinking(fields, thinking):
    assert decode(**fields).thinking == thinking


def test_structured_output_by_both_names():
    form = {"type": "json_schema", "schema": {"type": "object"}}
    new, old = decode(output_config={"format": form}), decode(output_format=form)
    assert new.structure == old.structure
    assert new.structure is not None


def test_native_tools_and_unknown_fields():
    request = decode(tools=[{"type": "web_search_20250305", "name": "web_search"}], container="c")
    assert request.tools[0].place == "tools[0]"
    assert [extra.name for extra in request.extras] == ["container"]


@pytest.mark.parametrize(
    ("fields", "kind", "param"),
    [
        ({"max_tokens": 0}, InvalidRequest, "max_tokens"),
        ({"messages": [{"role": "tool", "content": "x"}]}, InvalidRequest, "messages[0].role"),
        ({"tool_choice": {"type": "tool"}}, InvalidRequest, "tool_choice.name"),
        ({"tool_choice": {"type": "some"}}, InvalidRequest, "tool_choice.type"),
        ({"thinking": {"type": "enabled"}}, InvalidRequest, "thinking.budget_tokens"),
        ({"thinking": {"type": "between_tools"}}, Unsupported, "thinking.type"),
        ({"tools": [{"name": "f", "input_examples": []}]}, Unsupported, "tools[0].input_examples"),
        ({"metadata": {"team": "x"}}, Unsupported, "metadata.team"),
    ],
)
def test_refusals(fields, kind, param):
    assert refused(**fields) == (kind, param)


@pytest.mark.parametrize(
    ("block", "kind", "place"),
    [
        ({"text": "x"}, InvalidRequest, ".type"),
        ({"type": "text"}, InvalidRequest, ".text"),
        ({"type": "text", "text": "x", "mood": 1}, Unsupported, ".mood"),
        ({"type": "tool_use", "id": "i", "name": "f", "input": []}, InvalidRequest, ".input"),
        ({"type": "image", "source": {"type": "hologram"}}, InvalidRequest, ".source.type"),
        (
            {"type": "tool_use", "id": "i", "name": "f", "input": {}, "caller": {"type": "code_execution_20250825"}},
            Unsupported,
            ".caller",
        ),
    ],
)
def test_refused_blocks(block, kind, place):
    assert refused(block) == (kind, f"messages[0].content[0]{place}")


def test_citations():
    web, document = (
        b'{"type":"web_search_result_location","url":"u","title":"t","cited_text":"q"}',
        b'{"document_title":"d"}',
    )
    found = citations_of([model.Raw(web), model.Raw(document)])
    assert [(cited.url, cited.title, cited.quote, cited.origin) for cited in found] == [
        ("u", "t", "q", "anthropic"),
        ("", "d", "", "anthropic"),
    ]
    assert citation_of(model.Raw(b"[]")).url == ""
    assert citations_of(None) == ()
