"""Ends text before a stop string, also where the string is spread over many tokens."""

from __future__ import annotations

from collections.abc import Sequence


class StopMatcher:
    """Lets text through, except a tail that may still become a stop string.

    Law: however the text is cut into pieces, what comes out is the text before the stop string that is complete first
    (of two complete at the same character, the longer), or all of it.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.matched = ""
        """The stop string that was found; empty until then."""

    def push(self, text: str) -> str:
        """Take more text; return what is certain. After a match nothing comes out any more."""
        if not self._stops:
            return text
        if self.matched or not text:
            return ""
        self._held += text
        match = first_stop(self._held, self._stops)
        if match is not None:
            start, self.matched = match
            released, self._held = self._held[:start], ""
            return released
        keep = len(self._held) - possible_start(self._held, self._stops)
        released, self._held = self._held[:keep], self._held[keep:]
        return released

    def flush(self) -> str:
        """What is still held, once no more text will come."""
        released, self._held = self._held, ""
        return released


def first_stop(text: str, stops: Sequence[str]) -> tuple[int, str] | None:
    """Where the stop string that is complete first begins, and which one it is; None if there is none."""
    found = [(start + len(stop), start, stop) for stop in stops if (start := text.find(stop)) >= 0]
    if not found:
        return None
    _, start, stop = min(found)
    return start, stop


def possible_start(text: str, stops: Sequence[str]) -> int:
    """Length of the longest end of `text` that is the beginning of a stop string."""
    for length in range(min(len(text), max(map(len, stops)) - 1), 0, -1):
        tail = text[-length:]
        if any(stop.startswith(tail) for stop in stops):
            return length
    return 0
