"""Who answers of several that could: Filter, then Score, then Pick. Every rule sees the same and says a number.

A filter keeps or removes one candidate, or only puts it behind the others. A scorer gives each of those that are left
a number from 0 to 1. The picker puts them in order, the best first, which is the order in which they are tried. Nothing
is remembered here and nothing is asked: what is known of the candidates is in them. To add a rule, add a function and a
line to its table.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from msgspec import Struct

from trunkline_policy.affinity import has_room, lean, spread


class Candidate(Struct, frozen=True, kw_only=True):
    """One deployment, as it is now."""

    key: str
    """Its name, the same in every process."""
    account: str | None = None
    """Whose credentials it uses: deployments of one account keep things together."""
    weight: float = 1.0
    """Its share, over 0."""
    healthy: bool = True
    abilities: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    context_tokens: int | None = None
    """Of prompt and answer together; None where nobody has said."""
    in_flight: int = 0
    """Requests that it works on."""
    queued_s: float = 0.0
    """Seconds of work that those are expected to be."""
    own_s: float = 0.0
    """Seconds of work that one more is expected to be; 0.0 where nothing is known, which tries it out."""


class Wanted(Struct, frozen=True, kw_only=True):
    """What a request needs."""

    tokens: int = 0
    """Of prompt and answer, estimated."""
    abilities: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    only: str | None = None
    """The key, or the account, of who can continue what it began."""
    affinity: bytes = b""
    """What it should share a place with; empty for nothing."""


Filter = Callable[[Wanted, Candidate], bool]
Scorer = Callable[[Wanted, Sequence[Candidate], Sequence[float]], list[float]]
"""The last are dice, in [0, 1), one for each candidate."""


class Ruling(Struct, frozen=True):
    """Why some are not in the order, or at its end."""

    by: str
    """The filter's name."""
    keys: tuple[str, ...]
    last: bool = False
    """They are tried after all others."""


class Arranged(Struct, frozen=True):
    """Indexes of the candidates that are left, in the order of trying, and what the filters said."""

    order: tuple[int, ...]
    rulings: tuple[Ruling, ...] = ()


def _continues(wanted: Wanted, candidate: Candidate) -> bool:
    return wanted.only is None or wanted.only in (candidate.key, candidate.account)


def _able(wanted: Wanted, candidate: Candidate) -> bool:
    return wanted.abilities <= candidate.abilities


def _tagged(wanted: Wanted, candidate: Candidate) -> bool:
    return wanted.tags <= candidate.tags


def _roomy(wanted: Wanted, candidate: Candidate) -> bool:
    return candidate.context_tokens is None or wanted.tokens <= candidate.context_tokens


def _healthy(_: Wanted, candidate: Candidate) -> bool:
    return candidate.healthy


MUST: tuple[tuple[str, Filter], ...] = (("continuation", _continues), ("capability", _able), ("tags", _tagged))
"""Who fails these could only give a wrong answer: rather none."""
SHOULD: tuple[tuple[str, Filter], ...] = (("context", _roomy), ("health", _healthy))
"""Estimates and guesses: who fails these is tried after all others."""


def weighted(_: Wanted, candidates: Sequence[Candidate], rolls: Sequence[float]) -> list[float]:
    """By chance, each as often as its weight says."""
    return spread([candidate.weight for candidate in candidates], rolls)


def least_busy(_: Wanted, candidates: Sequence[Candidate], rolls: Sequence[float]) -> list[float]:  # noqa: ARG001
    """The fewest requests under way for its weight."""
    return _cheap([(candidate.in_flight + 1) / candidate.weight for candidate in candidates])


def least_cost(_: Wanted, candidates: Sequence[Candidate], rolls: Sequence[float]) -> list[float]:  # noqa: ARG001
    """The soonest done: seconds of work under way and of this request, for its weight."""
    return _cheap([(candidate.queued_s + candidate.own_s) / candidate.weight for candidate in candidates])


def prefix_affinity(wanted: Wanted, candidates: Sequence[Candidate], rolls: Sequence[float]) -> list[float]:
    """Where the same beginning went before, unless that one has clearly more to do than its share."""
    if not wanted.affinity:
        return weighted(wanted, candidates, rolls)
    weights = [candidate.weight for candidate in candidates]
    leans = spread(weights, [lean(wanted.affinity, candidate.key) for candidate in candidates])
    load, weight = sum(candidate.in_flight for candidate in candidates), sum(weights)
    free = [has_room(candidate.in_flight, candidate.weight, load, weight) for candidate in candidates]
    return [(score + is_free) / 2 for score, is_free in zip(leans, free, strict=True)]


SCORERS: dict[str, Scorer] = {
    "weighted": weighted,
    "least_busy": least_busy,
    "least_cost": least_cost,
    "prefix_affinity": prefix_affinity,
}


def arrange(scorer: Scorer, wanted: Wanted, candidates: Sequence[Candidate], dice: Iterator[float]) -> Arranged:
    """The order of trying. Takes as many dice as there are candidates. Equal scores are drawn by weight."""
    rolls = list(islice(dice, len(candidates)))
    left, ruled_out = _split(MUST, wanted, candidates, range(len(candidates)), last=False)
    first, put_back = _split(SHOULD, wanted, candidates, left, last=True)
    last = [index for index in left if index not in first]
    order = [*_ranked(scorer, wanted, candidates, first, rolls), *_ranked(scorer, wanted, candidates, last, rolls)]
    return Arranged(tuple(order), (*ruled_out, *put_back))


def _split(
    filters: Sequence[tuple[str, Filter]],
    wanted: Wanted,
    candidates: Sequence[Candidate],
    indexes: Sequence[int],
    *,
    last: bool,
) -> tuple[list[int], list[Ruling]]:
    """Those that pass all filters, and who failed which first."""
    left, rulings = list(indexes), []
    for name, keeps in filters:
        kept = [index for index in left if keeps(wanted, candidates[index])]
        if len(kept) < len(left):
            rulings.append(Ruling(name, tuple(candidates[index].key for index in left if index not in kept), last))
        left = kept
    return left, rulings


def _ranked(
    scorer: Scorer, wanted: Wanted, candidates: Sequence[Candidate], indexes: Sequence[int], rolls: Sequence[float]
) -> list[int]:
    """The picker: by score, the highest first."""
    some, own_rolls = [candidates[index] for index in indexes], [rolls[index] for index in indexes]
    scores, ties = scorer(wanted, some, own_rolls), weighted(wanted, some, own_rolls)
    ranked = sorted(zip(scores, ties, indexes, strict=True), key=lambda one: one[:2], reverse=True)
    return [index for _, _, index in ranked]


def _cheap(costs: Sequence[float]) -> list[float]:
    """1.0 for what costs nothing, the less the more it costs."""
    return [1.0 / (1.0 + cost) for cost in costs]
