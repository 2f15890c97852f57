"""The canonical request as the body of Anthropic's Messages."""

import msgspec
from msgspec import Raw

from trunkline_gateway.dialects import canonical as model
from trunkline_gateway.dialects import messages_wire as wire
from trunkline_gateway.dialects.abilities import Abilities, field_name, refuse, suited
from trunkline_gateway.dialects.anthropic_turns import mark_of, turns_of
from trunkline_gateway.dialects.canonical import Dialect, Request, ThinkingMode, ToolMode
from trunkline_gateway.dialects.claude_thinking import refuse_beside_thinking, room_for
from trunkline_kit.errors import InvalidRequest, Unsupported

ABILITIES = Abilities(
    native=Dialect.MESSAGES,
    json_object=False,
    top_k=True,
    temperature_max=1.0,
    thinking_budget=True,
    thinking_effort=True,
    output_tokens_max=8192,
)
"""Of the protocol. Models without effort, structured output or temperature have their own data."""

DROPPED = frozenset(
    {
        # OpenAI's: about caching, storing, speed, safety reports and the stream's padding.
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "prediction",
        "service_tier",
        "safety_identifier",
        "stream_options",
        "include",
        "max_tool_calls",
    }
)
"""Of other dialects' fields: what is left out, as no answer depends on it.

Also left out: `metadata` and `store`, which are about what OpenAI keeps; names of speakers; how closely to look at an
image; names and descriptions of schemas, which are always followed strictly; thoughts that Anthropic cannot check;
empty texts, which it refuses; signatures of other providers' calls.
"""

THINKING_TOKENS_MIN = 1024
"""The smallest budget Anthropic takes. Source: its guide "Extended thinking" (read 2026-11-24)."""

BUDGETS_TOKENS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 24576, "xhigh": 32768, "max": 32768}
"""Efforts for models that take a number only. Our own scale; an answer's limit cuts it down."""

_OFF = "disabled"
_EFFORTS = {"minimal": "low"}
"""Anthropic's scale begins at low."""
_NO_ARGUMENTS = Raw(b'{"type":"object","properties":{}}')
_TOOL_CHOICES = {ToolMode.AUTO: "auto", ToolMode.NONE: "none", ToolMode.REQUIRED: "any", ToolMode.NAMED: "tool"}


class _Body(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    model: str
    max_tokens: int
    messages: list[wire.MessageOut]
    system: str | list[wire.TextBlock] = ""
    tools: list[wire.Tool | Raw] | None = None
    tool_choice: wire.ToolChoice | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: tuple[str, ...] = ()
    stream: bool = False
    thinking: wire.Thinking | None = None
    output_config: wire.OutputConfig | None = None
    metadata: wire.Metadata | None = None
    cache_control: wire.CacheControl | None = None


_encode = msgspec.json.Encoder().encode


def encode_request(request: Request, abilities: Abilities, provider_model: str) -> bytes:
    """The body. Raises Unsupported or InvalidRequest, with the caller's field."""
    refuse(request, abilities, DROPPED)
    request = suited(request, abilities)
    limit = request.output_tokens_max or abilities.output_tokens_max
    thinking, effort = _thinking(request, abilities, limit)
    if thinking is not None and thinking.type != _OFF:
        thinking, limit = _beside(request, thinking, limit)
    sampling, structure = request.sampling, request.structure
    form = wire.OutputFormat(schema=structure.schema) if structure is not None and structure.schema else None
    body = _encode(
        _Body(
            model=provider_model,
            max_tokens=limit,
            messages=turns_of(request),
            system=_system(request.instructions),
            tools=[_tool(tool) for tool in request.tools] or None,
            tool_choice=_tool_choice(request),
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            stop_sequences=request.stops,
            stream=request.stream,
            thinking=thinking,
            output_config=wire.OutputConfig(effort=effort, format=form) if effort or form else None,
            metadata=wire.Metadata(user_id=request.end_user) if request.end_user else None,
            cache_control=mark_of(request.cache),
        )
    )
    if request.dialect is not Dialect.MESSAGES or not request.extras:
        return body
    return body[:-1] + b"," + _encode({extra.name: extra.raw for extra in request.extras})[1:]


def _system(instructions: tuple[model.Instruction, ...]) -> str | list[wire.TextBlock]:
    said = [piece for piece in instructions if piece.text]
    if len(said) == 1 and said[0].cache is None:
        return said[0].text
    return [wire.TextBlock(text=piece.text, cache_control=mark_of(piece.cache)) for piece in said] or ""


def _tool(tool: model.Tool) -> wire.Tool | Raw:
    if isinstance(tool, model.NativeTool):
        return tool.raw
    return wire.Tool(
        name=tool.name,
        description=tool.description or None,
        input_schema=tool.parameters or _NO_ARGUMENTS,
        strict=tool.strict or None,
        cache_control=mark_of(tool.cache),
    )


def _tool_choice(request: Request) -> wire.ToolChoice | None:
    choice = request.tool_choice
    if not request.tools:
        if choice is not None and choice.mode in (ToolMode.REQUIRED, ToolMode.NAMED):
            raise InvalidRequest("tool_choice asks for a tool, but there are no tools", param="tool_choice")
        return None
    only_one = None if request.parallel_tool_calls is None else not request.parallel_tool_calls
    if choice is None and not only_one:
        return None
    choice = choice or model.ToolChoice(mode=ToolMode.AUTO)
    return wire.ToolChoice(
        type=_TOOL_CHOICES[choice.mode],
        name=choice.name or None,
        disable_parallel_tool_use=None if choice.mode is ToolMode.NONE else only_one,
    )


def _thinking(request: Request, abilities: Abilities, limit: int) -> tuple[wire.Thinking | None, str | None]:
    """The switch and the effort, in the way the model takes them."""
    asked = request.thinking
    if asked is None:
        return None, None
    display = {"": None, "none": "omitted"}.get(asked.summary, "summarized")
    effort = _EFFORTS.get(asked.effort, asked.effort) or None
    if asked.mode is ThinkingMode.OFF:
        # A model that decides itself does not think unless it is told to, and has no switch for it.
        switch = wire.Thinking(type=_OFF) if abilities.thinking_budget else None
        return switch, effort if abilities.thinking_effort else None
    if asked.budget_tokens is not None and not abilities.thinking_budget:
        return wire.Thinking(type="adaptive", display=display), effort or _nearest(asked.budget_tokens)
    if asked.budget_tokens is None and abilities.thinking_effort:
        wants = asked.mode is not None or (asked.effort and request.dialect is not Dialect.MESSAGES)
        return wire.Thinking(type="adaptive", display=display) if wants else None, effort
    if asked.budget_tokens is None and asked.mode is not ThinkingMode.ON and not asked.effort:
        return None, None
    budget = asked.budget_tokens or BUDGETS_TOKENS.get(asked.effort or "medium", BUDGETS_TOKENS["medium"])
    is_limited = asked.budget_tokens is None and request.output_tokens_max is not None
    room = limit - 1 if is_limited else budget
    if min(budget, room) < THINKING_TOKENS_MIN:
        name = field_name(request, "output_tokens_max")
        raise Unsupported(f"this model thinks only where {name} is over {THINKING_TOKENS_MIN}", param=name)
    switch = wire.Thinking(type="enabled", budget_tokens=min(budget, room), display=display)
    return switch, effort if abilities.thinking_effort else None


def _beside(request: Request, thinking: wire.Thinking, limit: int) -> tuple[wire.Thinking, int]:
    """The thinking as it fits into the limit, and the limit. Raises Unsupported for what does not go with thinking."""
    if request.dialect is not Dialect.MESSAGES:
        refuse_beside_thinking(request)
    budget = thinking.budget_tokens
    if budget is None or request.output_tokens_max is not None:
        return thinking, limit
    if request.thinking is not None and request.thinking.budget_tokens is not None:
        return thinking, budget + limit
    budget, limit = room_for(budget, limit)
    return msgspec.structs.replace(thinking, budget_tokens=budget), limit


def _nearest(budget_tokens: int) -> str:
    """The least effort that this many tokens are enough for; the scale begins at low."""
    efforts = [name for name in BUDGETS_TOKENS if name not in _EFFORTS]
    return next((name for name in efforts if budget_tokens <= BUDGETS_TOKENS[name]), efforts[-2])
