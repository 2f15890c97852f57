"""The caller's body: decoded as far as we decide on it, passed on otherwise as it came."""

import re
from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec

from trunkline_kit.errors import InvalidRequest

T = TypeVar("T")

Members = dict[str, msgspec.Raw]
"""The top level of a JSON object; each value is the caller's own bytes."""

SPLICED_BYTES = 256 * 1024
"""Bodies from here on are sent in slices of that size, without a copy of what is large in them."""
_LARGE_BYTES = 16 * 1024
"""Of a member of such a body: a smaller one is cheaper copied than sent by itself."""


class Spliced:
    """A JSON object in pieces: its large values stay where they are, in the caller's body."""

    __slots__ = ("_pieces", "size_bytes")

    def __init__(self, members: Members) -> None:
        self._pieces: list[bytes | memoryview] = []
        gathered = bytearray(b"{")
        for count, (name, raw) in enumerate(members.items()):
            gathered += b"%b%b:" % (b"," if count else b"", msgspec.json.encode(name))
            value = memoryview(raw)
            if value.nbytes < _LARGE_BYTES:
                gathered += value
            else:
                self._pieces += [bytes(gathered), value]
                gathered.clear()
        gathered += b"}"
        self._pieces.append(bytes(gathered))
        self.size_bytes = sum(map(len, self._pieces))

    def slices(self) -> Iterator[memoryview]:
        """The object from its first byte to its last; none is longer than SPLICED_BYTES."""
        for piece in self._pieces:
            for start in range(0, len(piece), SPLICED_BYTES):
                yield memoryview(piece)[start : start + SPLICED_BYTES]


Body = bytes | Spliced
"""What is sent to a provider."""

_decode_members = msgspec.json.Decoder(Members).decode
_PLACE = re.compile(r" - at `(?:key in )?\$\.?(?P<path>[^`]*)`$")
_MISSING = re.compile(r"required field `(?P<name>[^`]+)`")
_NO_STREAM_OPTIONS = msgspec.Raw(b'{"include_usage":true}')
_TRUE = msgspec.Raw(b"true")


def decode(body: bytes, decoder: "msgspec.json.Decoder[T]") -> T:
    """`body` as what `decoder` makes. Raises InvalidRequest that names the field, as `param`, where one is to blame."""
    try:
        if not body.isascii():
            # What is skipped is not looked at by the decoder, and would be the provider's to refuse.
            body.decode()
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _wrong_field(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"the body is not valid JSON: {error}") from error
    except RecursionError as error:
        raise InvalidRequest("the body is nested too deeply") from error


def rebuilt(
    body: bytes,
    model: str,
    *,
    ask_usage: bool,
    ask_stream: bool = False,
    adapt: Callable[[Members], None] | None = None,
) -> Body:
    """The body with another model name and, if wanted, with `stream` and with `stream_options.include_usage`.

    `adapt` changes what else a server wants differently.

    Every other value keeps its bytes. Members are written once each, so that a name given twice cannot mean one model
    to us and another to the provider: both mean the last.
    """
    members = members_of(body)
    members["model"] = msgspec.Raw(msgspec.json.encode(model))
    if ask_stream:
        members["stream"] = _TRUE
    if ask_usage:
        members["stream_options"] = _with_usage(members.get("stream_options"))
    if adapt is not None:
        adapt(members)
    return msgspec.json.encode(members) if len(body) < SPLICED_BYTES else Spliced(members)


def members_of(body: bytes) -> Members:
    """The top level of the body. Raises InvalidRequest."""
    try:
        return _decode_members(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"the body is not a JSON object: {error}") from error


def _with_usage(options: msgspec.Raw | None) -> msgspec.Raw:
    if options is None or bytes(options) == b"null":
        return _NO_STREAM_OPTIONS
    members = members_of(bytes(options))
    members["include_usage"] = _TRUE
    return msgspec.Raw(msgspec.json.encode(members))


def _wrong_field(message: str) -> InvalidRequest:
    place, missing = _PLACE.search(message), _MISSING.search(message)
    path = place["path"] if place else ""
    text = message[: place.start()] if place else message
    if missing:
        path = f"{path}.{missing['name']}" if path else missing["name"]
        return InvalidRequest(f"missing required parameter: {path}", param=path)
    if not path:
        return InvalidRequest(f"the body must be a JSON object: {text}")
    return InvalidRequest(f"wrong value for {path}: {text[0].lower()}{text[1:]}", param=path)
