"""What a scenario of the fault suite is, and how a request may end in one."""

from collections.abc import Callable
from enum import Enum

import msgspec

from trunkline_testkit.faulty import Play
from trunkline_testkit.provider_words import Words

PlayOf = Callable[[Words], Play]
CLOCK_S = 0.15
"""Of the clock that a scenario is about; the others are out of reach."""
TOTAL_S = 0.3
LIMIT_BYTES = 1 << 20
"""Of a whole answer."""
WAIT_S_MAX = 0.2
"""The longest wait for a provider that asks for one."""


class Kind(Enum):
    """How a request ends for its caller."""

    ANSWERED = "answered"
    REFUSED = "refused"
    """An error in place of an answer."""
    BROKEN = "broken"
    """An error inside a stream that had begun."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What comes of a request with nobody else to ask."""

    kind: Kind = Kind.ANSWERED
    status: int = 200
    code: str = ""
    """Of the error, as OpenAI's dialect has it."""
    attempts: int = 1
    can_be_rescued: bool = False
    """Another provider answers instead, where there is one."""
    usage: str = "none"
    """Where the ledger's rows have their tokens from."""
    retry_after: str = ""
    """What the caller is told to wait, as a regular expression."""


def refused(status: int, code: str, *, attempts: int, rescued: bool = True, retry_after: str = "") -> Outcome:
    return Outcome(
        kind=Kind.REFUSED,
        status=status,
        code=code,
        attempts=attempts,
        can_be_rescued=rescued,
        retry_after=retry_after,
    )


ANSWERED = Outcome(usage="reported")
GUESSED = Outcome(usage="estimated")
UNREACHED = refused(502, "upstream_unavailable", attempts=2)
UNUSABLE = refused(502, "upstream_error", attempts=2)
UNFIT = refused(502, "upstream_error", attempts=1)
"""It would do the same again: nobody asks it twice."""
SILENT = refused(504, "timeout", attempts=1)
LATE = refused(504, "timeout", attempts=1, rescued=False)
"""The time for the whole request is over, so nobody else can be asked."""
BROKEN_OFF = Outcome(kind=Kind.BROKEN, code="upstream_error", usage="estimated")
FELL_SILENT = Outcome(kind=Kind.BROKEN, code="timeout", usage="estimated")


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a provider does wrong."""

    name: str
    says: str
    """What it does, for the page."""
    whole: tuple[PlayOf, Outcome] | None = None
    """Where a whole answer was asked for; None where that makes no difference to speak of."""
    stream: tuple[PlayOf, Outcome] | None = None
    assembled: Outcome | None = None
    """Where a whole answer is put together from that stream; None: what follows from the stream's outcome."""
    clocks: tuple[tuple[str, float], ...] = ()
    scheme: str = "http"
    host: str = ""
    """Another address than the provider's."""
    only: str = ""
    """The kind of providers that it is for; empty for all."""

    @property
    def timeouts(self) -> dict[str, float]:
        return {"connect_s": 5.0, "first_token_s": 20.0, "idle_s": 20.0, "total_s": 30.0, **dict(self.clocks)}

    def from_pieces(self) -> Outcome | None:
        """What comes of a whole answer that is put together from this stream."""
        if self.stream is None or self.assembled is not None:
            return self.assembled
        outcome = self.stream[1]
        if outcome.kind is not Kind.BROKEN:
            return outcome
        is_silent = outcome.code == "timeout"
        found = refused(504 if is_silent else 502, outcome.code, attempts=1 if is_silent else 2)
        return msgspec.structs.replace(found, usage="estimated")
