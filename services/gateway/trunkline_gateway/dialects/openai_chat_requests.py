"""The canonical request as the body of a chat completion, for OpenAI and every server that speaks its dialect."""

from collections.abc import Iterable

import msgspec
from msgspec import UNSET, Raw, UnsetType

from trunkline_gateway.dialects import canonical as model
from trunkline_gateway.dialects import chat_wire as wire
from trunkline_gateway.dialects.abilities import Abilities, refuse, suited
from trunkline_gateway.dialects.canonical import Dialect, Part, Request, Role
from trunkline_gateway.dialects.media import PDF, data_url, image_url
from trunkline_gateway.dialects.reading import NOTHING
from trunkline_kit.errors import InvalidRequest

ABILITIES = Abilities(
    native=Dialect.CHAT,
    allowed_tools=True,
    audio_input=True,
    audio_output=True,
    file_urls=False,
    file_text=False,
    tool_result_media=False,
    logprobs=True,
    choices=True,
    seed=True,
    penalties=True,
    logit_bias=True,
    verbosity=True,
    stops_max=4,
)
"""OpenAI's own. Servers that can do more or less have their own data."""

DROPPED = frozenset(
    {
        # Anthropic's: who serves it and how fast, never what is answered. OpenAI's `service_tier` is carried.
        "service_tier",
        "speed",
        "diagnostics",
        # OpenAI's Responses: about the stored object or about built-in tools, which are refused by themselves.
        "include",
        "max_tool_calls",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "stream_options",
    }
)
"""Of other dialects' fields: what is left out, as no answer depends on it.

Also left out: thoughts of earlier turns unless `Quirks.reasoning_field` says where they go; signatures and ciphers of
other providers; cache marks unless `Quirks.cache_marks`; how thoughts are to be shown; whether a tool's result is an
error, which its text says; titles, contexts and the wish for citations of documents; citations of earlier answers.
"""
_SAME_IN_RESPONSES = frozenset({"service_tier"})
"""OpenAI's own in both of its dialects: carried."""


class Quirks(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What differs between servers of this dialect."""

    output_limit_field: str = "max_completion_tokens"
    """Or `max_tokens`, which OpenAI's reasoning models refuse and most other servers know."""
    developer_role: bool = True
    """Whether there is one; else it is the system's."""
    cache_marks: bool = False
    """Whether `cache_control` on parts is understood, as OpenRouter does."""
    reasoning_field: str = ""
    """Where thoughts of earlier turns are sent back: `reasoning_content`, `reasoning`, or nowhere."""
    end_user: bool = True
    """Whether `user` is understood."""


class _Body(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    model: str
    messages: list[wire.Message]
    tools: list[wire.FunctionTool | Raw] | None = None
    tool_choice: str | wire.ChosenTool | None = None
    parallel_tool_calls: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: Raw | None = None
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int = 1
    response_format: wire.ResponseFormat | None = None
    reasoning_effort: str | None = None
    logprobs: bool = False
    top_logprobs: int | None = None
    modalities: tuple[str, ...] = ()
    audio: Raw | None = None
    verbosity: str | None = None
    user: str | None = None
    metadata: Raw | None = None
    store: bool | None = None
    stream: bool = False
    stream_options: dict[str, bool] | UnsetType = UNSET


_encode = msgspec.json.Encoder().encode
_NO_QUIRKS = Quirks()


def encode_request(request: Request, abilities: Abilities, provider_model: str, quirks: Quirks = _NO_QUIRKS) -> bytes:
    """The body. A stream always asks for usage. Raises Unsupported, with the caller's field."""
    refuse(request, abilities, DROPPED)
    request = suited(request, abilities)
    body = _encode(_body(request, provider_model, quirks))
    extras = _extras(request)
    return body[:-1] + b"," + _encode(extras)[1:] if extras else body


def _extras(request: Request) -> dict[str, Raw]:
    """Fields without a place in the canonical form that this dialect has too."""
    if request.dialect is Dialect.RESPONSES:
        return {extra.name: extra.raw for extra in request.extras if extra.name in _SAME_IN_RESPONSES}
    if request.dialect is not Dialect.CHAT:
        return {}
    extras = {extra.name: extra.raw for extra in request.extras}
    if request.metadata is not None:
        extras["metadata"] = request.metadata
    return extras


def _body(request: Request, provider_model: str, quirks: Quirks) -> _Body:
    limit, sampling = request.output_tokens_max, request.sampling
    old_limit = quirks.output_limit_field == "max_tokens"
    return _Body(
        model=provider_model,
        messages=[*_instructions(request, quirks), *_messages(request.messages, quirks)],
        tools=[_tool(tool, quirks) for tool in request.tools] or None,
        tool_choice=_tool_choice(request.tool_choice),
        parallel_tool_calls=request.parallel_tool_calls if request.tools else None,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        seed=sampling.seed,
        frequency_penalty=sampling.frequency_penalty,
        presence_penalty=sampling.presence_penalty,
        logit_bias=sampling.logit_bias,
        stop=request.stops,
        max_tokens=limit if old_limit else None,
        max_completion_tokens=None if old_limit else limit,
        n=request.choices,
        response_format=_response_format(request.structure),
        reasoning_effort=effort_of(request.thinking),
        logprobs=request.logprobs,
        top_logprobs=request.logprobs_top,
        modalities=("text", "audio") if request.audio is not None else (),
        audio=request.audio,
        verbosity=request.verbosity or None,
        user=_end_user(request, quirks),
        store=request.store if request.dialect is Dialect.CHAT else None,
        stream=request.stream,
        stream_options={"include_usage": True} if request.stream else UNSET,
    )


def _end_user(request: Request, quirks: Quirks) -> str | None:
    said_otherwise = any(extra.name == "safety_identifier" for extra in request.extras)
    return request.end_user or None if quirks.end_user and not said_otherwise else None


EFFORT_BUDGETS_TOKENS = ((2048, "low"), (8192, "medium"), (24576, "high"))
"""Budgets below each are that effort; more is `xhigh`, and none is the model's own choice. Our own scale."""


def effort_of(thinking: model.Thinking | None) -> str | None:
    """Thinking as an effort. A budget becomes the effort nearest to it."""
    if thinking is None:
        return None
    if thinking.effort:
        return thinking.effort
    if thinking.mode is model.ThinkingMode.OFF:
        return "none"
    if thinking.budget_tokens is None:
        return None
    return next((name for limit, name in EFFORT_BUDGETS_TOKENS if thinking.budget_tokens <= limit), "xhigh")


def _response_format(structure: model.Structure | None) -> wire.ResponseFormat | None:
    if structure is None:
        return None
    if structure.schema is None:
        return wire.ResponseFormat(type="json_object")
    described = wire.JsonSchema(
        name=structure.name or "answer",
        description=structure.description or None,
        schema=structure.schema,
        strict=structure.strict,
    )
    return wire.ResponseFormat(type="json_schema", json_schema=described)


def _tool(tool: model.Tool, quirks: Quirks) -> wire.FunctionTool | Raw:
    if isinstance(tool, model.NativeTool):
        return tool.raw
    spec = wire.FunctionSpec(
        name=tool.name,
        description=tool.description or None,
        parameters=tool.parameters or NOTHING,
        strict=tool.strict,
    )
    return wire.FunctionTool(function=spec, cache_control=_mark(tool.cache, quirks))


def _tool_choice(choice: model.ToolChoice | None) -> str | wire.ChosenTool | None:
    if choice is None:
        return None
    if choice.mode is model.ToolMode.NAMED:
        return wire.ChosenTool(type="function", function=wire.Named(name=choice.name))
    if not choice.allowed:
        return str(choice.mode.value)
    tools = [wire.ToolName(type="function", function=wire.Named(name=name)) for name in choice.allowed]
    return wire.ChosenTool(type="allowed_tools", allowed_tools=wire.AllowedTools(mode=choice.mode.value, tools=tools))


def _mark(mark: model.CacheMark | None, quirks: Quirks) -> wire.CacheControl | None:
    if mark is None or not quirks.cache_marks:
        return None
    return wire.CacheControl(ttl=mark.ttl or None)


def _instructions(request: Request, quirks: Quirks) -> Iterable[wire.Message]:
    """Pieces that belong together are one message: same role, same name, one after the other."""
    merged: list[tuple[model.Instruction, list[model.Text]]] = []
    for piece in request.instructions:
        text = model.Text(text=piece.text, cache=piece.cache)
        last = merged[-1][0] if merged else None
        if (
            last is not None
            and request.dialect is not Dialect.CHAT
            and (last.role, last.name) == (piece.role, piece.name)
        ):
            merged[-1][1].append(text)
        else:
            merged.append((piece, [text]))
    return [_instruction(piece.role, texts, piece.name, quirks) for piece, texts in merged]


def _instruction(role: Role, texts: list[model.Text], name: str, quirks: Quirks) -> wire.Message:
    if role is Role.DEVELOPER and quirks.developer_role:
        return wire.DeveloperMessage(content=_content(texts, quirks), name=name or None)
    return wire.SystemMessage(content=_content(texts, quirks), name=name or None)


def _content(texts: Iterable[model.Text], quirks: Quirks) -> str | list[wire.TextPart]:
    """One plain text as a string."""
    parts = [wire.TextPart(text=text.text, cache_control=_mark(text.cache, quirks)) for text in texts]
    if len(parts) == 1 and parts[0].cache_control is None:
        return parts[0].text
    return parts or ""


def _messages(messages: Iterable[model.Message], quirks: Quirks) -> Iterable[wire.Message]:
    found: list[wire.Message] = []
    for said in messages:
        results = [part for part in said.parts if isinstance(part, model.ToolResult)]
        found += [_tool_message(result, said.name, quirks) for result in results]
        rest: list[Part] = [part for part in said.parts if not isinstance(part, model.ToolResult)]
        if rest or not results:
            found.append(_message(said, rest, quirks))
    return found


def _tool_message(result: model.ToolResult, name: str, quirks: Quirks) -> wire.Message:
    texts = [part for part in result.parts if isinstance(part, model.Text)]
    return wire.ToolMessage(
        tool_call_id=result.call_id,
        content=_content(texts, quirks),
        name=name or result.name or None,
        cache_control=_mark(result.cache, quirks),
    )


def _message(said: model.Message, parts: list[Part], quirks: Quirks) -> wire.Message:
    if said.role is Role.ASSISTANT:
        return _assistant(parts, said.name, quirks)
    if said.role in (Role.SYSTEM, Role.DEVELOPER):
        texts = [part for part in parts if isinstance(part, model.Text)]
        return _instruction(said.role, texts, said.name, quirks)
    if all(isinstance(part, model.Text) for part in parts):
        texts = [part for part in parts if isinstance(part, model.Text)]
        content = _content(texts, quirks)
        return wire.UserMessage(content=content if isinstance(content, str) else [*content], name=said.name or None)
    return wire.UserMessage(content=[_user_part(part, quirks) for part in parts], name=said.name or None)


def _user_part(part: Part, quirks: Quirks) -> wire.UserPart:
    match part:
        case model.Image():
            url = wire.ImageUrl(url=image_url(part), detail=part.detail or None)
            return wire.ImagePart(image_url=url, cache_control=_mark(part.cache, quirks))
        case model.Audio():
            sound = wire.InputAudio(data=part.data, format=part.format)
            return wire.AudioPart(input_audio=sound, cache_control=_mark(part.cache, quirks))
        case model.File():
            return wire.FilePart(file=_file(part), cache_control=_mark(part.cache, quirks))
        case model.Text():
            return wire.TextPart(text=part.text, cache_control=_mark(part.cache, quirks))
        case _:
            # A role that cannot say such a part: its decoder refused it, so this is an answer put to the wrong side.
            raise InvalidRequest("only assistants say such a part", param="messages")


def _file(part: model.File) -> wire.FileRef:
    name = part.name or None
    if part.file_id:
        return wire.FileRef(file_id=part.file_id, filename=name)
    return wire.FileRef(file_data=data_url(part.media_type or PDF, part.data), filename=name or "document.pdf")


def _assistant(parts: list[Part], name: str, quirks: Quirks) -> wire.AssistantMessage:
    texts = [part for part in parts if isinstance(part, model.Text)]
    calls = [_call(part) for part in parts if isinstance(part, model.ToolCall)]
    refusal = "".join([part.text for part in parts if isinstance(part, model.Refusal)])
    spoken = [part.id for part in parts if isinstance(part, model.Audio) and part.id]
    thoughts = "".join([part.text for part in parts if isinstance(part, model.Reasoning)]) or None
    content = _content(texts, quirks)
    bare = not texts and (calls or refusal or spoken)
    return wire.AssistantMessage(
        content=None if bare else content if isinstance(content, str) else [*content],
        refusal=refusal or None,
        audio=wire.AudioRef(id=spoken[0]) if spoken else None,
        tool_calls=calls or None,
        name=name or None,
        reasoning_content=thoughts if quirks.reasoning_field == "reasoning_content" else None,
        reasoning=thoughts if quirks.reasoning_field == "reasoning" else None,
    )


def _call(call: model.ToolCall) -> wire.ToolCall:
    extra = wire.ExtraContent(google=wire.GoogleContent(thought_signature=call.signature)) if call.signature else None
    return wire.ToolCall(
        id=call.id, function=wire.FunctionCall(name=call.name, arguments=call.arguments or "{}"), extra_content=extra
    )
