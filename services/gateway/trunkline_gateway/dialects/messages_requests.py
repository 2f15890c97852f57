"""A caller's Messages request as the canonical one. Raises InvalidRequest and Unsupported, with the field's path."""

import msgspec
from msgspec import Raw

from trunkline_gateway.dialects import canonical as model
from trunkline_gateway.dialects import messages_wire as wire
from trunkline_gateway.dialects.canonical import CacheMark, Citation, Dialect, Part, Role
from trunkline_gateway.dialects.proofs import unsealed
from trunkline_gateway.dialects.reading import compact, effort_of, extras_of, present, read
from trunkline_kit.errors import InvalidRequest, Unsupported

OWN = "anthropic"
"""Whose proofs stand unmarked in this dialect."""

_KNOWN = frozenset(wire.Body.__struct_fields__)
_ROLES = {"user": Role.USER, "assistant": Role.ASSISTANT, "system": Role.SYSTEM}
_TOOL_MODES = {"auto": model.ToolMode.AUTO, "any": model.ToolMode.REQUIRED, "none": model.ToolMode.NONE}
_SUMMARIES = {"summarized": "auto", "omitted": "none"}


class _Look(msgspec.Struct, frozen=True):
    type: str | None = None


class _Cited(msgspec.Struct, frozen=True):
    url: str = ""
    title: str | None = None
    document_title: str | None = None
    cited_text: str = ""


_decode_body = msgspec.json.Decoder(wire.Body)
_decode_block: msgspec.json.Decoder[wire.Block] = msgspec.json.Decoder(wire.Block)
_decode_tool = msgspec.json.Decoder(wire.Tool)
_look = msgspec.json.Decoder(_Look)
_decode_citation = msgspec.json.Decoder(_Cited)


def decode_request(body: bytes) -> model.Request:
    """POST /v1/messages."""
    asked = read(body, _decode_body)
    choice = asked.tool_choice
    one_at_a_time = choice.disable_parallel_tool_use if choice is not None else None
    return model.Request(
        dialect=Dialect.MESSAGES,
        model=asked.model,
        instructions=_instructions(asked.system),
        messages=tuple([_message(said, f"messages[{i}]") for i, said in enumerate(asked.messages)]),
        tools=tuple([_tool(raw, f"tools[{i}]") for i, raw in enumerate(asked.tools or ())]),
        tool_choice=_tool_choice(choice),
        parallel_tool_calls=None if one_at_a_time is None else not one_at_a_time,
        sampling=model.Sampling(temperature=asked.temperature, top_p=asked.top_p, top_k=asked.top_k),
        stops=tuple(asked.stop_sequences or ()),
        output_tokens_max=asked.max_tokens,
        structure=_structure(asked),
        thinking=_thinking(asked),
        end_user=(asked.metadata.user_id if asked.metadata else "") or "",
        cache=_mark(asked.cache_control),
        stream=bool(asked.stream),
        stream_usage=True,
        extras=extras_of(body, _KNOWN),
    )


def _mark(mark: wire.CacheControl | None) -> CacheMark | None:
    return None if mark is None else CacheMark(ttl=mark.ttl or "")


def _instructions(system: str | list[wire.TextBlock] | None) -> tuple[model.Instruction, ...]:
    if not system:
        return ()
    if isinstance(system, str):
        return (model.Instruction(text=system),)
    return tuple([model.Instruction(text=block.text, cache=_mark(block.cache_control)) for block in system])


def _structure(asked: wire.Body) -> model.Structure | None:
    form = (asked.output_config.format if asked.output_config else None) or asked.output_format
    return None if form is None else model.Structure(schema=form.schema)


def _thinking(asked: wire.Body) -> model.Thinking | None:
    effort = effort_of(asked.output_config.effort if asked.output_config else None, "output_config.effort")
    switch = asked.thinking
    if switch is None:
        return model.Thinking(effort=effort) if effort else None
    mode = wire.THINKING_MODES.get(switch.type)
    if mode is None:
        raise Unsupported(f"thinking of type {switch.type!r} cannot be translated", param="thinking.type")
    if mode is model.ThinkingMode.ON and switch.budget_tokens is None:
        raise InvalidRequest("missing required parameter: thinking.budget_tokens", param="thinking.budget_tokens")
    return model.Thinking(
        mode=mode,
        effort=effort,
        budget_tokens=switch.budget_tokens,
        summary=_SUMMARIES.get(switch.display or "", ""),
    )


def _tool_choice(choice: wire.ToolChoice | None) -> model.ToolChoice | None:
    if choice is None:
        return None
    if choice.type == "tool":
        if not choice.name:
            raise InvalidRequest("missing required parameter: tool_choice.name", param="tool_choice.name")
        return model.ToolChoice(mode=model.ToolMode.NAMED, name=choice.name)
    mode = _TOOL_MODES.get(choice.type)
    if mode is None:
        raise InvalidRequest("tool_choice.type must be auto, any, tool or none", param="tool_choice.type")
    return model.ToolChoice(mode=mode)


def _tool(raw: Raw, place: str) -> model.Tool:
    kind = read(bytes(raw), _look, place).type
    if kind not in (None, "custom"):
        return model.NativeTool(dialect=Dialect.MESSAGES, type=kind, raw=raw, place=place)
    tool = read(bytes(raw), _decode_tool, place)
    return model.Function(
        name=tool.name,
        description=tool.description or "",
        parameters=present(tool.input_schema),
        strict=tool.strict,
        cache=_mark(tool.cache_control),
    )


def _message(said: wire.MessageIn, place: str) -> model.Message:
    role = _ROLES.get(said.role)
    if role is None:
        raise InvalidRequest(f"{place}.role must be user or assistant", param=f"{place}.role")
    if isinstance(said.content, str):
        parts: tuple[Part, ...] = (model.Text(text=said.content),) if said.content else ()
        return model.Message(role=role, parts=parts, place=place)
    found = [_part(raw, f"{place}.content[{number}]") for number, raw in enumerate(said.content)]
    return model.Message(role=role, parts=tuple(found), place=place)


def _part(raw: Raw, place: str) -> Part:
    kind = read(bytes(raw), _look, place).type
    if kind is None:
        raise InvalidRequest(f"missing required parameter: {place}.type", param=f"{place}.type")
    if kind not in wire.BLOCK_TYPES:
        return model.Native(dialect=Dialect.MESSAGES, type=kind, raw=raw)
    block: wire.Block = read(bytes(raw), _decode_block, place)
    match block:
        case wire.TextBlock() | wire.ImageBlock() | wire.DocumentBlock():
            return _content(block)
        case wire.ThinkingBlock():
            return unsealed(block.thinking, block.signature, OWN, encrypted=False)
        case wire.RedactedBlock():
            return unsealed("", block.data, OWN, encrypted=True)
        case wire.ToolUseBlock():
            return _call(block, place)
        case wire.ToolResultBlock():
            return _result(block)


def _content(block: wire.TextBlock | wire.ImageBlock | wire.DocumentBlock) -> model.Text | model.Image | model.File:
    mark = _mark(block.cache_control)
    match block:
        case wire.TextBlock():
            return model.Text(text=block.text, citations=citations_of(block.citations), cache=mark)
        case wire.ImageBlock():
            return _image(block.source, mark)
        case wire.DocumentBlock():
            return _file(block, mark)


def _image(source: wire.Base64Source | wire.UrlSource | wire.FileSource, mark: CacheMark | None) -> model.Image:
    match source:
        case wire.Base64Source():
            return model.Image(data=source.data, media_type=source.media_type, cache=mark)
        case wire.UrlSource():
            return model.Image(url=source.url, cache=mark)
        case wire.FileSource():
            return model.Image(file_id=source.file_id, cache=mark)


def _file(block: wire.DocumentBlock, mark: CacheMark | None) -> model.File:
    source = block.source
    plain = model.File(
        name=block.title or "",
        context=block.context or "",
        wants_citations=bool(block.citations and block.citations.enabled),
        cache=mark,
    )
    match source:
        case wire.Base64Source():
            return msgspec.structs.replace(plain, data=source.data, media_type=source.media_type)
        case wire.UrlSource():
            return msgspec.structs.replace(plain, url=source.url)
        case wire.FileSource():
            return msgspec.structs.replace(plain, file_id=source.file_id)
        case wire.TextSource():
            return msgspec.structs.replace(plain, text=source.data, media_type=source.media_type)


def citations_of(raws: list[Raw] | None) -> tuple[Citation, ...]:
    """Anthropic's citations: those on the web by URL, all of them as they came."""
    return tuple([citation_of(raw) for raw in raws or ()])


def citation_of(raw: Raw) -> Citation:
    try:
        cited = _decode_citation.decode(raw)
    except msgspec.DecodeError:
        cited = _Cited()
    title = cited.title or cited.document_title or ""
    return Citation(url=cited.url, title=title, quote=cited.cited_text, native=raw, origin=OWN)


def _call(block: wire.ToolUseBlock, place: str) -> model.ToolCall:
    if block.caller is not None and block.caller.type != "direct":
        raise Unsupported("calls made by the provider's code cannot be translated", param=f"{place}.caller")
    text = compact(block.input)
    if not text.startswith("{"):
        raise InvalidRequest(f"{place}.input must be an object", param=f"{place}.input")
    return model.ToolCall(
        id=block.id, name=block.name, arguments=text, place=f"{place}.input", cache=_mark(block.cache_control)
    )


def _result(block: wire.ToolResultBlock) -> model.ToolResult:
    content = block.content
    parts: tuple[model.Text | model.Image | model.File, ...]
    if content is None or content == "":
        parts = ()
    elif isinstance(content, str):
        parts = (model.Text(text=content),)
    else:
        parts = tuple([_content(piece) for piece in content])
    return model.ToolResult(
        call_id=block.tool_use_id,
        parts=parts,
        is_error=bool(block.is_error),
        cache=_mark(block.cache_control),
    )
