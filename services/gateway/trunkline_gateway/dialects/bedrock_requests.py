"""The canonical request as the body of AWS Bedrock's Converse, whose path says the model and whether it streams."""

import msgspec
from msgspec import Raw

from trunkline_gateway.dialects import bedrock_wire as wire
from trunkline_gateway.dialects import canonical as model
from trunkline_gateway.dialects.abilities import Abilities, field_name, refuse, suited
from trunkline_gateway.dialects.anthropic_requests import BUDGETS_TOKENS, THINKING_TOKENS_MIN
from trunkline_gateway.dialects.bedrock_models import ABILITIES, Family, family_of
from trunkline_gateway.dialects.bedrock_turns import called_in, has_calls, mark_of, turns_of
from trunkline_gateway.dialects.canonical import Dialect, Request, ThinkingMode, ToolMode
from trunkline_gateway.dialects.claude_thinking import refuse_beside_thinking
from trunkline_gateway.dialects.openai_chat_requests import effort_of
from trunkline_gateway.dialects.reading import compact
from trunkline_gateway.dialects.tool_choice import Offer, offer_of
from trunkline_kit.errors import Unsupported

__all__ = ["ABILITIES", "DROPPED", "encode_request"]

DROPPED = frozenset(
    {
        # About caching, storing, speed, safety reports and the stream's padding.
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "prediction",
        "service_tier",
        "safety_identifier",
        "stream_options",
        "include",
        "max_tool_calls",
        "speed",
        "diagnostics",
    }
)
"""Of other dialects' fields: what is left out, as no answer depends on it.

Also left out: who the end user is, `metadata` and `store`; names of speakers; how closely to look at an image; thoughts
that the model cannot check; empty texts, which are refused; cache marks for models without a cache of prompts; whether
a tool's result is an error, where a model cannot be told, since its text says so; titles of documents but for letters,
digits and brackets.
"""

_OFF = "disabled"
_EFFORTS = {"none": None, "minimal": "low"}
"""Converse's scale begins at low."""
_NO_ARGUMENTS = Raw(b'{"type":"object","properties":{}}')
_CHOICES = {ToolMode.AUTO: "auto", ToolMode.NONE: "none", ToolMode.REQUIRED: "any", ToolMode.NAMED: "tool"}


class _Thinking(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """As Anthropic writes it."""

    type: str
    budget_tokens: int | None = None


class _Choice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """As Anthropic writes it."""

    type: str
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class _Body(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    messages: list[wire.Message]
    system: list[wire.Block] | None = None
    inference_config: wire.InferenceConfig | None = None
    tool_config: wire.ToolConfig | None = None
    output_config: wire.OutputConfig | None = None
    additional_model_request_fields: dict[str, object] | None = None


_encode = msgspec.json.Encoder().encode


def encode_request(request: Request, abilities: Abilities, provider_model: str) -> bytes:
    """The body. Raises Unsupported or InvalidRequest, with the caller's field."""
    refuse(request, abilities, DROPPED)
    request = suited(request, abilities)
    family = family_of(provider_model)
    turns = turns_of(request, family)
    config, choice = _tools(request, turns, family)
    thinking, effort = _thinking(request, abilities, family)
    sampling = request.sampling
    inference = wire.InferenceConfig(
        max_tokens=request.output_tokens_max,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        stop_sequences=request.stops,
    )
    more: dict[str, object] = {}
    if sampling.top_k is not None and family.top_k:
        more |= _nested(family.top_k, sampling.top_k)
    if thinking is not None:
        more["thinking"] = thinking
        if thinking.type != _OFF:
            refuse_beside_thinking(request)
    if choice is not None:
        more["tool_choice"] = choice
    form = _form(request.structure)
    return _encode(
        _Body(
            messages=turns,
            system=_system(request, family) or None,
            inference_config=None if inference == wire.InferenceConfig() else inference,
            tool_config=config,
            output_config=wire.OutputConfig(text_format=form, effort=effort) if form or effort else None,
            additional_model_request_fields=more or None,
        )
    )


def _nested(path: tuple[str, ...], value: int) -> dict[str, object]:
    found: object = value
    for name in reversed(path[1:]):
        found = {name: found}
    return {path[0]: found}


def _system(request: Request, family: Family) -> list[wire.Block]:
    found: list[wire.Block] = []
    for piece in request.instructions:
        if not piece.text.strip():
            continue
        found.append(wire.Block(text=piece.text))
        if (mark := mark_of(piece.cache, family)) is not None:
            found.append(wire.Block(cache_point=mark))
    return found


def _form(structure: model.Structure | None) -> wire.TextFormat | None:
    if structure is None or structure.schema is None:
        return None
    described = wire.JsonSchema(
        schema=compact(structure.schema),
        name=structure.name or None,
        description=structure.description or None,
    )
    return wire.TextFormat(type="json_schema", structure=wire.Form(json_schema=described))


def _tools(
    request: Request, turns: list[wire.Message], family: Family
) -> tuple[wire.ToolConfig | None, _Choice | None]:
    """The tools, and the choice where only Anthropic has words for it: Converse has no `none`, no `one at most`."""
    offer = offer_of(request)
    tools = _specs(offer, family)
    alone = request.parallel_tool_calls is False
    if not tools or offer.mode is ToolMode.NONE:
        if not has_calls(turns):
            return None, None
        if not family.anthropic_fields:
            field = "tool_choice" if tools else "tools"
            raise Unsupported(f"this model must be given the tools that were called, in {field}", param=field)
        # The definitions must be there, since tools were called; they are not to be called again.
        return wire.ToolConfig(tools=tools or _recalled(turns)), _Choice(type="none")
    if alone and family.anthropic_fields:
        mode = _CHOICES[offer.mode or ToolMode.AUTO]
        name = offer.name if mode == "tool" else None
        return wire.ToolConfig(tools=tools), _Choice(type=mode, name=name, disable_parallel_tool_use=True)
    return wire.ToolConfig(tools=tools, tool_choice=_choice(offer)), None


def _choice(offer: Offer) -> wire.ToolChoice | None:
    match offer.mode:
        case ToolMode.AUTO:
            return wire.ToolChoice(auto=wire.Nothing())
        case ToolMode.REQUIRED:
            return wire.ToolChoice(any=wire.Nothing())
        case ToolMode.NAMED:
            return wire.ToolChoice(tool=wire.Named(name=offer.name))
        case _:
            return None


def _specs(offer: Offer, family: Family) -> list[wire.Tool]:
    found: list[wire.Tool] = []
    for tool in offer.tools:
        spec = wire.ToolSpec(
            name=tool.name,
            description=tool.description or None,
            input_schema=wire.InputSchema(json=tool.parameters or _NO_ARGUMENTS),
            strict=tool.strict or None,
        )
        found.append(wire.Tool(tool_spec=spec))
        if family.cache_tools and (mark := mark_of(tool.cache, family)) is not None:
            found.append(wire.Tool(cache_point=mark))
    return found


def _recalled(turns: list[wire.Message]) -> list[wire.Tool]:
    """Tools of earlier turns that the caller does not define any more."""
    schema = wire.InputSchema(json=_NO_ARGUMENTS)
    return [wire.Tool(tool_spec=wire.ToolSpec(name=name, input_schema=schema)) for name in called_in(turns)]


def _thinking(request: Request, abilities: Abilities, family: Family) -> tuple[_Thinking | None, str | None]:
    """The switch, which only Claude has, and the effort, in the way the model takes them."""
    asked = request.thinking
    if asked is None or not abilities.thinking:
        return None, None
    said = effort_of(asked) or ""
    effort = _EFFORTS.get(said, said) or None
    if not family.anthropic_fields:
        return None, effort
    known = effort if abilities.thinking_effort else None
    if asked.mode is ThinkingMode.OFF or asked.effort == "none":
        return _Thinking(type=_OFF), None
    if abilities.thinking_effort and (asked.budget_tokens is None or not abilities.thinking_budget):
        wants = asked.mode is not None or (effort and request.dialect is not Dialect.MESSAGES)
        return _Thinking(type="adaptive") if wants else None, effort
    if asked.budget_tokens is None and asked.mode is not ThinkingMode.ON and not effort:
        return None, None
    return _Thinking(type="enabled", budget_tokens=_budget(request, asked)), known if asked.effort else None


def _budget(request: Request, asked: model.Thinking) -> int:
    budget = asked.budget_tokens or BUDGETS_TOKENS.get(asked.effort or "medium", BUDGETS_TOKENS["medium"])
    limit = request.output_tokens_max
    if asked.budget_tokens is None and limit is not None:
        budget = min(budget, limit - 1)
    if budget < THINKING_TOKENS_MIN:
        name = field_name(request, "output_tokens_max")
        raise Unsupported(f"this model thinks only where {name} is over {THINKING_TOKENS_MIN}", param=name)
    return budget
