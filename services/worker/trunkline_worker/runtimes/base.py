"""The seam between the engine and what computes: slots of key/value memory, prefill, decode, move."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from trunkline_worker.utilisation import ModelCost

Logits: TypeAlias = NDArray[np.float32]


def with_spare(slots: int) -> int:
    """Slots to have memory for, so that a lone answer may run on two while a prompt is read behind them."""
    return max(slots, min(slots + 1, 3))


class DecoderRuntime(Protocol):
    """Runs one decoder over `slots` sequences of at most `slot_tokens` tokens each. For one thread only."""

    slots: int
    slot_tokens: int
    vocabulary_size: int
    provider: str
    """Execution provider in use, such as CPUExecutionProvider."""
    cost: ModelCost | None
    """What a run moves and computes, if that is known."""
    block_tokens: int
    blocks: int
    """Blocks of `block_tokens` tokens that can be kept beside the slots; 0 where nothing can."""

    least_rows: int
    """Slots that `decode` of one repeatable answer runs on: 2 where a row alone is computed otherwise than several.

    Slot 1 is overwritten then, so there is one slot more than `slots` where those would be too few.
    """
    verify_tokens: int
    """Tokens of one run of `verify`; 0 where that cannot be done."""

    def prefill(self, slot: int, ids: Sequence[int], past: int) -> Logits:
        """Append `ids` after the first `past` tokens of `slot`; what lay behind them is forgotten.

        Returns the logits [vocabulary] after the last id, valid until the next call.
        """

    def decode(self, ids: Sequence[int], lengths: Sequence[int], *, repeatable: bool = True) -> Logits:
        """Append one id to each of the slots 0 … len(ids)-1, whose lengths including it are `lengths`.

        `repeatable`: a lone row is computed as among others, bit for bit. Returns the logits [len(ids), vocabulary],
        valid until the next call.
        """

    def verify(self, ids: Sequence[int], past: int) -> Logits:
        """Append `verify_tokens` ids after the first `past` tokens of slot 0.

        Returns the logits [len(ids), vocabulary] after each, exactly those that `decode` would give one by one, valid
        until the next call.
        """

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` tokens of slot `source` over slot `target`."""

    def keep(self, slot: int, begin: int, block: int) -> None:
        """Copy `block_tokens` tokens of a slot, from the token `begin` on, over block `block`."""

    def restore(self, block: int, slot: int, begin: int) -> None:
        """Copy block `block` into a slot, to the token `begin` and those after it."""
