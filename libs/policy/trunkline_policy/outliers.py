"""Which of several deployments does markedly worse than the others: by its share of failures, or slower than it was.

Counts fade by half every `half_life_s`, so that a record needs no clearing: what is long ago weighs nothing. Slowness
is measured against a deployment's own past, since two that serve one model may differ tenfold by nature, and only
counts while the others have not become slower too: then it is the load. Pure.
"""

import math
from collections.abc import Sequence

from msgspec import Struct

USUAL_TIMES_MAX = 2.0
"""What a single first token can count for in what is usual, against what was usual before it."""


class Terms(Struct, frozen=True, kw_only=True):
    """When a deployment stands out. Times are of the first token."""

    half_life_s: float = 20.0
    memory_s: float = 600.0
    """Half-life of what its first tokens usually take."""
    volume_min: float = 20.0
    """Fewer recent attempts tell nothing."""
    failed_share_min: float = 0.2
    """A smaller share of failures is never too much."""
    failed_share_gap: float = 0.2
    """By how much it must be above that of the others together."""
    slower_times: float = 4.0
    """Recent first tokens against its own usual ones."""
    slow_s_min: float = 1.0
    """Faster is never too slow."""
    standing_share: float = 0.5
    """At least this share of the deployments is never put out for standing out; always one."""


class Record(Struct, frozen=True, kw_only=True):
    """What was seen of one deployment, faded to `updated_s`."""

    worked: float = 0.0
    failed: float = 0.0
    recent_s: float = 0.0
    """Mean time to the first token lately."""
    timed: float = 0.0
    """How many of those."""
    usual_s: float = 0.0
    """The same over a long time."""
    known: float = 0.0
    updated_s: float = 0.0

    @property
    def volume(self) -> float:
        """Attempts lately."""
        return self.worked + self.failed

    @property
    def failed_share(self) -> float:
        return self.failed / self.volume if self.volume else 0.0

    @property
    def slowdown(self) -> float:
        """How many times slower than usual; 1.0 where nothing is known."""
        return self.recent_s / self.usual_s if self.usual_s and self.timed else 1.0


UNSEEN = Record()


def seen(record: Record, now_s: float, terms: Terms, *, ok: bool, first_token_s: float | None = None) -> Record:
    """The record with one more attempt. A clock that steps back counts as no time passed."""
    past = faded(record, now_s, terms)
    timed, known, recent_s, usual_s = past.timed, past.known, past.recent_s, past.usual_s
    if first_token_s is not None:
        timed, known = timed + 1.0, known + 1.0
        recent_s += (first_token_s - recent_s) / timed
        # A sudden slowness must not pass for what is usual before it was noticed.
        bounded_s = min(first_token_s, usual_s * USUAL_TIMES_MAX) if usual_s else first_token_s
        usual_s += (bounded_s - usual_s) / known
    return Record(
        worked=past.worked + ok,
        failed=past.failed + (not ok),
        recent_s=recent_s,
        timed=timed,
        usual_s=usual_s,
        known=known,
        updated_s=past.updated_s,
    )


def put_out(record: Record) -> Record:
    """What is left to know of one that was put out: it starts afresh, but not with what it usually takes."""
    return Record(usual_s=record.usual_s, known=record.known, updated_s=record.updated_s)


def faded(record: Record, now_s: float, terms: Terms) -> Record:
    """The record as it weighs now."""
    passed_s = max(0.0, now_s - record.updated_s)
    recent, usual = math.exp2(-passed_s / terms.half_life_s), math.exp2(-passed_s / terms.memory_s)
    return Record(
        worked=record.worked * recent,
        failed=record.failed * recent,
        recent_s=record.recent_s,
        timed=record.timed * recent,
        usual_s=record.usual_s,
        known=record.known * usual,
        updated_s=max(now_s, record.updated_s),
    )


def stands_out(record: Record, others: Sequence[Record], terms: Terms, now_s: float) -> bool:
    """Whether it does markedly worse than `others`, the rest of those that serve the same. Never without others."""
    own = faded(record, now_s, terms)
    peers = [peer for other in others if (peer := faded(other, now_s, terms)).volume >= terms.volume_min]
    return own.volume >= terms.volume_min and bool(peers) and (_fails(own, peers, terms) or _lags(own, peers, terms))


def _fails(own: Record, peers: Sequence[Record], terms: Terms) -> bool:
    theirs = sum(peer.failed for peer in peers) / sum(peer.volume for peer in peers)
    return own.failed_share >= terms.failed_share_min and own.failed_share >= theirs + terms.failed_share_gap


def _lags(own: Record, peers: Sequence[Record], terms: Terms) -> bool:
    slow = own.timed >= terms.volume_min and own.recent_s >= terms.slow_s_min and own.slowdown >= terms.slower_times
    return slow and min(peer.slowdown for peer in peers) < terms.slower_times / 2


def may_put_out(standing: int, total: int, terms: Terms) -> bool:
    """Whether one more of `total` may be put out while `standing` of them are not: enough must be left."""
    return standing - 1 >= max(1, math.ceil(terms.standing_share * total))
