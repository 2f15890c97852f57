"""A caller's chat completion as the canonical request. Raises InvalidRequest and Unsupported, with the field's path."""

from collections.abc import Sequence

import msgspec
from msgspec import Raw

from trunkline_gateway.dialects import canonical as model
from trunkline_gateway.dialects import chat_wire as wire
from trunkline_gateway.dialects.canonical import CacheMark, Dialect, Part, Role
from trunkline_gateway.dialects.media import file_of, image_of
from trunkline_gateway.dialects.messages_wire import THINKING_MODES
from trunkline_gateway.dialects.proofs import unsealed
from trunkline_gateway.dialects.reading import effort_of, extras_of, present, read
from trunkline_kit.errors import InvalidRequest, Unsupported

_decode_body = msgspec.json.Decoder(wire.Body)
_decode_tool = msgspec.json.Decoder(wire.FunctionTool)
_KEPT_AS_EXTRA = frozenset({"safety_identifier"})
_KNOWN = frozenset(wire.Body.__struct_fields__) - _KEPT_AS_EXTRA


class _ToolLook(msgspec.Struct, frozen=True):
    type: str = "function"


_look_at_tool = msgspec.json.Decoder(_ToolLook)


def decode_request(body: bytes) -> model.Request:
    """POST /chat/completions."""
    asked = read(body, _decode_body)
    first = next((i for i, said in enumerate(asked.messages) if not _instructs(said)), len(asked.messages))
    if asked.top_logprobs is not None and not asked.logprobs:
        raise InvalidRequest("top_logprobs needs logprobs: true", param="top_logprobs")
    return model.Request(
        dialect=Dialect.CHAT,
        model=asked.model,
        instructions=tuple([part for said in asked.messages[:first] for part in _instructions(said)]),
        messages=tuple([_message(said, f"messages[{i}]") for i, said in enumerate(asked.messages[first:], first)]),
        tools=tuple([_tool(raw, f"tools[{i}]") for i, raw in enumerate(asked.tools or ())]),
        tool_choice=_tool_choice(asked.tool_choice),
        parallel_tool_calls=asked.parallel_tool_calls,
        sampling=_sampling(asked),
        stops=_stops(asked.stop),
        output_tokens_max=asked.max_completion_tokens or asked.max_tokens,
        choices=asked.n or 1,
        structure=_structure(asked.response_format),
        thinking=_thinking(asked),
        logprobs=bool(asked.logprobs),
        logprobs_top=asked.top_logprobs,
        audio=_audio(asked),
        verbosity=asked.verbosity or "",
        end_user=asked.user or asked.safety_identifier or "",
        metadata=present(asked.metadata),
        cache=cache_mark(asked.cache_control, None),
        stream=bool(asked.stream),
        stream_usage=bool(asked.stream_options and asked.stream_options.include_usage),
        store=asked.store,
        extras=extras_of(body, _KNOWN),
    )


def _sampling(asked: wire.Body) -> model.Sampling:
    return model.Sampling(
        temperature=asked.temperature,
        top_p=asked.top_p,
        top_k=asked.top_k,
        seed=asked.seed,
        frequency_penalty=asked.frequency_penalty,
        presence_penalty=asked.presence_penalty,
        logit_bias=present(asked.logit_bias),
    )


def _stops(stop: str | list[str] | None) -> tuple[str, ...]:
    stops = (stop,) if isinstance(stop, str) else tuple(stop or ())
    if not all(stops):
        raise InvalidRequest("stop must not have empty strings", param="stop")
    return stops


def _structure(form: wire.ResponseFormat | None) -> model.Structure | None:
    if form is None or form.type == "text":
        return None
    if form.type == "json_object":
        return model.Structure()
    if form.type != "json_schema":
        raise Unsupported(f"response_format {form.type!r} is not known", param="response_format.type")
    described = form.json_schema
    if described is None or (schema := present(described.schema)) is None:
        path = "response_format.json_schema" if described is None else "response_format.json_schema.schema"
        raise InvalidRequest(f"missing required parameter: {path}", param=path)
    return model.Structure(
        schema=schema, name=described.name, description=described.description or "", strict=described.strict
    )


def _thinking(asked: wire.Body) -> model.Thinking | None:
    switch, effort = asked.thinking, effort_of(asked.reasoning_effort, "reasoning_effort")
    if switch is None and not effort:
        return None
    mode = None
    if switch is not None:
        mode = THINKING_MODES.get(switch.type)
        if mode is None:
            raise Unsupported(f"thinking.type {switch.type!r} is not known", param="thinking.type")
    if effort == "none":
        mode, effort = model.ThinkingMode.OFF, ""
    return model.Thinking(mode=mode, effort=effort, budget_tokens=switch.budget_tokens if switch else None)


def _audio(asked: wire.Body) -> Raw | None:
    wanted = set(asked.modalities or ("text",))
    if not wanted <= {"text", "audio"}:
        raise Unsupported("answers can be text and audio", param="modalities")
    if "audio" not in wanted:
        return None
    if (audio := present(asked.audio)) is None:
        raise InvalidRequest("modalities with audio need the field audio", param="audio")
    return audio


def _tool(raw: Raw, place: str) -> model.Tool:
    kind = read(bytes(raw), _look_at_tool, place).type
    if kind != "function":
        return model.NativeTool(dialect=Dialect.CHAT, type=kind, raw=raw, place=place)
    tool = read(bytes(raw), _decode_tool, place)
    spec = tool.function
    return model.Function(
        name=spec.name,
        description=spec.description or "",
        parameters=present(spec.parameters),
        strict=spec.strict,
        cache=cache_mark(tool.cache_control, None),
    )


def _tool_choice(choice: str | wire.ChosenTool | None) -> model.ToolChoice | None:
    if choice is None:
        return None
    if isinstance(choice, str):
        return model.ToolChoice(mode=_tool_mode(choice, "tool_choice"))
    if choice.type == "function" and choice.function is not None:
        return model.ToolChoice(mode=model.ToolMode.NAMED, name=choice.function.name)
    if choice.type == "allowed_tools" and choice.allowed_tools is not None:
        allowed = choice.allowed_tools
        return model.ToolChoice(
            mode=_tool_mode(allowed.mode, "tool_choice.allowed_tools.mode"),
            allowed=tuple([tool.function.name for tool in allowed.tools if tool.function is not None]),
        )
    if choice.type in {"function", "allowed_tools"}:
        path = f"tool_choice.{choice.type}"
        raise InvalidRequest(f"missing required parameter: {path}", param=path)
    raise Unsupported(f"tool_choice of type {choice.type!r} cannot be translated", param="tool_choice")


def _tool_mode(name: str, path: str) -> model.ToolMode:
    if name not in {"auto", "none", "required"}:
        raise InvalidRequest(f"{path} must be auto, none, required or a tool", param=path)
    return model.ToolMode(name)


def cache_mark(mark: wire.CacheControl | None, breakpoint_: wire.CacheBreakpoint | None) -> CacheMark | None:
    """By whichever of the two names it was set."""
    if mark is None and breakpoint_ is None:
        return None
    return CacheMark(ttl=(mark.ttl if mark is not None else breakpoint_.ttl if breakpoint_ is not None else "") or "")


def _instructs(said: wire.Message) -> bool:
    return isinstance(said, wire.SystemMessage | wire.DeveloperMessage)


def _instructions(said: wire.Message) -> list[model.Instruction]:
    if not isinstance(said, wire.SystemMessage | wire.DeveloperMessage):
        return []
    role = Role.SYSTEM if isinstance(said, wire.SystemMessage) else Role.DEVELOPER
    name = said.name or ""
    texts = _texts(said.content)
    whole = cache_mark(said.cache_control, None)
    return [
        model.Instruction(
            text=part.text, role=role, name=name, cache=part.cache or (whole if number == len(texts) - 1 else None)
        )
        for number, part in enumerate(texts)
    ]


def _message(said: wire.Message, place: str) -> model.Message:
    parts: list[Part]
    match said:
        case wire.UserMessage():
            role, parts = Role.USER, _user_parts(said.content, place)
        case wire.AssistantMessage():
            role, parts = Role.ASSISTANT, _assistant_parts(said, place)
        case wire.ToolMessage():
            result = model.ToolResult(
                call_id=said.tool_call_id, parts=tuple(_texts(said.content)), cache=cache_mark(said.cache_control, None)
            )
            return model.Message(role=Role.TOOL, parts=(result,), name=said.name or "", place=place)
        case wire.SystemMessage():
            role, parts = Role.SYSTEM, [*_texts(said.content)]
        case wire.DeveloperMessage():
            role, parts = Role.DEVELOPER, [*_texts(said.content)]
    if said.cache_control is not None and parts:
        parts[-1] = _marked(parts[-1], cache_mark(said.cache_control, None))
    return model.Message(role=role, parts=tuple(parts), name=said.name or "", place=place)


def _marked(part: Part, mark: CacheMark | None) -> Part:
    """A mark on the message is one on its last part."""
    if isinstance(part, model.Reasoning | model.Refusal | model.Native) or part.cache is not None:
        return part
    return msgspec.structs.replace(part, cache=mark)


def _texts(content: str | Sequence[wire.TextPart]) -> list[model.Text]:
    if isinstance(content, str):
        return [model.Text(text=content)]
    return [_text(part) for part in content]


def _text(part: wire.TextPart) -> model.Text:
    return model.Text(text=part.text, cache=cache_mark(part.cache_control, part.prompt_cache_breakpoint))


def _user_parts(content: str | Sequence[wire.UserPart], place: str) -> list[Part]:
    if isinstance(content, str):
        return [model.Text(text=content)]
    return [_user_part(part, f"{place}.content[{number}]") for number, part in enumerate(content)]


def _user_part(part: wire.UserPart, place: str) -> Part:
    if isinstance(part, wire.TextPart):
        return _text(part)
    mark = cache_mark(part.cache_control, part.prompt_cache_breakpoint)
    match part:
        case wire.ImagePart():
            return image_of(part.image_url.url, part.image_url.detail or "", mark, part.image_url.format or "")
        case wire.AudioPart():
            return model.Audio(data=part.input_audio.data, format=part.input_audio.format, cache=mark)
        case wire.FilePart():
            return _file(part.file, mark, f"{place}.file")


def _file(ref: wire.FileRef, mark: CacheMark | None, place: str) -> model.File:
    return file_of(ref.file_data or "", ref.file_id or "", ref.filename or "", mark, place)


def _assistant_parts(said: wire.AssistantMessage, place: str) -> list[Part]:
    parts: list[Part] = [*_thoughts(said)]
    if isinstance(said.content, str):
        if said.content:
            parts.append(model.Text(text=said.content))
    else:
        parts += [_text_or_refusal(part) for part in said.content or ()]
    if said.refusal:
        parts.append(model.Refusal(text=said.refusal))
    if said.audio is not None:
        parts.append(model.Audio(id=said.audio.id))
    calls = enumerate(said.tool_calls or ())
    return [*parts, *[_call(call, f"{place}.tool_calls[{number}].function.arguments") for number, call in calls]]


def _text_or_refusal(part: wire.TextPart | wire.RefusalPart) -> Part:
    return _text(part) if isinstance(part, wire.TextPart) else model.Refusal(text=part.refusal)


def _thoughts(said: wire.AssistantMessage) -> list[model.Reasoning]:
    if said.thinking_blocks:
        return [thought_of(block) for block in said.thinking_blocks]
    text = said.reasoning_content or said.reasoning
    return [model.Reasoning(text=text)] if text else []


def thought_of(block: wire.ThinkingBlock) -> model.Reasoning:
    """Anthropic's block inside a chat message."""
    if block.type == "redacted_thinking":
        return unsealed("", block.data, "anthropic", encrypted=True)
    return unsealed(block.thinking, block.signature, "anthropic", encrypted=False)


def _call(call: wire.ToolCall, place: str) -> model.ToolCall:
    google = call.extra_content.google if call.extra_content is not None else None
    return model.ToolCall(
        id=call.id,
        name=call.function.name,
        arguments=call.function.arguments,
        place=place,
        signature=(google.thought_signature if google is not None else "") or "",
    )
