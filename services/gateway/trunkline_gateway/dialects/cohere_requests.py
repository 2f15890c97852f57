"""The canonical request as the body of Cohere's Chat API, version 2."""

import msgspec
from msgspec import UNSET, Raw

from trunkline_gateway.dialects import canonical as model
from trunkline_gateway.dialects import cohere_wire as wire
from trunkline_gateway.dialects.abilities import Abilities, field_name, refuse, suited
from trunkline_gateway.dialects.anthropic_requests import BUDGETS_TOKENS
from trunkline_gateway.dialects.canonical import Message, Part, Request, Role, ThinkingMode, ToolMode
from trunkline_gateway.dialects.media import image_url
from trunkline_gateway.dialects.tool_choice import Offer, offer_of
from trunkline_kit.errors import Unsupported

ABILITIES = Abilities(
    one_tool_at_a_time=False,
    allowed_tools=True,
    files=False,
    file_urls=False,
    file_text=False,
    tool_result_media=False,
    thinking_effort=False,
    seed=True,
    penalties=True,
    top_k=True,
    stops_max=5,
    temperature_max=1.0,
)
"""Of the protocol: Command A; older models do not think or see."""

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

Also left out: who the end user is, `metadata` and `store`; names of speakers; cache marks, as Cohere caches by itself;
names and descriptions of schemas; `strict` of single tools; thoughts and citations of earlier turns; whether a tool's
result is an error, which its text says.
"""

TOP_K_MAX = 500
TOP_P_MIN, TOP_P_MAX = 0.01, 0.99
"""Cohere's ends of the scale: 1, which is everything, is written as the last of them."""
_NO_ARGUMENTS = Raw(b'{"type":"object","properties":{}}')


class _Body(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    model: str
    messages: list[wire.Message]
    tools: list[wire.Tool] | None = None
    tool_choice: str | None = None
    response_format: wire.ResponseFormat | None = None
    thinking: wire.Thinking | None = None
    max_tokens: int | None = None
    stop_sequences: tuple[str, ...] = ()
    temperature: float | None = None
    p: float | None = None
    k: int | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    stream: bool = False


_encode = msgspec.json.Encoder().encode


def encode_request(request: Request, abilities: Abilities, provider_model: str) -> bytes:
    """The body. Raises Unsupported or InvalidRequest, with the caller's field."""
    refuse(request, abilities, DROPPED)
    request = suited(request, abilities)
    _refuse_ranges(request)
    offer, sampling = offer_of(request), request.sampling
    tools = _tools(offer)
    if tools and request.structure is not None:
        name = field_name(request, "structure")
        raise Unsupported(f"this model takes tools or {name}, not both", param=name)
    return _encode(
        _Body(
            model=provider_model,
            messages=[*_instructions(request), *_messages(request)],
            tools=tools or None,
            tool_choice=_tool_choice(offer),
            response_format=_response_format(request.structure),
            thinking=_thinking(request, abilities),
            max_tokens=request.output_tokens_max,
            stop_sequences=request.stops,
            temperature=sampling.temperature,
            p=None if sampling.top_p is None else min(max(sampling.top_p, TOP_P_MIN), TOP_P_MAX),
            k=sampling.top_k,
            seed=sampling.seed,
            frequency_penalty=sampling.frequency_penalty,
            presence_penalty=sampling.presence_penalty,
            stream=request.stream,
        )
    )


def _refuse_ranges(request: Request) -> None:
    """What Cohere's scales do not reach."""
    sampling = request.sampling
    for name in ("frequency_penalty", "presence_penalty"):
        value = getattr(sampling, name)
        if value is not None and not 0 <= value <= 1:
            raise Unsupported(f"this model's {name} goes from 0 to 1", param=name)
    if sampling.top_k is not None and sampling.top_k > TOP_K_MAX:
        raise Unsupported(f"this model's top_k ends at {TOP_K_MAX}", param="top_k")
    if sampling.seed is not None and sampling.seed < 0:
        raise Unsupported("this model's seed must not be negative", param="seed")


def _response_format(structure: model.Structure | None) -> wire.ResponseFormat | None:
    if structure is None:
        return None
    return wire.ResponseFormat(json_schema=structure.schema or UNSET)


def _tools(offer: Offer) -> list[wire.Tool]:
    """A named tool is the only one there is: Cohere can be told that a tool must be called, not which."""
    tools = offer.tools
    if offer.mode is ToolMode.NAMED:
        tools = tuple([tool for tool in tools if tool.name == offer.name])
    return [
        wire.Tool(
            function=wire.FunctionSpec(
                name=tool.name,
                description=tool.description or None,
                parameters=tool.parameters or _NO_ARGUMENTS,
            )
        )
        for tool in tools
    ]


def _tool_choice(offer: Offer) -> str | None:
    match offer.mode:
        case ToolMode.REQUIRED | ToolMode.NAMED:
            return "REQUIRED"
        case ToolMode.NONE:
            return "NONE"
        case _:
            return None


def _thinking(request: Request, abilities: Abilities) -> wire.Thinking | None:
    """On by itself where a model thinks; an effort becomes a budget."""
    asked = request.thinking
    if asked is None or not abilities.thinking:
        return None
    if asked.mode is ThinkingMode.OFF or asked.effort == "none":
        return wire.Thinking(type="disabled")
    budget = asked.budget_tokens or BUDGETS_TOKENS.get(asked.effort)
    if budget is None and asked.mode is None:
        return None
    return wire.Thinking(type="enabled", token_budget=budget)


def _instructions(request: Request) -> list[wire.Message]:
    return [wire.Message(role="system", content=piece.text) for piece in request.instructions if piece.text]


def _messages(request: Request) -> list[wire.Message]:
    found: list[wire.Message] = []
    for said in request.messages:
        results = [part for part in said.parts if isinstance(part, model.ToolResult)]
        found += [_tool_message(result) for result in results]
        rest: list[Part] = [part for part in said.parts if not isinstance(part, model.ToolResult)]
        if rest or not results:
            message = _message(said, rest)
            found += [message] if message is not None else []
    return found


def _tool_message(result: model.ToolResult) -> wire.Message:
    texts = [part.text for part in result.parts if isinstance(part, model.Text)]
    return wire.Message(role="tool", tool_call_id=result.call_id, content="".join(texts))


def _message(said: Message, parts: list[Part]) -> wire.Message | None:
    """None for an assistant's turn of which nothing is left."""
    if said.role is Role.ASSISTANT:
        return _assistant(parts)
    role = "system" if said.role in (Role.SYSTEM, Role.DEVELOPER) else "user"
    pieces: list[wire.Text | wire.Image] = []
    for part in parts:
        if isinstance(part, model.Text):
            pieces.append(wire.Text(text=part.text))
        elif isinstance(part, model.Image):
            pieces.append(wire.Image(image_url=wire.ImageUrl(url=image_url(part), detail=part.detail or None)))
        else:
            raise Unsupported("such parts are not supported by this model", param=said.place or "messages")
    if len(pieces) == 1 and isinstance(pieces[0], wire.Text):
        return wire.Message(role=role, content=pieces[0].text)
    return wire.Message(role=role, content=pieces or "")


def _assistant(parts: list[Part]) -> wire.Message | None:
    """What it said before it called tools is its plan of them."""
    said = "".join([part.text for part in parts if isinstance(part, (model.Text, model.Refusal))])
    calls = [
        wire.ToolCall(id=part.id, function=wire.FunctionCall(name=part.name, arguments=part.arguments.strip() or "{}"))
        for part in parts
        if isinstance(part, model.ToolCall)
    ]
    if calls:
        return wire.Message(role="assistant", tool_calls=calls, tool_plan=said or None)
    return wire.Message(role="assistant", content=said) if said else None
