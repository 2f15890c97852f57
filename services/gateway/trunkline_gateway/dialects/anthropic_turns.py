"""A conversation as Anthropic takes it: turns that alternate, and a tool's results right after its calls.

Results lead the turn they are in, neighbours of one role become one turn, and what is empty is left out, since it
would be refused. A call without its result, or a result without its call, is the caller's mistake.
"""

import base64
import binascii
import re

import msgspec
from msgspec import Raw

from trunkline_gateway.dialects import canonical as model
from trunkline_gateway.dialects import messages_wire as wire
from trunkline_gateway.dialects.canonical import Dialect, Message, Part, Request, Role
from trunkline_gateway.dialects.media import PDF
from trunkline_gateway.dialects.proofs import sealed
from trunkline_gateway.dialects.reading import arguments_of
from trunkline_kit.errors import InvalidRequest, Unsupported

OWN = "anthropic"
_SIDES = {
    Role.SYSTEM: "system",
    Role.DEVELOPER: "system",
    Role.USER: "user",
    Role.TOOL: "user",
    Role.ASSISTANT: "assistant",
}
_BAD_ID = re.compile(r"[^a-zA-Z0-9_-]", re.ASCII)

Block = wire.Block | Raw


class Turn(msgspec.Struct, frozen=True):
    """Neighbours of one role, put together."""

    role: str
    place: str
    blocks: list[Block]


def mark_of(mark: model.CacheMark | None) -> wire.CacheControl | None:
    """Times to live that are not Anthropic's are its default."""
    if mark is None:
        return None
    return wire.CacheControl(ttl=mark.ttl if mark.ttl in {"5m", "1h"} else None)


def turns_of(request: Request) -> list[wire.MessageOut]:
    """Raises InvalidRequest for calls and results that do not belong together."""
    turns: list[Turn] = []
    for index, said in enumerate(request.messages):
        place = said.place or f"messages[{index}]"
        role, blocks = _SIDES[said.role], _blocks(said, place)
        if not blocks:
            if said.role is Role.USER:
                raise InvalidRequest(f"{place}.content must not be empty for this model", param=f"{place}.content")
            continue
        if turns and turns[-1].role == role:
            turns[-1].blocks.extend(blocks)
        else:
            turns.append(Turn(role, place, blocks))
    if request.dialect is not Dialect.MESSAGES:
        _check_pairs(turns)
    return [wire.MessageOut(role=turn.role, content=_plain(_results_first(turn))) for turn in turns]


def _plain(blocks: list[Block]) -> str | list[Block]:
    """One text without marks as a string."""
    only = blocks[0]
    if len(blocks) == 1 and isinstance(only, wire.TextBlock) and only == wire.TextBlock(text=only.text):
        return only.text
    return blocks


def _results_first(turn: Turn) -> list[Block]:
    if turn.role != "user":
        return turn.blocks
    return sorted(turn.blocks, key=lambda block: not isinstance(block, wire.ToolResultBlock))


def _check_pairs(turns: list[Turn]) -> None:
    waiting: set[str] = set()
    before = ""
    for turn in turns:
        results = [block.tool_use_id for block in turn.blocks if isinstance(block, wire.ToolResultBlock)]
        if missing := waiting - set(results):
            raise InvalidRequest(f"the call {min(missing)!r} has no result after it", param=f"{before}.tool_calls")
        if odd := set(results) - waiting:
            raise InvalidRequest(f"the result of {min(odd)!r} has no call before it", param=turn.place)
        waiting = {block.id for block in turn.blocks if isinstance(block, wire.ToolUseBlock)}
        before = turn.place
    if waiting:
        raise InvalidRequest(f"the call {min(waiting)!r} has no result after it", param=f"{before}.tool_calls")


def _blocks(said: Message, place: str) -> list[Block]:
    found = [_block(part, f"{place}.content[{number}]") for number, part in enumerate(said.parts)]
    return [block for block in found if block is not None]


def _block(part: Part, place: str) -> Block | None:
    """None for what is left out."""
    match part:
        case model.Text() | model.Image() | model.File():
            return _content(part, place)
        case model.Refusal():
            return wire.TextBlock(text=part.text) if part.text else None
        case model.ToolCall():
            return _call(part, place)
        case model.ToolResult():
            return _result(part, place)
        case model.Reasoning():
            return _thought(part)
        case model.Native():
            return part.raw
        case model.Audio():
            raise Unsupported("audio is not supported by this model", param=place)


def _content(
    part: model.Text | model.Image | model.File, place: str
) -> wire.TextBlock | wire.ImageBlock | wire.DocumentBlock | None:
    match part:
        case model.Text():
            own = [cited.native for cited in part.citations if cited.native is not None and cited.origin == OWN]
            mark = mark_of(part.cache)
            return wire.TextBlock(text=part.text, citations=own or None, cache_control=mark) if part.text else None
        case model.Image():
            return wire.ImageBlock(source=_image_source(part), cache_control=mark_of(part.cache))
        case model.File():
            return wire.DocumentBlock(
                source=_file_source(part, place),
                title=part.name or None,
                context=part.context or None,
                citations=wire.CitationsSwitch(enabled=True) if part.wants_citations else None,
                cache_control=mark_of(part.cache),
            )


def _image_source(image: model.Image) -> wire.Base64Source | wire.UrlSource | wire.FileSource:
    if image.file_id:
        return wire.FileSource(file_id=image.file_id)
    if image.url:
        return wire.UrlSource(url=image.url)
    return wire.Base64Source(media_type=image.media_type, data=image.data)


def _file_source(
    file: model.File, place: str
) -> wire.Base64Source | wire.UrlSource | wire.FileSource | wire.TextSource:
    if file.file_id:
        return wire.FileSource(file_id=file.file_id)
    if file.url:
        return wire.UrlSource(url=file.url)
    if file.text:
        return wire.TextSource(media_type="text/plain", data=file.text)
    if file.media_type.startswith("text/"):
        return wire.TextSource(media_type="text/plain", data=_decoded(file.data, place))
    if file.media_type != PDF:
        raise Unsupported(f"files of type {file.media_type!r} are not supported by this model", param=place)
    return wire.Base64Source(media_type=PDF, data=file.data)


def _decoded(data: str, place: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(f"{place} is not a text in base64", param=place) from error


def _call(call: model.ToolCall, place: str) -> wire.ToolUseBlock:
    return wire.ToolUseBlock(
        id=_id(call.id), name=call.name, input=arguments_of(call, place), cache_control=mark_of(call.cache)
    )


def _id(call_id: str) -> str:
    """Other providers' ids have characters that Anthropic refuses."""
    return _BAD_ID.sub("_", call_id)


def _result(result: model.ToolResult, place: str) -> wire.ToolResultBlock:
    found = [_content(part, f"{place}.content[{number}]") for number, part in enumerate(result.parts)]
    pieces = [piece for piece in found if piece is not None]
    only = pieces[0] if len(pieces) == 1 else None
    is_plain = isinstance(only, wire.TextBlock) and only.cache_control is None
    return wire.ToolResultBlock(
        tool_use_id=_id(result.call_id),
        content=only.text if is_plain and isinstance(only, wire.TextBlock) else pieces or None,
        is_error=result.is_error or None,
        cache_control=mark_of(result.cache),
    )


def _thought(thought: model.Reasoning) -> Block | None:
    """Only what Anthropic itself has signed or encrypted; anything else it would refuse."""
    proof = sealed(thought, OWN)
    if thought.origin != OWN or not proof:
        return None
    if thought.encrypted:
        return wire.RedactedBlock(data=proof)
    return wire.ThinkingBlock(thinking=thought.text, signature=proof)
