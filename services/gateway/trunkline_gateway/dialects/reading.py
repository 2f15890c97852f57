"""JSON of a caller or a provider as typed values, with every misfit as an error of ours that names its place. Pure."""

import re
from typing import TypeVar

import msgspec
from msgspec import Raw

from trunkline_gateway import body as bodies
from trunkline_gateway.chunks import lenient
from trunkline_gateway.dialects.canonical import EFFORTS, Extra, ToolCall
from trunkline_kit.errors import InvalidRequest, Unsupported, UpstreamError

T = TypeVar("T")

NOTHING = Raw(b"")
"""A field that is not there; one that is `null` decodes to Raw(b"null")."""
UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode
_UNKNOWN = re.compile(r"unknown field `(?P<name>[^`]*)`")


def read(body: bytes, decoder: "msgspec.json.Decoder[T]", place: str = "") -> T:
    """A caller's JSON. Raises InvalidRequest, or Unsupported for a field that cannot be translated.

    `place` is where in the request it was found, such as `input[3]`.
    """
    try:
        return bodies.decode(body, decoder)
    except InvalidRequest as error:
        raise _placed(error, place) from error.__cause__


def _placed(error: InvalidRequest, place: str) -> InvalidRequest:
    unknown = _UNKNOWN.search(str(error.__cause__))
    path = _joined(place, error.param or "")
    if unknown is not None:
        path = _joined(path, unknown["name"])
        return Unsupported(f"{path} cannot be translated for this model: leave it out", param=path)
    message = error.message
    if place and error.param:
        message = message.replace(error.param, path, 1)
    elif place:
        message = f"wrong value for {place}: {message}"
    return InvalidRequest(message, param=path or None)


def _joined(place: str, path: str) -> str:
    if not place or not path:
        return place or path
    return f"{place}{path}" if path.startswith("[") else f"{place}.{path}"


def present(raw: Raw) -> Raw | None:
    """The field's JSON; None where it is not there or `null`."""
    data = bytes(raw)
    return None if data in (b"", b"null") else raw


def compact(raw: Raw) -> str:
    """The JSON as text, without the blanks between its tokens."""
    return msgspec.json.format(bytes(raw), indent=-1).decode(errors="replace")


def extras_of(body: bytes, known: frozenset[str]) -> tuple[Extra, ...]:
    """The top-level fields of a request that are not `known`, without those that are null."""
    members = bodies.members_of(body)
    if members.keys() <= known:
        return ()
    return tuple(
        [Extra(name=name, raw=raw) for name, raw in members.items() if name not in known and present(raw) is not None]
    )


def effort_of(said: str | None, path: str) -> str:
    """How much a caller wants thought; empty where nothing is said. Raises InvalidRequest for a word nobody knows."""
    if said and said not in EFFORTS:
        raise InvalidRequest(f"{path} must be one of {', '.join(EFFORTS)}", param=path)
    return said or ""


def arguments_of(call: ToolCall, place: str) -> Raw:
    """A call's arguments as the object they must be. Raises InvalidRequest; `place` is where the call stands."""
    text = call.arguments.strip() or "{}"
    try:
        _decode_object(text)
    except UNDECODABLE as error:
        raise InvalidRequest(
            f"the arguments of the call {call.id!r} are not a JSON object", param=call.place or place
        ) from error
    return Raw(text.encode())


def answered(data: bytes, decoder: "msgspec.json.Decoder[T]") -> T:
    """A provider's JSON. Raises UpstreamError."""
    try:
        return decoder.decode(data)
    except UNDECODABLE:
        pass
    try:
        return decoder.decode(lenient(data))
    except UNDECODABLE as error:
        raise UpstreamError(f"the provider sent something that is not of its dialect: {error}") from error
