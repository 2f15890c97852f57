"""Lines in the log about something that may go wrong at every request."""

import logging

PAUSE_S = 10.0
"""Between two lines."""


class Complaints:
    """Of one kind: the first is said at once, then at most one in `PAUSE_S`, with how many were left out."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._silent_until_s = float("-inf")
        self._left_out = 0

    def say(self, what: str, why: str, now_s: float) -> None:
        """`now_s` is on any one clock."""
        if now_s < self._silent_until_s:
            self._left_out += 1
            return
        more = f" ({self._left_out} more lines like this were left out)" if self._left_out else ""
        self._log.error("%s: %.200s%s", what, why, more)
        self._silent_until_s, self._left_out = now_s + PAUSE_S, 0
