"""Rows in a block of shared memory that a SIGKILL at any moment leaves readable. Pure: bytes in, rows out.

A head, and slots of one size behind it. A slot is four words of 32 bits in the machine's own order (length, CRC-32,
pieces, milliseconds) and an encoded row. The length is written last and cleared first: 0 says that there is no row.
A row is never overwritten: its successor goes to another slot before the first is cleared, so that of an attempt there
are one or two rows at any moment, never none. What a process has stored when it is killed is in the page cache, in the
order in which it was stored; only a power cut may leave a slot whose CRC is wrong.
"""

import struct
import zlib
from collections.abc import Iterator
from uuid import UUID

import msgspec

from trunkline_gateway.ledger.rows import LOST, AttemptRow, decode_rows

NO_SLOT = -1
SLOT_BYTES = 2048
"""Room for a row with all the tags that there may be, each as long as one may be, and names of any sensible length."""
HEAD_BYTES = 4096
"""One page, so that slots begin at a page's start."""
MAGIC = b"TLJRNL01"
PAYLOAD_BYTES_MAX = SLOT_BYTES - 16
_HEAD = struct.Struct("=8sII")
_WORDS = struct.Struct("=IIII")
_WORD_MAX = (1 << 32) - 1


class Unreadable(ValueError):
    """Not a journal, or one of another layout."""


class Found(msgspec.Struct, frozen=True):
    """A row as it was left, and what was counted of its answer."""

    row: AttemptRow
    pieces: int = 0
    """Of a stream, passed on."""
    elapsed_ms: int = 0
    """From the attempt's start to the last of them."""

    @property
    def is_settled(self) -> bool:
        """Whether the process still knew how the attempt ended."""
        return self.row.outcome != LOST


class Left(msgspec.Struct, frozen=True):
    """What a process left behind."""

    found: tuple[Found, ...]
    """One for each attempt."""
    damaged: int = 0
    """Slots with something that is no row."""


class Progress:
    """Counts one stream in place."""

    __slots__ = ("_at", "_started_s", "_words")

    def __init__(self, words: "memoryview[int]", at: int, started_s: float) -> None:
        self._words = words
        self._at = at
        self._started_s = started_s

    def __call__(self, pieces: int, now_s: float) -> None:
        """`now_s` is on the clock that the attempt's start is on. Well under a microsecond."""
        words, at = self._words, self._at
        words[at] = pieces & _WORD_MAX
        words[at + 1] = int((now_s - self._started_s) * 1000.0) & _WORD_MAX


class Slots:
    """A writer's view of the block. The caller sees to it that a slot is written once before it is cleared."""

    def __init__(self, block: "memoryview[int]", count: int) -> None:
        if len(block) < size_bytes(count):
            raise ValueError(f"{count} slots do not fit into {len(block)} bytes")
        self._bytes = block
        self._words: memoryview[int] = block.cast("I")
        block[: _HEAD.size] = _HEAD.pack(MAGIC, count, SLOT_BYTES)

    def write(self, slot: int, payload: bytes) -> None:
        """Put a row into a slot that is free. It is there when this returns, and not at all before."""
        at = HEAD_BYTES + slot * SLOT_BYTES
        words, word = self._words, at >> 2
        self._bytes[at + 16 : at + 16 + len(payload)] = payload
        words[word + 1] = zlib.crc32(payload)
        words[word + 2] = 0
        words[word + 3] = 0
        words[word] = len(payload)

    def clear(self, slot: int) -> None:
        self._words[(HEAD_BYTES + slot * SLOT_BYTES) >> 2] = 0

    def progress(self, slot: int, started_s: float) -> Progress:
        return Progress(self._words, ((HEAD_BYTES + slot * SLOT_BYTES) >> 2) + 2, started_s)

    def release(self) -> None:
        """Let go of the block; nothing may be written afterwards."""
        self._words.release()
        self._bytes.release()


def size_bytes(count: int) -> int:
    """Of a block with `count` slots."""
    return HEAD_BYTES + count * SLOT_BYTES


def read(data: bytes) -> Left:
    """Everything that is in a block. Of an attempt that is there twice, the row that says how it ended.

    Raises Unreadable for a block that is none.
    """
    if len(data) < _HEAD.size:
        raise Unreadable("it has no head")
    magic, count, slot_bytes = _HEAD.unpack_from(data)
    if magic != MAGIC or slot_bytes <= _WORDS.size or len(data) < HEAD_BYTES + count * slot_bytes:
        raise Unreadable("it is of another layout")
    found: dict[UUID, Found] = {}
    damaged = 0
    for one in _slots(data, count, slot_bytes):
        if one is None:
            damaged += 1
        elif one.is_settled or one.row.attempt_id not in found:
            found[one.row.attempt_id] = one
    return Left(tuple(found.values()), damaged)


def _slots(data: bytes, count: int, slot_bytes: int) -> Iterator[Found | None]:
    """Those that are used; None for one that holds no row."""
    for at in range(HEAD_BYTES, HEAD_BYTES + count * slot_bytes, slot_bytes):
        length, checksum, pieces, elapsed_ms = _WORDS.unpack_from(data, at)
        if not length:
            continue
        payload = data[at + _WORDS.size : at + _WORDS.size + length]
        if length > slot_bytes - _WORDS.size or zlib.crc32(payload) != checksum:
            yield None
            continue
        try:
            (row,) = decode_rows(payload)
        except ValueError:
            yield None
        else:
            yield Found(row, pieces, elapsed_ms)
