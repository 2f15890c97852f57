"""A caller's Responses request as the canonical one. Raises InvalidRequest and Unsupported, with the field's path.

What is stored (`store`, `previous_response_id`, item references) is the caller of this module's: it puts the items of
the response before in front of the messages.
"""

import msgspec
from msgspec import Raw

from trunkline_gateway.dialects import canonical as model
from trunkline_gateway.dialects import responses_wire as wire
from trunkline_gateway.dialects.canonical import Dialect, Message, Part, Role
from trunkline_gateway.dialects.chat_requests import cache_mark
from trunkline_gateway.dialects.media import file_of, image_of
from trunkline_gateway.dialects.proofs import unsealed
from trunkline_gateway.dialects.reading import effort_of, extras_of, present, read
from trunkline_kit.errors import InvalidRequest, Unsupported

OWN = "openai"
"""Whose proofs stand unmarked in this dialect."""

_KNOWN = frozenset(wire.Body.__struct_fields__) - {"safety_identifier"}
_ROLES = {"user": Role.USER, "assistant": Role.ASSISTANT, "system": Role.SYSTEM, "developer": Role.DEVELOPER}
_LOGPROBS = "message.output_text.logprobs"


class _Look(msgspec.Struct, frozen=True):
    type: str | None = None


_decode_body = msgspec.json.Decoder(wire.Body)
_look = msgspec.json.Decoder(_Look)
_decode_message = msgspec.json.Decoder(wire.MessageItem)
_decode_call = msgspec.json.Decoder(wire.CallItem)
_decode_result = msgspec.json.Decoder(wire.ResultItem)
_decode_reasoning = msgspec.json.Decoder(wire.ReasoningItem)
_decode_tool = msgspec.json.Decoder(wire.FunctionTool)
_members = msgspec.json.Decoder(dict[str, Raw])


def decode_request(body: bytes) -> model.Request:
    """POST /v1/responses."""
    asked = read(body, _decode_body)
    _refuse(asked)
    instructions, messages = _conversation(asked)
    return model.Request(
        dialect=Dialect.RESPONSES,
        model=asked.model,
        instructions=instructions,
        messages=messages,
        tools=tuple([_tool(raw, f"tools[{i}]") for i, raw in enumerate(asked.tools or ())]),
        tool_choice=_tool_choice(asked.tool_choice),
        parallel_tool_calls=asked.parallel_tool_calls,
        sampling=model.Sampling(temperature=asked.temperature, top_p=asked.top_p),
        output_tokens_max=asked.max_output_tokens,
        structure=_structure(asked.text),
        thinking=_thinking(asked.reasoning),
        logprobs=bool(asked.top_logprobs) or _LOGPROBS in (asked.include or ()),
        logprobs_top=asked.top_logprobs,
        verbosity=(asked.text.verbosity if asked.text else "") or "",
        end_user=asked.user or asked.safety_identifier or "",
        metadata=present(asked.metadata),
        stream=bool(asked.stream),
        stream_usage=True,
        store=asked.store,
        continues=asked.previous_response_id or "",
        extras=extras_of(body, _KNOWN),
    )


def echo_of(body: bytes) -> wire.Echoed:
    """What every piece of the answer repeats of the request. Raises InvalidRequest."""
    members = read(body, _members)
    said = {name: members[name] for name in wire.Echoed.__struct_fields__ if name in members}
    return wire.Echoed(**{name: raw for name, raw in said.items() if present(raw) is not None})


def items_of(body: bytes) -> list[Raw]:
    """The request's own input as items, for who stores it. Raises InvalidRequest."""
    said = read(body, _decode_body).input
    if isinstance(said, str):
        return [Raw(msgspec.json.encode(wire.MessageItem(role="user", content=said)))]
    return said


def _refuse(asked: wire.Body) -> None:
    """What no target can do."""
    if asked.background:
        raise Unsupported("background responses are not served here", param="background")
    if asked.truncation not in (None, "disabled"):
        raise Unsupported("truncation must be disabled: shorten the input", param="truncation")


def _conversation(asked: wire.Body) -> tuple[tuple[model.Instruction, ...], tuple[Message, ...]]:
    instructions = [model.Instruction(text=asked.instructions)] if asked.instructions else []
    if isinstance(asked.input, str):
        return tuple(instructions), (Message(role=Role.USER, parts=(model.Text(text=asked.input),), place="input"),)
    found: list[Message] = []
    for number, raw in enumerate(asked.input):
        said = _item(raw, f"input[{number}]")
        if not found and said.role in (Role.SYSTEM, Role.DEVELOPER):
            instructions += [
                model.Instruction(text=part.text, role=said.role, cache=part.cache)
                for part in said.parts
                if isinstance(part, model.Text)
            ]
        elif found and said.role is Role.ASSISTANT and found[-1].role is Role.ASSISTANT:
            found[-1] = msgspec.structs.replace(found[-1], parts=(*found[-1].parts, *said.parts))
        else:
            found.append(said)
    return tuple(instructions), tuple(found)


def _item(raw: Raw, place: str) -> Message:
    """One item as a message; an assistant's neighbours are put together afterwards."""
    data = bytes(raw)
    kind = read(data, _look, place).type or "message"
    match kind:
        case "message":
            return _message(read(data, _decode_message, place), place)
        case "function_call":
            call = read(data, _decode_call, place)
            part: Part = model.ToolCall(
                id=call.call_id, name=call.name, arguments=call.arguments, place=f"{place}.arguments"
            )
        case "function_call_output":
            result = read(data, _decode_result, place)
            part = model.ToolResult(call_id=result.call_id, parts=_result(result, place), name=result.name or "")
            return Message(role=Role.TOOL, parts=(part,), place=place)
        case "reasoning":
            part = _thought(read(data, _decode_reasoning, place))
        case _:
            part = model.Native(dialect=Dialect.RESPONSES, type=kind, raw=raw)
    return Message(role=Role.ASSISTANT, parts=(part,), place=place)


def _message(said: wire.MessageItem, place: str) -> Message:
    role = _ROLES.get(said.role)
    if role is None:
        path = f"{place}.role"
        raise InvalidRequest(f"{path} must be one of {', '.join(_ROLES)}", param=path)
    if isinstance(said.content, str):
        return Message(role=role, parts=(model.Text(text=said.content),), place=place)
    parts = [_part(part, f"{place}.content[{number}]") for number, part in enumerate(said.content)]
    if role in (Role.SYSTEM, Role.DEVELOPER) and not all(isinstance(part, model.Text) for part in parts):
        raise InvalidRequest(f"{place}.content must be text", param=f"{place}.content")
    return Message(role=role, parts=tuple(parts), place=place)


def _part(part: wire.InputPart, place: str) -> Part:
    match part:
        case wire.InputText() | wire.InputImage() | wire.InputFile():
            return _input(part, place)
        case wire.InputAudio():
            return model.Audio(data=part.input_audio.data, format=part.input_audio.format)
        case wire.SaidText():
            return model.Text(text=part.text)
        case wire.SaidRefusal():
            return model.Refusal(text=part.refusal)


def _input(part: wire.ResultPart, place: str) -> model.Text | model.Image | model.File:
    mark = cache_mark(None, part.prompt_cache_breakpoint)
    match part:
        case wire.InputText():
            return model.Text(text=part.text, cache=mark)
        case wire.InputImage():
            if bool(part.image_url) == bool(part.file_id):
                raise InvalidRequest(f"{place} needs one of image_url and file_id", param=place)
            if part.file_id:
                return model.Image(file_id=part.file_id, detail=part.detail or "", cache=mark)
            return image_of(part.image_url or "", part.detail or "", mark)
        case wire.InputFile():
            if part.file_url:
                return model.File(url=part.file_url, name=part.filename or "", cache=mark)
            return file_of(part.file_data or "", part.file_id or "", part.filename or "", mark, place)


def _result(result: wire.ResultItem, place: str) -> tuple[model.Text | model.Image | model.File, ...]:
    if isinstance(result.output, str):
        return (model.Text(text=result.output),) if result.output else ()
    return tuple([_input(part, f"{place}.output[{number}]") for number, part in enumerate(result.output)])


def _thought(item: wire.ReasoningItem) -> model.Reasoning:
    text = "".join([piece.text for piece in item.summary or item.content or ()])
    return unsealed(text, item.encrypted_content or "", OWN, encrypted=True)


def _tool(raw: Raw, place: str) -> model.Tool:
    kind = read(bytes(raw), _look, place).type
    if kind is None:
        raise InvalidRequest(f"missing required parameter: {place}.type", param=f"{place}.type")
    if kind != "function":
        return model.NativeTool(dialect=Dialect.RESPONSES, type=kind, raw=raw, place=place)
    tool = read(bytes(raw), _decode_tool, place)
    return model.Function(
        name=tool.name,
        description=tool.description or "",
        parameters=present(tool.parameters),
        strict=tool.strict,
    )


def _tool_choice(choice: str | wire.ChosenTool | None) -> model.ToolChoice | None:
    if choice is None:
        return None
    if isinstance(choice, str):
        return model.ToolChoice(mode=_mode(choice, "tool_choice"))
    if choice.type == "function" and choice.name:
        return model.ToolChoice(mode=model.ToolMode.NAMED, name=choice.name)
    if choice.type == "allowed_tools" and choice.tools:
        names = tuple([tool.name for tool in choice.tools if tool.type == "function"])
        return model.ToolChoice(mode=_mode(choice.mode or "auto", "tool_choice.mode"), allowed=names)
    if choice.type in {"function", "allowed_tools"}:
        path = f"tool_choice.{'name' if choice.type == 'function' else 'tools'}"
        raise InvalidRequest(f"missing required parameter: {path}", param=path)
    raise Unsupported(f"tool_choice of type {choice.type!r} cannot be translated", param="tool_choice")


def _mode(name: str, path: str) -> model.ToolMode:
    if name not in {"auto", "none", "required"}:
        raise InvalidRequest(f"{path} must be auto, none or required", param=path)
    return model.ToolMode(name)


def _structure(text: wire.TextConfig | None) -> model.Structure | None:
    form = text.format if text is not None else None
    if form is None or form.type == "text":
        return None
    if form.type == "json_object":
        return model.Structure()
    if form.type != "json_schema":
        raise Unsupported(f"text.format {form.type!r} is not known", param="text.format.type")
    schema = present(form.schema)
    if schema is None:
        raise InvalidRequest("missing required parameter: text.format.schema", param="text.format.schema")
    return model.Structure(schema=schema, name=form.name, description=form.description or "", strict=form.strict)


def _thinking(asked: wire.Reasoning | None) -> model.Thinking | None:
    if asked is None:
        return None
    effort = effort_of(asked.effort, "reasoning.effort")
    off = effort == "none"
    return model.Thinking(
        mode=model.ThinkingMode.OFF if off else None,
        effort="" if off else effort,
        summary=asked.summary or asked.generate_summary or "",
    )
