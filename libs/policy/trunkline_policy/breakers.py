"""A breaker for one deployment, as data: a state and an event in, the next state out.

It is closed until so many attempts in a row have failed, then open for a while in which nothing should be sent, then
half open: one attempt may show whether it works again. Each opening without a success in between lasts twice as long.
Apart from that a deployment may say itself how long it wants to be left alone. Both ends are exact moments on the
caller's clock, and neither is ever brought forward by another failure.

Source: Nygard, "Release It!", 2007, ch. 5.2 (circuit breaker).
"""

from enum import Enum

from msgspec import Struct
from msgspec.structs import replace


class Phase(Enum):
    """The value is its label in metrics."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Terms(Struct, frozen=True, kw_only=True):
    """When a breaker opens and for how long."""

    failures: int = 5
    """In a row."""
    open_s: float = 5.0
    """The first time."""
    open_s_max: float = 60.0
    probe_s: float = 60.0
    """After this long without a word from a probe another one may go."""


class Breaker(Struct, frozen=True, kw_only=True):
    """What is known of one deployment. All moments are on one clock, 0.0 for never."""

    failures: int = 0
    """In a row, while it is closed."""
    openings: int = 0
    """Without a success in between."""
    opened_s: float = 0.0
    open_until_s: float = 0.0
    told_until_s: float = 0.0
    """It asked to be left alone until then."""
    probe_until_s: float = 0.0
    """A probe is under way; if nothing is heard of it, until then."""

    def phase(self, now_s: float) -> Phase:
        """What it told us counts as open, but not as tripped: after it comes no probe."""
        if now_s < max(self.open_until_s, self.told_until_s):
            return Phase.OPEN
        return Phase.HALF_OPEN if self.openings else Phase.CLOSED

    def tripped_until_s(self, now_s: float) -> float:
        """When the next attempt may go, as far as failures decide; 0.0 for now. With a probe out: when that is lost."""
        until_s = max(self.open_until_s, self.probe_until_s if self.openings else 0.0)
        return until_s if until_s > now_s else 0.0


SOUND = Breaker()


def admitted(breaker: Breaker, now_s: float, terms: Terms) -> Breaker:
    """An attempt goes out. In a half-open breaker it is the probe, and the only one."""
    if breaker.phase(now_s) is not Phase.HALF_OPEN:
        return breaker
    return replace(breaker, probe_until_s=now_s + terms.probe_s)


def succeeded(breaker: Breaker, sent_s: float) -> Breaker:
    """An attempt that was sent at `sent_s` has worked. One from before it opened says nothing of now."""
    if breaker.openings and sent_s < breaker.opened_s:
        return breaker
    if breaker.openings or breaker.failures:
        return replace(breaker, failures=0, openings=0, opened_s=0.0, open_until_s=0.0, probe_until_s=0.0)
    return breaker


def failed(breaker: Breaker, sent_s: float, now_s: float, terms: Terms) -> Breaker:
    """An attempt that was sent at `sent_s` has failed. While it is open, those from before it opened do not count."""
    if breaker.openings:
        return opened(breaker, now_s, terms) if sent_s >= breaker.open_until_s else breaker
    if breaker.failures + 1 >= terms.failures:
        return opened(breaker, now_s, terms)
    return replace(breaker, failures=breaker.failures + 1)


def opened(breaker: Breaker, now_s: float, terms: Terms) -> Breaker:
    """Open it now, for longer than the last time if it has not worked since."""
    open_s = min(terms.open_s_max, terms.open_s * 2.0 ** min(breaker.openings, 32))
    return replace(
        breaker,
        failures=0,
        openings=breaker.openings + 1,
        opened_s=now_s,
        open_until_s=max(breaker.open_until_s, now_s + open_s),
        probe_until_s=0.0,
    )


def heard(breaker: Breaker, opened_s: float, until_s: float) -> Breaker:
    """Somebody else's breaker for the same deployment opened at `opened_s`. Ours is open as long, never for less."""
    return replace(
        breaker,
        failures=0,
        openings=max(1, breaker.openings),
        opened_s=max(opened_s, breaker.opened_s),
        open_until_s=max(until_s, breaker.open_until_s),
    )


def told(breaker: Breaker, until_s: float) -> Breaker:
    """It asks to be left alone until then: never for less than it has asked before."""
    return replace(breaker, told_until_s=until_s) if until_s > breaker.told_until_s else breaker


def abandoned(breaker: Breaker, sent_s: float, terms: Terms) -> Breaker:
    """An attempt that was sent at `sent_s` ended without telling anything: if it was the probe, another may go."""
    was_probe = breaker.probe_until_s == sent_s + terms.probe_s
    return replace(breaker, probe_until_s=0.0) if was_probe else breaker
