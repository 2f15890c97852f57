"""Looking at the pieces of an OpenAI stream: just far enough to know what they mean for us."""

import re
from typing import Any

import msgspec

from trunkline_gateway.usage import Usage
from trunkline_kit.errors import UpstreamError

_NOTHING = msgspec.Raw(b"null")


class ChoiceLook(msgspec.Struct, frozen=True, gc=False):
    index: int | None = None
    finish_reason: str | None = None


class ChunkLook(msgspec.Struct, frozen=True):
    """Of a whole answer or a chunk: all that decides what we do. The rest is only checked to be JSON."""

    choices: list[ChoiceLook] | None = None
    data: list[msgspec.Raw] | None = None
    """Of an embeddings answer."""
    usage: msgspec.Raw = _NOTHING
    error: msgspec.Raw = _NOTHING


class Chunk(msgspec.Struct, frozen=True):
    """One event's data and what it means."""

    data: bytes
    finished: tuple[int, ...] = ()
    """Indexes of the choices that end with it; some providers say it twice."""
    usage: Usage | None = None
    bare_usage: bool = False
    """Only there for the usage: what `stream_options.include_usage` asks for."""
    error: bytes = b""
    """The error object of an error inside a stream."""
    malformed: bool = False
    """Not OpenAI's JSON: there is nothing of it to pass on."""
    meaningful: bool | None = None
    """Whether the caller gets something out of it, where that is known; None: its data tells."""


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
_decode_usage = msgspec.json.Decoder(Usage, strict=False).decode
_decode_error = msgspec.json.Decoder(ErrorLook).decode
_NULL = b"null"
_UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_SURROGATE = re.compile(rb"\\(\\|u[dD][89a-fA-F][0-9a-fA-F]{2})")
"""Or an escaped backslash, which is to be passed over as a whole: what follows it is no escape."""


def look(data: bytes) -> ChunkLook:
    """Raises UpstreamError for data that is not JSON or not in OpenAI's shape."""
    try:
        return _decode(data)
    except _UNDECODABLE:
        pass
    try:
        return _decode(lenient(data))
    except _UNDECODABLE as error:
        raise UpstreamError(f"the provider sent something that is not OpenAI's JSON: {error}") from error


def lenient(data: bytes) -> bytes:
    """`data` to be looked at where it is not strictly JSON: what cannot be text becomes U+FFFD.

    Some providers cut a character in two between events, as half a surrogate pair or as part of its UTF-8. The caller
    gets the bytes as they came, and puts them together.
    """
    return _SURROGATE.sub(_replaced, data).decode(errors="replace").encode()


def _replaced(found: re.Match[bytes]) -> bytes:
    return b"\\\\" if found[1] == b"\\" else b"\\ufffd"


def usage_in(raw: msgspec.Raw) -> Usage | None:
    """A usage object that says something; None for none, an empty one, or one of another shape."""
    if bytes(raw) == _NULL:
        return None
    try:
        usage = _decode_usage(raw)
    except _UNDECODABLE:
        return None
    return None if usage.prompt_tokens is None and usage.completion_tokens is None else usage


MALFORMED = Chunk(b"", malformed=True)


def chunk_of(data: bytes) -> Chunk:
    """One event's data, looked at."""
    try:
        seen = look(data)
    except UpstreamError:
        return MALFORMED
    choices = seen.choices
    finished: tuple[int, ...] = ()
    if choices:
        for choice in choices:
            if choice.finish_reason:
                finished = (*finished, choice.index or 0)
    has_usage = bytes(seen.usage) != _NULL
    usage = usage_in(seen.usage) if has_usage else None
    error = bytes(seen.error)
    return Chunk(data, finished, usage, has_usage and not choices, b"" if error == _NULL else error)


def is_meaningful(chunk: Chunk) -> bool:
    """Whether the caller gets something out of it: text, a tool call, an end; a role alone is not enough."""
    if chunk.finished or chunk.error:
        return True
    if chunk.meaningful is not None:
        return chunk.meaningful
    if chunk.bare_usage or chunk.malformed:
        return False
    try:
        content = _decode_content(lenient(chunk.data))
    except _UNDECODABLE:
        # Of a shape we do not know, so it is for the caller to understand.
        return True
    for choice in content.choices or ():
        if choice.text or any(value for name, value in (choice.delta or {}).items() if name != "role"):
            return True
    return False


def error_of(raw: bytes) -> ErrorLook:
    """A provider's error object; of another shape, its text is the message."""
    try:
        return _decode_error(raw)
    except _UNDECODABLE:
        return ErrorLook(message=raw[:500].decode(errors="replace"))
