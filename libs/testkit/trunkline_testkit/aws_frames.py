"""AWS's event stream encoding, written by hand after its specification: what a fake of one of its services sends.

Source: AWS, "Event stream encoding" (read 2026-11-25).
"""

import struct
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

CONTENT_TYPE = "application/vnd.amazon.eventstream"
_STRING = 7
"""The type of a header's value."""


def frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message: lengths and their checksum, headers, payload, the checksum of everything."""
    written = b"".join(_header(name, value) for name, value in headers.items())
    prelude = struct.pack(">II", 16 + len(written) + len(payload), len(written))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + written + payload
    return message + struct.pack(">I", zlib.crc32(message))


def _header(name: str, value: str) -> bytes:
    text = value.encode()
    return bytes([len(name)]) + name.encode() + bytes([_STRING]) + struct.pack(">H", len(text)) + text


def event(said: Mapping[str, Any]) -> bytes:
    """`{"messageStop": {…}}` as its frame; names that end with `Exception` are exceptions."""
    [(name, body)] = said.items()
    kind = "exception" if name.endswith("Exception") else "event"
    headers = {f":{kind}-type": name, ":content-type": "application/json", ":message-type": kind}
    return frame(headers, msgspec.json.encode(body))


def events(said: Iterable[Mapping[str, Any]]) -> tuple[bytes, ...]:
    """Many, each by itself."""
    return tuple(event(one) for one in said)
