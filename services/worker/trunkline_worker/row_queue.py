"""Texts that wait for an encoder: which of them run together, so that nobody waits for another's long list. Pure.

Texts run with texts of like length, since a run is as wide as its longest. Whose turn it is follows fair queueing
(Demers, Keshav and Shenker, 1989): a text's place is the work that its own call brings before it, counted from where
the queue was when the call came. So a call of one text comes before the rest of a list that was there earlier, and no
number of such calls stops the list.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from msgspec import Struct


class RunConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much one run takes."""

    batch_texts: int = 32
    """Texts, at most."""
    batch_tokens: int = 128
    """Tokens, padding included; a longer text runs alone. Bounds memory and how long others wait. On a CPU a token
    costs the same in every larger run, so its texts would only wait for each other."""


class Place(Struct, frozen=True, order=True):
    """One text in the queue."""

    turn: float
    """Tokens of work that come before it, as fair queueing counts them."""
    texts: int
    """Of its call: at the same turn, small calls come first."""
    call: int
    index: int
    """Of the text in its call."""
    tokens: int


class RowQueue:
    """Who waits."""

    def __init__(self, config: RunConfig) -> None:
        self._config = config
        self._buckets: dict[int, list[Place]] = {}
        """By length, a heap each."""
        self._left: dict[int, int] = {}
        """Texts of each call that wait."""
        self._turn = 0.0
        """Work that each call that waited all the time has had."""

    def __len__(self) -> int:
        """Texts that wait."""
        return sum(self._left.values())

    @property
    def calls(self) -> int:
        """Calls of which some text waits."""
        return len(self._left)

    def push(self, call: int, lengths: Sequence[int]) -> None:
        """Put all texts of a call into the queue."""
        turn = self._turn
        for index, tokens in enumerate(lengths):
            heapq.heappush(self._buckets.setdefault(bucket(tokens), []), Place(turn, len(lengths), call, index, tokens))
            turn += tokens
        self._left[call] = len(lengths)

    def drop(self, call: int) -> None:
        """Nobody waits for this call any more."""
        self._left.pop(call, None)

    def take(self) -> list[Place]:
        """The texts of the next run: whose turn it is, and others of like length in the order of theirs."""
        for heap in self._buckets.values():
            self._clean(heap)
        self._buckets = {length: heap for length, heap in self._buckets.items() if heap}
        if not self._buckets:
            return []
        heap = min(self._buckets.values(), key=lambda one: one[0])
        taken: list[Place] = []
        width, calls = 0, self.calls
        while heap and len(taken) < self._config.batch_texts:
            width = max(width, heap[0].tokens)
            if taken and width * (len(taken) + 1) > self._config.batch_tokens:
                break
            taken.append(heapq.heappop(heap))
            self._took(taken[-1].call)
            self._clean(heap)
        self._turn = max(taken[0].turn, self._turn + sum(place.tokens for place in taken) / calls)
        return taken

    def _took(self, call: int) -> None:
        self._left[call] -= 1
        if not self._left[call]:
            del self._left[call]

    def _clean(self, heap: list[Place]) -> None:
        """Dropped calls leave when it would be their turn."""
        while heap and heap[0].call not in self._left:
            heapq.heappop(heap)


def bucket(tokens: int) -> int:
    """Which lengths go together: between powers of two in halves, so that a third of a run is padding at most."""
    bits = max(tokens - 1, 1).bit_length()
    return 2 * bits + (tokens > 3 << bits >> 2)
