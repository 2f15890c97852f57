"""What a request asks of a model, seen without taking it apart: to choose among deployments of different abilities.

One form for all dialects of callers, since their names do not collide. The same question in full, with the field to
blame, is `abilities.refuse`; a test holds the two together.
"""

from collections.abc import Iterator, Sequence

import msgspec
from msgspec import Raw

from trunkline_gateway.dialects.canonical import Dialect
from trunkline_gateway.dialects.messages_wire import BLOCK_TYPES

NATIVE = "native"
"""Tools and parts that only their own dialect knows; in `Abilities` the dialect itself."""
_NULL = Raw(b"null")
_INSTRUCT = frozenset({"system", "developer"})
_FUNCTIONS: frozenset[str | None] = frozenset({"function"})
_FUNCTIONS_OF_MESSAGES: frozenset[str | None] = frozenset({"custom", None})
"""Types of tools that callers run."""
_LOGPROBS = "message.output_text.logprobs"
_PARTS = BLOCK_TYPES | {
    "image_url",
    "input_audio",
    "file",
    "refusal",
    "input_text",
    "input_image",
    "input_file",
    "output_text",
    "",
}
_ITEMS = frozenset({"message", "function_call", "function_call_output", "reasoning", ""})


class _Typed(msgspec.Struct, frozen=True, gc=False):
    type: str = ""


class _FileRef(msgspec.Struct, frozen=True, gc=False):
    file_id: Raw = _NULL


class _ImageUrl(msgspec.Struct, frozen=True, gc=False):
    url: Raw = _NULL


class _Part(msgspec.Struct, frozen=True):
    """Of a message or of a tool's result."""

    type: str = ""
    image_url: Raw = _NULL
    file: _FileRef | None = None
    source: _Typed | None = None
    content: "str | list[_Part] | None" = None
    file_id: Raw = _NULL
    file_url: Raw = _NULL


class _Said(msgspec.Struct, frozen=True):
    """A message or an item."""

    role: str = ""
    type: str = ""
    content: str | list[_Part] | None = None
    output: str | list[_Part] | None = None
    audio: Raw = _NULL


class _Tool(msgspec.Struct, frozen=True):
    type: str | None = None


class _Formatted(msgspec.Struct, frozen=True):
    format: _Typed | None = None
    verbosity: str | None = None
    effort: str | None = None


class _Thinking(msgspec.Struct, frozen=True):
    budget_tokens: int | None = None


class _Choice(msgspec.Struct, frozen=True):
    type: str | None = None
    disable_parallel_tool_use: bool | None = None


class _Asked(msgspec.Struct, frozen=True):
    """The top level of every dialect."""

    messages: list[_Said] = []
    input: Raw = _NULL
    tools: list[_Tool] | None = None
    tool_choice: str | _Choice | None = None
    parallel_tool_calls: bool | None = None
    response_format: _Typed | None = None
    output_format: _Typed | None = None
    output_config: _Formatted | None = None
    text: _Formatted | None = None
    reasoning: _Formatted | None = None
    reasoning_effort: str | None = None
    thinking: _Thinking | None = None
    verbosity: str | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    include: list[str] | None = None
    n: int | None = None
    modalities: list[str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: Raw = _NULL
    stop: str | list[str] | None = None
    stop_sequences: list[str] | None = None


_decode = msgspec.json.Decoder(_Asked).decode
_decode_items = msgspec.json.Decoder(list[_Said]).decode
_decode_image = msgspec.json.Decoder(_ImageUrl).decode
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def needs(body: bytes, dialect: Dialect) -> frozenset[str]:
    """Names of abilities. Nothing for what cannot be read: whoever gets it will say why."""
    functions = _FUNCTIONS_OF_MESSAGES if dialect is Dialect.MESSAGES else _FUNCTIONS
    try:
        asked = _decode(body)
        tools = _of_tools(asked, functions)
        return frozenset((*_of_fields(asked), *_of_sampling(asked), *tools, *_of_items(asked)))
    except _UNREADABLE:
        return frozenset()


def _of_fields(asked: _Asked) -> Iterator[str]:
    forms = (asked.response_format, asked.output_format, _format_of(asked.text), _format_of(asked.output_config))
    for form in forms:
        if form is not None and form.type in {"json_object", "json_schema"}:
            yield form.type
    if asked.logprobs or asked.top_logprobs or (asked.include and _LOGPROBS in asked.include):
        yield "logprobs"
    if asked.n is not None and asked.n > 1:
        yield "choices"
    if asked.modalities and "audio" in asked.modalities:
        yield "audio_output"
    if (asked.verbosity or (asked.text and asked.text.verbosity) or "medium") != "medium":
        yield "verbosity"
    if asked.stop or asked.stop_sequences:
        yield "stops"
    if _thinks(asked):
        yield "thinking"


def _format_of(holder: _Formatted | None) -> _Typed | None:
    return None if holder is None else holder.format


def _thinks(asked: _Asked) -> bool:
    efforts = (
        asked.reasoning_effort,
        asked.reasoning.effort if asked.reasoning is not None else None,
        asked.output_config.effort if asked.output_config is not None else None,
    )
    budgeted = asked.thinking is not None and asked.thinking.budget_tokens is not None
    return budgeted or any(effort not in {None, "", "none"} for effort in efforts)


def _of_sampling(asked: _Asked) -> Iterator[str]:
    if asked.temperature not in (None, 1.0) or asked.top_p not in (None, 1.0):
        yield "sampling"
    if asked.top_k is not None:
        yield "top_k"
    if asked.seed is not None:
        yield "seed"
    if asked.frequency_penalty or asked.presence_penalty:
        yield "penalties"
    if bytes(asked.logit_bias) not in (b"null", b"{}"):
        yield "logit_bias"


def _of_tools(asked: _Asked, functions: frozenset[str | None]) -> Iterator[str]:
    choice = asked.tool_choice if isinstance(asked.tool_choice, _Choice) else None
    if choice is not None and choice.type == "allowed_tools":
        yield "allowed_tools"
    if not asked.tools:
        return
    kinds = {tool.type in functions for tool in asked.tools}
    if True in kinds:
        yield "tools"
    if False in kinds:
        yield NATIVE
    if asked.parallel_tool_calls is False or (choice is not None and choice.disable_parallel_tool_use):
        yield "one_tool_at_a_time"


def _of_items(asked: _Asked) -> Iterator[str]:
    items: Sequence[_Said] = asked.messages
    if _begins(asked.input, b"["):
        items = _decode_items(asked.input)
    begun = False
    for item in items:
        if item.role not in _INSTRUCT:
            begun = True
        elif begun:
            yield "midway_instructions"
        if item.type not in _ITEMS:
            yield NATIVE
        if isinstance(item.content, list):
            yield from _of_parts(item.content)
        if isinstance(item.output, list):
            yield from _of_results(item.output)
        if bytes(item.audio) != b"null":
            yield "audio_output"


def _of_parts(parts: Sequence[_Part]) -> Iterator[str]:
    for part in parts:
        kind = part.type
        if kind in {"image_url", "input_image", "image"}:
            yield from _of_image(part)
        elif kind in {"file", "input_file", "document"}:
            yield from _of_file(part)
        elif kind == "input_audio":
            yield "audio_input"
        elif kind == "tool_result" and isinstance(part.content, list):
            yield from _of_results(part.content)
        elif kind not in _PARTS:
            yield NATIVE


def _of_results(parts: Sequence[_Part]) -> Iterator[str]:
    if any(part.type not in {"text", "input_text"} for part in parts):
        yield "tool_result_media"
        yield from _of_parts(parts)


def _of_image(part: _Part) -> Iterator[str]:
    yield "images"
    if bytes(part.file_id) != b"null" or _source_is(part, "file"):
        yield "file_ids"
    elif _source_is(part, "url") or _is_link(part.image_url):
        yield "image_urls"


def _of_file(part: _Part) -> Iterator[str]:
    yield "files"
    held = part.file.file_id if part.file is not None else part.file_id
    if bytes(held) != b"null" or _source_is(part, "file"):
        yield "file_ids"
    elif _source_is(part, "url") or bytes(part.file_url) != b"null":
        yield "file_urls"
    elif _source_is(part, "text"):
        yield "file_text"


def _source_is(part: _Part, kind: str) -> bool:
    return part.source is not None and part.source.type == kind


def _is_link(image_url: Raw) -> bool:
    found = _decode_image(image_url).url if _begins(image_url, b"{") else image_url
    return _begins(found, b'"') and not _begins(found, b'"data:')


def _begins(raw: Raw, text: bytes) -> bool:
    """Without a copy: what is looked at may be megabytes of an image."""
    return bytes(memoryview(raw)[: len(text)]) == text
