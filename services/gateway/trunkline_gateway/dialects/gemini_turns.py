"""A conversation as Gemini takes it: contents of users and models, results in the order of their calls.

A call's signature must come back on the call. Where the client's dialect has no place for it there, it comes as a
thought without a text before its call (`gemini_answers.py` says how it got there); a text's, as an encrypted thought.
"""

import base64
from collections import deque
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

import msgspec

from trunkline_gateway.dialects import canonical as model
from trunkline_gateway.dialects import gemini_wire as wire
from trunkline_gateway.dialects.abilities import field_name
from trunkline_gateway.dialects.canonical import Message, Part, Request, Role
from trunkline_gateway.dialects.media import PDF
from trunkline_gateway.dialects.reading import arguments_of
from trunkline_kit.errors import InvalidRequest, Unsupported

OWN: Final = "gemini"
"""Whose signatures are sent back."""
UNSIGNED: Final = "skip_thought_signature_validator"
"""In place of a signature that there is none of: the call was another model's. Source: Google, "Thought signatures"."""

_TYPES: Final = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "heic": "image/heic",
    "heif": "image/heif",
    "gif": "image/gif",
    "pdf": PDF,
    "txt": "text/plain",
    "html": "text/html",
    "csv": "text/csv",
    "md": "text/markdown",
    "mp3": "audio/mp3",
    "wav": "audio/wav",
    "mp4": "video/mp4",
}
"""By a URL's ending."""


class Turn(msgspec.Struct, frozen=True):
    """Neighbours of one role, put together."""

    role: str
    place: str
    parts: list[wire.PartOut]


def contents_of(request: Request, *, checks_signatures: bool) -> list[wire.Content]:
    """Raises InvalidRequest for calls and results that do not belong together."""
    turns: list[Turn] = []
    names: dict[str, str] = {}
    for index, said in enumerate(request.messages):
        place = said.place or f"{field_name(request, 'messages')}[{index}]"
        role = "model" if said.role is Role.ASSISTANT else "user"
        parts = _said(said.parts, names, place) if role == "model" else _asked(said, names, place)
        if not parts:
            if said.role is Role.USER:
                raise InvalidRequest(f"{place}.content must not be empty for this model", param=f"{place}.content")
            continue
        if turns and turns[-1].role == role:
            turns[-1].parts.extend(parts)
        else:
            turns.append(Turn(role, place, parts))
    if not turns:
        name = field_name(request, "messages")
        raise InvalidRequest(f"this model needs something to answer to in {name}", param=name)
    return [
        wire.Content(role=turn.role, parts=parts) for turn, parts in _paired(turns, checks_signatures=checks_signatures)
    ]


def _paired(turns: list[Turn], *, checks_signatures: bool) -> list[tuple[Turn, list[wire.PartOut]]]:
    """Results lead their turn, in the order of the calls before them; every call has one."""
    found: list[tuple[Turn, list[wire.PartOut]]] = []
    waiting: list[str] = []
    before = ""
    for turn in turns:
        results = [part for part in turn.parts if part.function_response is not None]
        ids = [part.function_response.id for part in results if part.function_response is not None]
        _check_pairs(waiting, ids, before, turn.place)
        order = {call_id: number for number, call_id in enumerate(waiting)}
        results.sort(key=lambda part: order.get(part.function_response.id if part.function_response else "", 0))
        others = [part for part in turn.parts if part.function_response is None]
        found.append((turn, [*results, *(_signed(others) if checks_signatures else others)]))
        waiting = [part.function_call.id for part in others if part.function_call is not None]
        before = turn.place
    _check_pairs(waiting, [], before, "")
    return found


def _check_pairs(calls: list[str], results: list[str], before: str, place: str) -> None:
    if missing := set(calls) - set(results):
        raise InvalidRequest(f"the call {min(missing)!r} has no result after it", param=f"{before}.tool_calls")
    if odd := set(results) - set(calls):
        raise InvalidRequest(f"the result of {min(odd)!r} has no call before it", param=place)


def _signed(parts: list[wire.PartOut]) -> list[wire.PartOut]:
    """The first of calls that were made together has a signature; a false one, if there is none."""
    first = next((number for number, part in enumerate(parts) if part.function_call is not None), None)
    if first is None or parts[first].thought_signature:
        return parts
    signed = msgspec.structs.replace(parts[first], thought_signature=UNSIGNED)
    return [*parts[:first], signed, *parts[first + 1 :]]


def _said(parts: Sequence[Part], names: dict[str, str], place: str) -> list[wire.PartOut]:
    """A model's own turn."""
    found: list[wire.PartOut] = []
    waiting: deque[str] = deque()
    """Signatures whose calls are still to come."""
    for number, part in enumerate(parts):
        match part:
            case model.Reasoning():
                found += _thought(part, waiting)
            case model.ToolCall():
                names[part.id] = part.name
                found.append(_call(part, waiting, f"{place}.content[{number}]"))
            case model.Text() | model.Refusal():
                found += [wire.PartOut(text=part.text)] if part.text else []
            case _:
                found.append(_media(part, f"{place}.content[{number}]"))
    return found


def _thought(thought: model.Reasoning, waiting: deque[str]) -> list[wire.PartOut]:
    """Those of other providers are left out, as are those without a signature: they would prove nothing."""
    if thought.origin != OWN:
        return []
    if thought.encrypted:
        return [wire.PartOut(text=thought.text, thought_signature=thought.encrypted)]
    if thought.text:
        return [wire.PartOut(text=thought.text, thought=True, thought_signature=thought.signature)]
    waiting.append(thought.signature)
    return []


def _call(call: model.ToolCall, waiting: deque[str], place: str) -> wire.PartOut:
    signature = call.signature
    if waiting and signature in ("", waiting[0]):
        signature = waiting.popleft()
    sent = wire.CallOut(id=call.id, name=call.name, args=arguments_of(call, place))
    return wire.PartOut(function_call=sent, thought_signature=signature)


def _asked(said: Message, names: dict[str, str], place: str) -> list[wire.PartOut]:
    """A user's turn, or a tool's."""
    found: list[wire.PartOut] = []
    for number, part in enumerate(said.parts):
        inner = f"{place}.content[{number}]"
        match part:
            case model.ToolResult():
                found.append(_result(part, names.get(part.call_id) or part.name, inner))
            case model.Text():
                found += [wire.PartOut(text=part.text)] if part.text else []
            case model.File(context=context) if context:
                found += [wire.PartOut(text=context), _media(part, inner)]
            case _:
                found.append(_media(part, inner))
    return found


def _result(result: model.ToolResult, name: str, place: str) -> wire.PartOut:
    if not name:
        raise InvalidRequest(f"the result of {result.call_id!r} has no call before it", param=place)
    texts = [part.text for part in result.parts if isinstance(part, model.Text)]
    media: list[wire.MediaOut] = []
    for number, part in enumerate(result.parts):
        if isinstance(part, model.Text):
            continue
        shown = _media(part, f"{place}.content[{number}]").inline_data
        if shown is None:
            text = "images and files by URL in tool results are not supported by this model: send their data"
            raise Unsupported(text, param=f"{place}.content[{number}]")
        media.append(wire.MediaOut(inline_data=shown))
    response = {"error" if result.is_error else "output": "".join(texts)}
    return wire.PartOut(function_response=wire.ResultOut(id=result.call_id, name=name, response=response, parts=media))


def _media(part: Part, place: str) -> wire.PartOut:
    match part:
        case model.Image() | model.File() if part.data:
            return _inline(part.media_type, part.data)
        case model.Image() | model.File() if part.url:
            ending = urlsplit(part.url).path.rpartition(".")[2].lower()
            known = part.media_type or _TYPES.get(ending, "")
            return wire.PartOut(file_data=wire.FileData(file_uri=part.url, mime_type=known))
        case model.File():
            return _inline("text/plain", base64.b64encode(part.text.encode()).decode())
        case model.Audio():
            return _inline(f"audio/{part.format}", part.data)
        case _:
            # A role that cannot say such a part: its decoder refused it, so this is an answer put to the wrong side.
            raise Unsupported("such a part is not supported by this model", param=place)


def _inline(media_type: str, data: str) -> wire.PartOut:
    return wire.PartOut(inline_data=wire.InlineData(mime_type=media_type, data=data))
