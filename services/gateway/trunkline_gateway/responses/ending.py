"""How a stream of `response.*` events goes over the wire, and how one ends that broke: it goes on from where it was."""

import msgspec

from trunkline_gateway.dialects.frames import Frame, wire
from trunkline_gateway.dialects.responses_answers import FAILED, failure_of
from trunkline_gateway.sse import SseParser
from trunkline_kit.errors import TrunklineError

_NONE = msgspec.Raw(b"null")


class _Said(msgspec.Struct, frozen=True):
    """Of any event."""

    sequence_number: int = -1
    response: msgspec.Raw = _NONE


class _Error(msgspec.Struct, frozen=True, kw_only=True):
    type: str = "error"
    code: str
    message: str
    param: str | None
    sequence_number: int


class _Failed(msgspec.Struct, frozen=True, kw_only=True):
    type: str = "response.failed"
    response: dict[str, msgspec.Raw]
    sequence_number: int


_decode = msgspec.json.Decoder(_Said).decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode
_UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Telling:
    """One stream. Chunks are whole events, by name."""

    __slots__ = ("_first", "_last")

    def __init__(self) -> None:
        self._first = self._last = b""

    def joined(self, chunks: list[bytes]) -> bytes:
        """Chunks as one write."""
        if chunks:
            self._first = self._first or chunks[0]
            self._last = chunks[-1]
        return b"".join(chunks)

    def broken(self, error: TrunklineError) -> bytes:
        """The events that end a stream which is not complete: `error`, and the response as failed.

        They carry on the stream's numbers and repeat its response. One that had not begun gets the first only.
        """
        number = _said(self._last, last=True).sequence_number + 1
        told = _Error(code=error.reason, message=error.message, param=error.param, sequence_number=number)
        frames = [Frame(_encode(told), told.type)]
        begun = _said(self._first, last=False).response
        if bytes(begun) != bytes(_NONE):
            response = _decode_members(begun)
            response["status"] = msgspec.Raw(_encode(FAILED))
            response["error"] = msgspec.Raw(_encode(failure_of(error)))
            failed = _Failed(response=response, sequence_number=number + 1)
            frames.append(Frame(_encode(failed), failed.type))
        return wire(frames)


def _said(chunk: bytes, *, last: bool) -> _Said:
    datas = SseParser().feed(chunk)
    try:
        return _decode(datas[-1 if last else 0]) if datas else _Said()
    except _UNDECODABLE:
        return _Said()
