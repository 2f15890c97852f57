"""Looking at the pieces of an OpenAI stream: just far enough to know what they mean for us."""

from typing import Any

import msgspec

from trunkline_gateway.usage import Usage
from trunkline_kit.errors import UpstreamError

_NOTHING = msgspec.Raw(b"null")


class ChoiceLook(msgspec.Struct, frozen=True, gc=False):
    finish_reason: str | None = None


class ChunkLook(msgspec.Struct, frozen=True):
    """Of a whole answer or a chunk: all that decides what we do. The rest is only checked to be JSON."""

    choices: list[ChoiceLook] | None = None
    usage: Usage | None = None
    error: msgspec.Raw = _NOTHING


class Chunk(msgspec.Struct, frozen=True):
    """One event's data and what it means."""

    data: bytes
    finishes: int = 0
    """Choices that end with it."""
    usage: Usage | None = None
    bare_usage: bool = False
    """Only there for the usage: what `stream_options.include_usage` asks for."""
    error: bytes = b""
    """The error object of an error inside a stream."""


class ErrorLook(msgspec.Struct, frozen=True):
    """A provider's error object, as far as it keeps to OpenAI's shape."""

    message: str = ""
    type: str | None = None
    param: str | None = None
    code: str | int | None = None


class ChoiceContent(msgspec.Struct, frozen=True):
    delta: dict[str, Any] | None = None
    text: str | None = None
    finish_reason: str | None = None


class ChunkContent(msgspec.Struct, frozen=True):
    choices: list[ChoiceContent] | None = None


_decode = msgspec.json.Decoder(ChunkLook).decode
_decode_content = msgspec.json.Decoder(ChunkContent).decode
_decode_error = msgspec.json.Decoder(ErrorLook).decode
_encode = msgspec.json.Encoder().encode
_NULL = b"null"


def look(data: bytes) -> ChunkLook:
    """Raises UpstreamError for data that is not JSON or not in OpenAI's shape."""
    try:
        return _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamError(f"the provider sent something that is not OpenAI's JSON: {error}") from error


def chunk_of(data: bytes) -> Chunk:
    """One event's data, looked at. What has another shape becomes an error chunk: what came before it is good."""
    try:
        seen = look(data)
    except UpstreamError as broken:
        return Chunk(b"", error=_encode(ErrorLook(message=broken.message)))
    choices = seen.choices
    usage = seen.usage
    finishes = 0
    if choices:
        for choice in choices:
            if choice.finish_reason:
                finishes += 1
    error = bytes(seen.error)
    return Chunk(data, finishes, usage, usage is not None and not choices, b"" if error == _NULL else error)


def is_meaningful(chunk: Chunk) -> bool:
    """Whether the caller gets something out of it: text, a tool call, an end; a role alone is not enough."""
    if chunk.finishes or chunk.error:
        return True
    if chunk.bare_usage:
        return False
    try:
        content = _decode_content(chunk.data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UpstreamError(f"the provider sent a chunk of another shape: {error}") from error
    for choice in content.choices or ():
        if choice.text or any(value for name, value in (choice.delta or {}).items() if name != "role"):
            return True
    return False


def error_of(raw: bytes) -> ErrorLook:
    """A provider's error object; of another shape, its text is the message."""
    try:
        return _decode_error(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ErrorLook(message=raw[:500].decode(errors="replace"))
