"""Who is next: the requests that wait for a slot, in an order in which nobody waits for ever. Pure.

A request of priority p is placed as if it had come p times `promote_s` seconds earlier. So it overtakes those of a
lower class, but only what came in a bounded time before it; whoever has waited that long is overtaken no more.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from trunkline_worker.sequence import Sequence


class Waiting:
    """The queue of one engine."""

    def __init__(self, promote_s: float) -> None:
        self._promote_s = promote_s
        self._heap: list[tuple[float, int, Sequence]] = []
        self._pushed = 0
        self.uncached_tokens = 0
        """Prompt tokens here that the prefix cache did not hold when they came."""

    def __len__(self) -> int:
        return len(self._heap)

    def __iter__(self) -> Iterator[Sequence]:
        return (sequence for _, _, sequence in self._heap)

    def push(self, sequence: Sequence) -> None:
        """Put a request in its place: by priority and age, then by arrival."""
        place_s = sequence.arrived_s - sequence.request.priority * self._promote_s
        heapq.heappush(self._heap, (place_s, self._pushed, sequence))
        self._pushed += 1
        self.uncached_tokens += sequence.uncached_tokens

    def pop(self) -> Sequence | None:
        """Take the next one out; None if there is none."""
        if not self._heap:
            return None
        sequence = heapq.heappop(self._heap)[2]
        self.uncached_tokens -= sequence.uncached_tokens
        return sequence

    def remove(self, request_id: str) -> list[Sequence]:
        """Take all answers of a request out."""
        return self._take([one for one in self._heap if one[2].request.request_id == request_id])

    def expire(self, now_s: float, prefill_tokens_per_s: float) -> list[Sequence]:
        """Take out what cannot have its first token in time, even if it were next."""
        return self._take([one for one in self._heap if is_too_late(one[2], now_s, prefill_tokens_per_s)])

    def _take(self, entries: list[tuple[float, int, Sequence]]) -> list[Sequence]:
        if not entries:
            return []
        gone = {number for _, number, _ in entries}
        self._heap = [entry for entry in self._heap if entry[1] not in gone]
        heapq.heapify(self._heap)
        taken = [sequence for _, _, sequence in entries]
        self.uncached_tokens -= sum(sequence.uncached_tokens for sequence in taken)
        return taken


def is_too_late(sequence: Sequence, now_s: float, prefill_tokens_per_s: float) -> bool:
    """Whether a request's deadline comes before its prompt can be read. A rate of 0 is not known yet."""
    deadline_s = sequence.request.deadline_s
    if deadline_s is None:
        return False
    reading_s = sequence.uncached_tokens / prefill_tokens_per_s if prefill_tokens_per_s > 0 else 0.0
    return now_s + reading_s > deadline_s
