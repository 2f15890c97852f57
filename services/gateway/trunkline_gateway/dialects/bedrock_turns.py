"""A conversation as Converse takes it: turns that alternate, a tool's results right after its calls, marks as blocks.

Results lead the turn they are in, neighbours of one role become one turn, and what is empty is left out, since it
would be refused. A call without its result, or a result without its call, is the caller's mistake.
"""

import base64
import hashlib
import re

from trunkline_gateway.dialects import bedrock_wire as wire
from trunkline_gateway.dialects import canonical as model
from trunkline_gateway.dialects.bedrock_models import Family
from trunkline_gateway.dialects.canonical import Message, Part, Request, Role
from trunkline_gateway.dialects.reading import arguments_of
from trunkline_kit.errors import InvalidRequest, Unsupported

OWN = "bedrock"
_SIGNERS = frozenset({OWN, "anthropic"})
"""Whose signatures Claude behind Bedrock takes: Anthropic's hold on every platform."""
_SIDES = {
    Role.SYSTEM: "system",
    Role.DEVELOPER: "system",
    Role.USER: "user",
    Role.TOOL: "user",
    Role.ASSISTANT: "assistant",
}
_IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/jpg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
_DOCUMENTS = {
    "application/pdf": "pdf",
    "text/plain": "txt",
    "text/csv": "csv",
    "text/html": "html",
    "text/markdown": "md",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
}
_BAD_IN_ID = re.compile(r"[^a-zA-Z0-9_.:-]", re.ASCII)
_ID_CHARS_MAX = 64
_BAD_IN_NAME = re.compile(r"[^a-zA-Z0-9()\[\]-]+", re.ASCII)
_NAME_CHARS_MAX = 180


def mark_of(mark: model.CacheMark | None, family: Family) -> wire.CachePoint | None:
    """None for models without a cache of prompts: no answer depends on it."""
    if mark is None or not family.cache_points:
        return None
    return wire.CachePoint(type="default", ttl="1h" if mark.ttl == "1h" and family.cache_tools else None)


def turns_of(request: Request, family: Family) -> list[wire.Message]:
    """Raises InvalidRequest for calls and results that do not belong together."""
    writer = _Writer(family)
    turns: list[tuple[str, str, list[wire.Block]]] = []
    for index, said in enumerate(request.messages):
        place = said.place or f"messages[{index}]"
        role, blocks = _SIDES[said.role], writer.blocks(said, place)
        if not blocks:
            if said.role is Role.USER:
                raise InvalidRequest(f"{place}.content must not be empty for this model", param=f"{place}.content")
        elif turns and turns[-1][0] == role:
            turns[-1][2].extend(blocks)
        else:
            turns.append((role, place, blocks))
    _check_pairs(turns)
    if turns and (mark := mark_of(request.cache, family)) is not None and turns[-1][2][-1].cache_point is None:
        turns[-1][2].append(wire.Block(cache_point=mark))
    return [wire.Message(role=role, content=_results_first(role, blocks)) for role, _place, blocks in turns]


def has_calls(turns: list[wire.Message]) -> bool:
    """Whether tools are spoken of, which Converse only takes together with their definitions."""
    return any(block.tool_use is not None or block.tool_result is not None for turn in turns for block in turn.content)


def called_in(turns: list[wire.Message]) -> list[str]:
    """Names of the tools that were called, each once."""
    return [*dict.fromkeys(block.tool_use.name for turn in turns for block in turn.content if block.tool_use)]


def _results_first(role: str, blocks: list[wire.Block]) -> list[wire.Block]:
    """With the mark that may follow each of them."""
    if role != "user" or not any(block.tool_result for block in blocks):
        return blocks
    results: list[wire.Block] = []
    rest: list[wire.Block] = []
    last = rest
    for block in blocks:
        if block.cache_point is None:
            last = results if block.tool_result is not None else rest
        last.append(block)
    return results + rest


def _check_pairs(turns: list[tuple[str, str, list[wire.Block]]]) -> None:
    waiting: set[str] = set()
    before = ""
    for _role, place, blocks in turns:
        results = {block.tool_result.tool_use_id for block in blocks if block.tool_result}
        if missing := waiting - results:
            raise InvalidRequest(f"the call {min(missing)!r} has no result after it", param=before)
        if odd := results - waiting:
            raise InvalidRequest(f"the result of {min(odd)!r} has no call before it", param=place)
        waiting = {block.tool_use.tool_use_id for block in blocks if block.tool_use}
        before = place
    if waiting:
        raise InvalidRequest(f"the call {min(waiting)!r} has no result after it", param=before)


class _Writer:
    """Of one request: names of documents must differ."""

    def __init__(self, family: Family) -> None:
        self._family = family
        self._documents = 0

    def blocks(self, said: Message, place: str) -> list[wire.Block]:
        found: list[wire.Block] = []
        for number, part in enumerate(said.parts):
            block = self._block(part, f"{place}.content[{number}]")
            if block is None:
                continue
            found.append(block)
            mark = mark_of(getattr(part, "cache", None), self._family)
            if mark is not None:
                found.append(wire.Block(cache_point=mark))
        return found

    def _block(self, part: Part, place: str) -> wire.Block | None:
        """None for what is left out."""
        match part:
            case model.Text() | model.Refusal():
                return wire.Block(text=part.text) if part.text.strip() else None
            case model.Image():
                return wire.Block(image=_image(part, place))
            case model.File():
                return wire.Block(document=self._document(part, place))
            case model.ToolCall():
                return wire.Block(tool_use=_call(part, place))
            case model.ToolResult():
                return wire.Block(tool_result=self._result(part, place))
            case model.Reasoning():
                thought = _thought(part) if self._family.anthropic_fields else None
                return None if thought is None else wire.Block(reasoning_content=thought)
            case _:
                raise Unsupported("such parts are not supported by this model", param=place)

    def _document(self, file: model.File, place: str) -> wire.Document:
        media_type = file.media_type.partition(";")[0].strip() or ("text/plain" if file.text else "application/pdf")
        kind = "txt" if file.text else _DOCUMENTS.get(media_type)
        if kind is None:
            raise Unsupported(f"files of type {file.media_type!r} are not supported by this model", param=place)
        self._documents += 1
        name = _BAD_IN_NAME.sub(" ", file.name).strip()[:_NAME_CHARS_MAX]
        return wire.Document(
            name=f"{self._documents} {name or 'document'}",
            format=kind,
            source=_source(file),
            context=file.context or None,
            citations=wire.Switch(enabled=True) if file.wants_citations else None,
        )

    def _result(self, result: model.ToolResult, place: str) -> wire.ToolResult:
        pieces: list[wire.ResultPiece] = []
        for number, part in enumerate(result.parts):
            inner = f"{place}.content[{number}]"
            match part:
                case model.Text():
                    pieces += [wire.ResultPiece(text=part.text)] if part.text else []
                case model.Image():
                    pieces.append(wire.ResultPiece(image=_image(part, inner)))
                case model.File():
                    pieces.append(wire.ResultPiece(document=self._document(part, inner)))
        failed = result.is_error and self._family.result_status
        return wire.ToolResult(tool_use_id=_id(result.call_id), content=pieces, status="error" if failed else None)


def _source(file: model.File) -> wire.Source:
    """A text that is to be cited is sent as such, so that places in it are counted in characters."""
    if not file.text:
        return wire.Source(bytes=file.data)
    if file.wants_citations:
        return wire.Source(text=file.text)
    return wire.Source(bytes=base64.b64encode(file.text.encode()).decode())


def _image(image: model.Image, place: str) -> wire.Image:
    kind = _IMAGES.get(image.media_type.lower())
    if kind is None:
        raise Unsupported(f"images of type {image.media_type!r} are not supported by this model", param=place)
    return wire.Image(format=kind, source=wire.Source(bytes=image.data))


def _call(call: model.ToolCall, place: str) -> wire.ToolUse:
    return wire.ToolUse(tool_use_id=_id(call.id), name=call.name, input=arguments_of(call, place))


def _id(call_id: str) -> str:
    """Other providers' ids have characters that Bedrock refuses, or are too long; theirs must stay different."""
    clean = _BAD_IN_ID.sub("_", call_id)
    if clean == call_id and 0 < len(clean) <= _ID_CHARS_MAX:
        return clean
    digest = hashlib.sha256(call_id.encode()).hexdigest()[:12]
    return f"{clean[: _ID_CHARS_MAX - 13]}_{digest}"


def _thought(thought: model.Reasoning) -> wire.Reasoning | None:
    """Only what the model itself has signed or encrypted; anything else it would refuse."""
    if thought.encrypted and thought.origin == OWN:
        return wire.Reasoning(redacted_content=thought.encrypted)
    if thought.signature and thought.origin in _SIGNERS:
        signed = wire.ReasoningText(text=thought.text, signature=thought.signature)
        return wire.Reasoning(reasoning_text=signed)
    return None
