"""Server-sent events, read piece by piece: bytes in, the data of whole events out. Pure.

Source: WHATWG HTML, §9.2.6 "Interpreting an event stream" (read 2026-11-24). Only `data` matters here; comments, names
and ids are read and dropped.
"""

from trunkline_kit.errors import UpstreamError

EVENT_BYTES_MAX = 8 * 1024 * 1024
"""A longer event is not a token stream any more."""
DONE = b"[DONE]"
PING = b": ping\n\n"
"""A comment: readers skip it. Never send `id:`, which makes the SDK dispatch an empty event."""

_BOM = b"\xef\xbb\xbf"


class SseParser:
    """Feed it what arrives, however it is cut; events come out once, in order, the same for every cutting."""

    __slots__ = ("_after_cr", "_buffer", "_limit_bytes", "_scanned", "_started")

    def __init__(self, limit_bytes: int = EVENT_BYTES_MAX) -> None:
        self._buffer = bytearray()
        self._scanned = 0
        self._after_cr = False
        self._started = False
        self._limit_bytes = limit_bytes

    def feed(self, piece: bytes) -> list[bytes]:
        """The data of every event that `piece` completes. Raises UpstreamError for an event over the limit."""
        if self._after_cr or b"\r" in piece:
            piece = self._with_newlines(piece)
        if self._buffer:
            return self._continued(piece)
        end = piece.rfind(b"\n\n")
        if end < 0:
            self._keep(piece)
            return []
        self._keep(piece[end + 2 :])
        return self._events(piece[:end])

    def close(self) -> list[bytes]:
        """The data of an event that ends with the stream instead of a blank line, if there is one."""
        rest, self._buffer = bytes(self._buffer), bytearray()
        return self._events(rest)

    def _continued(self, piece: bytes) -> list[bytes]:
        """After the beginning of an event, to which it is added in place: a long one would else be copied each time."""
        self._buffer += piece
        end = self._buffer.rfind(b"\n\n", max(0, self._scanned - 1))
        if end < 0:
            self._check()
            return []
        text, rest = bytes(self._buffer[:end]), bytes(self._buffer[end + 2 :])
        self._keep(rest)
        return self._events(text)

    def _keep(self, rest: bytes) -> None:
        self._buffer = bytearray(rest)
        self._check()

    def _check(self) -> None:
        self._scanned = len(self._buffer)
        if self._scanned > self._limit_bytes:
            raise UpstreamError(f"the provider sent an event of more than {self._limit_bytes} bytes")

    def _with_newlines(self, piece: bytes) -> bytes:
        """CRLF and CR as LF. A CR at the very end counts at once; an LF that follows it is then part of it."""
        if self._after_cr and piece.startswith(b"\n"):
            piece = piece[1:]
            self._after_cr = False
        if piece:
            self._after_cr = piece.endswith(b"\r")
        return piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _events(self, text: bytes) -> list[bytes]:
        if not self._started and text:
            self._started = True
            text = text.removeprefix(_BOM)
        events = []
        for block in text.split(b"\n\n"):
            data = _data_of(block)
            if data:
                events.append(data)
        return events


def _data_of(block: bytes) -> bytes:
    """The data of one event: its `data` lines, joined by newlines; empty where it has none."""
    block = block.strip(b"\n")
    if b"\n" not in block:
        return _value(block) if block.startswith(b"data:") else b""
    lines = [_value(line) for line in block.split(b"\n") if line.startswith(b"data:") or line == b"data"]
    return b"\n".join(lines)


def _value(line: bytes) -> bytes:
    value = line[5:]
    return value[1:] if value.startswith(b" ") else value


def event(data: bytes) -> bytes:
    """One event on the wire. Newlines between JSON tokens, the only ones there can be, become blanks."""
    if b"\n" in data:
        data = data.replace(b"\n", b" ")
    return b"data: " + data + b"\n\n"


def events(chunks: list[bytes]) -> bytes:
    """Many events as one write."""
    return b"".join([event(data) for data in chunks])
