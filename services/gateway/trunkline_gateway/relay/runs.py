"""Many chunks as few: runs of chunks that differ only in the text they add become one chunk that adds all of it. Pure.

Putting a long answer together chunk by chunk would decode each of them whole. Most are alike but for a few characters:
those are compared as bytes, at a tenth of the cost.
"""

import re
from collections.abc import Sequence
from typing import Annotated

import msgspec

from trunkline_gateway.chunks import lenient

_CONTENT = re.compile(rb'"delta"\s*:\s*\{\s*"content"\s*:\s*"')


class _Delta(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    content: str
    role: None = None
    refusal: None = None


class _Choice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    delta: _Delta
    index: int = 0
    logprobs: None = None
    finish_reason: None = None


class _Chunk(msgspec.Struct, frozen=True):
    choices: Annotated[list[_Choice], msgspec.Meta(min_length=1, max_length=1)]


class _Frame(msgspec.Struct, frozen=True):
    """What a chunk of text has around its text."""

    head: bytes
    tail: bytes

    def text_in(self, data: bytes) -> bytes | None:
        """The inside of its JSON string; None for a chunk with another frame, or of which this is not certain."""
        if not (data.startswith(self.head) and data.endswith(self.tail)):
            return None
        text = data[len(self.head) : len(data) - len(self.tail)]
        # A quote may end the string early, and a backslash may hide the quote that ends it.
        return None if b'"' in text or text.endswith(b"\\") or len(data) < len(self.head) + len(self.tail) else text


_decode = msgspec.json.Decoder(_Chunk).decode
_decode_text = msgspec.json.Decoder(str).decode
_UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def compacted(chunks: Sequence[bytes]) -> list[bytes]:
    """Chunks that stand for the same answer when they are put together, in the same order."""
    compact: list[bytes] = []
    frame: _Frame | None = None
    texts: list[bytes] = []
    for data in chunks:
        text = frame.text_in(data) if frame is not None else None
        if text is not None:
            texts.append(text)
            continue
        if frame is not None:
            compact.append(_joined(frame, texts))
        frame = _frame_of(data)
        if frame is None:
            compact.append(data)
        else:
            texts = [data[len(frame.head) : len(data) - len(frame.tail)]]
    if frame is not None:
        compact.append(_joined(frame, texts))
    return compact


def _joined(frame: _Frame, texts: Sequence[bytes]) -> bytes:
    return b"".join((frame.head, *texts, frame.tail))


def _frame_of(data: bytes) -> _Frame | None:
    """None for a chunk that does anything but add text to one choice."""
    begins = _CONTENT.search(data)
    if begins is None:
        return None
    ends = data.find(b'"', begins.end())
    frame = _Frame(data[: begins.end()], data[ends:])
    text = frame.text_in(data)
    return frame if text is not None and (_adds(data, text) or _adds(lenient(data), lenient(text))) else None


def _adds(data: bytes, text: bytes) -> bool:
    """Whether that is all that it does."""
    try:
        return _decode(data).choices[0].delta.content == _decode_text(b'"' + text + b'"')
    except _UNDECODABLE:
        return False
