"""A model without weights: it says back the last message, byte by byte. For tests, and for trials without a model.

It keeps real slots: what it answers follows from what its slot holds, so an engine that mixes slots up is found out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trunkline_kit.errors import Internal
from trunkline_worker.runtimes.base import Logits, with_spare
from trunkline_worker.tokenizer import ChatMessage
from trunkline_worker.utilisation import ModelCost

EOS_ID = 256
TURN_ID = 257
"""Between the messages and the answer."""
_VOCABULARY = 258
_CERTAINTY = 6.0
"""How far the next token's logit is above the noise: greedy always echoes, temperature 1 strays now and then."""


class ByteCodec:
    """One token per UTF-8 byte, and two control tokens."""

    @property
    def vocabulary_size(self) -> int:
        return _VOCABULARY

    @property
    def longest_token(self) -> int:
        return 1

    @property
    def control_ids(self) -> frozenset[int]:
        return frozenset((EOS_ID, TURN_ID))

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(token_id for token_id in ids if token_id < EOS_ID).decode(errors="replace")

    def token_bytes(self, token_id: int) -> bytes:
        return bytes([token_id]) if token_id < EOS_ID else b"<eos>" if token_id == EOS_ID else b"<turn>"

    def encode_chat(self, messages: Sequence[ChatMessage]) -> list[int]:
        return [token_id for message in messages for token_id in (*message.content.encode(), TURN_ID)]


class FakeDecoder:
    """Echoes what stands before the last turn border, then ends; without a border it repeats its prompt's last byte."""

    provider = "FakeExecutionProvider"
    vocabulary_size = _VOCABULARY

    cost: ModelCost | None = None
    block_tokens = 16

    def __init__(
        self,
        slots: int = 8,
        slot_tokens: int = 512,
        blocks: int = 64,
        verify_tokens: int = 0,
        least_rows: int = 1,
    ) -> None:
        self.slots = slots
        self.least_rows = least_rows
        self.slot_tokens = slot_tokens
        self.blocks = blocks
        self.verify_tokens = verify_tokens
        self._kept: list[list[int]] = [[] for _ in range(with_spare(slots))]
        self._blocks: list[list[int]] = [[] for _ in range(blocks)]

    def prefill(self, slot: int, ids: Sequence[int], past: int) -> Logits:
        self._append(slot, ids, past)
        return self._logits(slot)

    def decode(self, ids: Sequence[int], lengths: Sequence[int], *, repeatable: bool = True) -> Logits:
        for slot, (token_id, length) in enumerate(zip(ids, lengths, strict=True)):
            self._append(slot, [token_id], length - 1)
        if repeatable and len(ids) < self.least_rows:
            self._kept[1] = [*ids]
        return np.stack([self._logits(slot) for slot in range(len(ids))])

    def verify(self, ids: Sequence[int], past: int) -> Logits:
        rows = []
        for place, token_id in enumerate(ids):
            self._append(0, [token_id], past + place)
            rows.append(self._logits(0))
        return np.stack(rows)

    def move(self, source: int, target: int, length: int) -> None:
        self._kept[target] = self._kept[source][:length]

    def keep(self, slot: int, begin: int, block: int) -> None:
        self._blocks[block] = self._kept[slot][begin : begin + self.block_tokens]

    def restore(self, block: int, slot: int, begin: int) -> None:
        self._append(slot, self._blocks[block], begin)

    def _append(self, slot: int, ids: Sequence[int], past: int) -> None:
        kept = self._kept[slot]
        if past > len(kept) or past + len(ids) > self.slot_tokens:
            raise Internal(
                f"slot {slot} holds {len(kept)} tokens of {self.slot_tokens}; cannot put {len(ids)} at {past}"
            )
        self._kept[slot] = [*kept[:past], *ids]

    def _logits(self, slot: int) -> Logits:
        kept = self._kept[slot]
        noise = np.random.default_rng(np.array(kept[-64:] or [0], np.uint32)).random(_VOCABULARY, np.float32)
        noise[_next_id(kept)] += _CERTAINTY
        return noise


def _next_id(kept: Sequence[int]) -> int:
    if TURN_ID not in kept:
        return kept[-1] if kept else EOS_ID
    border = len(kept) - 1 - kept[::-1].index(TURN_ID)
    spoken = len(kept) - border - 1
    earlier = [index for index in range(border) if kept[index] == TURN_ID]
    message = kept[earlier[-1] + 1 if earlier else 0 : border]
    return message[spoken] if spoken < len(message) else EOS_ID
