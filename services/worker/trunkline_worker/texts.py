"""Texts as rows of tokens for an encoder, cut to what it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from trunkline_kit.errors import InvalidRequest

MAX_TEXTS = 2048
_INLINE_CHARACTERS = 4_000
"""More is tokenised in a thread; as much holds the event loop for a millisecond or two."""
Matrix: TypeAlias = NDArray[np.int64]


class TokenRow(Struct, frozen=True):
    """One text, or two that are looked at together."""

    ids: Sequence[int]
    second: int = 0
    """Where the second text begins; 0 if there is none."""


class Encoded(Struct, frozen=True, kw_only=True):
    """Texts as the model reads them."""

    rows: Sequence[TokenRow]
    prompt_tokens: int
    """Tokens of all rows, control tokens included."""
    truncated: int
    """Rows that were cut."""


class Padded(Struct, frozen=True, kw_only=True):
    """Rows of one run, all as wide as the longest."""

    ids: Matrix
    mask: Matrix
    types: Matrix
    """0 for the first text, 1 for the second."""


def check_count(count: int, param: str) -> None:
    """Raises InvalidRequest for none and for too many."""
    if not 1 <= count <= MAX_TEXTS:
        raise InvalidRequest(f"send 1 to {MAX_TEXTS} texts at once, got {count}", param=param)


def encode_texts(tokenizer: Tokenizer, texts: Sequence[str], max_tokens: int) -> Encoded:
    """One row each. Longer ones are cut, keeping their closing control token."""
    encoded = [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
    cut = [ids if len(ids) <= max_tokens else [*ids[: max_tokens - 1], ids[-1]] for ids in encoded]
    return Encoded(
        rows=[TokenRow(ids) for ids in cut],
        prompt_tokens=sum(map(len, cut)),
        truncated=sum(len(ids) > max_tokens for ids in encoded),
    )


def encode_pairs(tokenizer: Tokenizer, first: str, seconds: Sequence[str], max_tokens: int) -> Encoded:
    """One row for the first text with each of the others. Where that is too long, the longer of the two is cut."""
    cutter = Tokenizer.from_str(tokenizer.to_str())
    cutter.enable_truncation(max_tokens, strategy="longest_first")
    encoded = cutter.encode_batch([(first, second) for second in seconds])
    return Encoded(
        rows=[TokenRow(one.ids, _second(one)) for one in encoded],
        prompt_tokens=sum(len(one.ids) for one in encoded),
        truncated=sum(bool(one.overflowing) for one in encoded),
    )


async def off_loop(encode: Callable[[], Encoded], texts: Sequence[str]) -> Encoded:
    """Do it here if it is little, in a thread otherwise."""
    if sum(map(len, texts)) <= _INLINE_CHARACTERS:
        return encode()
    return await asyncio.to_thread(encode)


def padded(rows: Sequence[TokenRow], padding_id: int) -> Padded:
    """The rows as matrices."""
    size = (len(rows), max(len(row.ids) for row in rows))
    ids, mask, types = np.full(size, padding_id, np.int64), np.zeros(size, np.int64), np.zeros(size, np.int64)
    for index, row in enumerate(rows):
        ids[index, : len(row.ids)] = row.ids
        mask[index, : len(row.ids)] = 1
        if row.second:
            types[index, row.second : len(row.ids)] = 1
    return Padded(ids=ids, mask=mask, types=types)


def _second(encoding: Encoding) -> int:
    types = encoding.type_ids
    return types.index(1) if 1 in types else 0
