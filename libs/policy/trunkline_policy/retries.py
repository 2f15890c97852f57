"""Which attempt comes next. One budget of attempts and one deadline hold over retries, fallbacks and hedges together.

Every place that may answer is tried once, in order, before any is tried again. A place is tried again only for what it
may have got over, after a pause: the provider's own, where it asks for one, else full jitter. What counts against an
account or a model rules out all places of that account or model. Pure: failures, clocks and dice in, the next try out.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

import msgspec

from trunkline_policy.faults import AGAIN, OF_THE_MODEL, FailureKind

BASE_S = 0.1
CAP_S = 5.0
"""Pauses where the provider does not ask for one."""


class Place(Protocol):
    """Where a request may go. Hashable."""

    @property
    def account(self) -> str:
        """Whose credentials and credit it uses."""

    @property
    def model(self) -> str:
        """The name it answers for."""


P = TypeVar("P", bound=Place)


class Failed(msgspec.Struct, Generic[P], frozen=True):
    """One attempt that is over."""

    place: P
    kind: FailureKind
    at_s: float = 0.0
    """When, on the clock of the deadline."""
    asked_s: float | None = None
    """What the provider asks to wait."""


class Chains(msgspec.Struct, Generic[P], frozen=True, kw_only=True):
    """Where to go, each in the order of trying. What the models of one chain say may lead into another."""

    places: tuple[P, ...]
    on_context: tuple[P, ...] = ()
    """After a model whose context is too short."""
    on_policy: tuple[P, ...] = ()
    """After a model whose filter objects."""


class Allowance(msgspec.Struct, frozen=True, kw_only=True):
    """What a request may spend."""

    attempts_max: int
    """Everything that is sent, hedges included."""
    deadline_s: float
    wait_s_max: float = float("inf")
    """The longest pause: what asks for more is left alone."""


class Rest(msgspec.Struct, frozen=True):
    """Until when a place is better left alone; 0.0 for not at all."""

    told_s: float = 0.0
    """It said so itself: nothing is sent before."""
    tripped_s: float = 0.0
    """It failed too often: used when nothing else is left."""


AWAKE = Rest()
RestOf = Callable[[P], Rest]


class Try(msgspec.Struct, Generic[P], frozen=True):
    """The next attempt."""

    place: P
    wait_s: float = 0.0
    last_resort: bool = False
    """Its breaker is open and nothing else is left."""


def full_jitter_s(retry: int, roll: float, *, base_s: float = BASE_S, cap_s: float = CAP_S) -> float:
    """Seconds before retry number `retry` (from 0): anything up to a bound that doubles; `roll` is in 0..1.

    Source: Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015 ("full jitter": of those compared,
    the least work for the fewest calls).
    """
    return roll * min(cap_s, base_s * 2.0 ** min(retry, 32))


def pause_s(failed: Failed[P], retry: int, roll: float) -> float:
    """How long after `failed` its place may be tried again: never less than it asks for, never all at one moment."""
    jitter_s = full_jitter_s(retry, roll)
    return jitter_s if failed.asked_s is None else failed.asked_s + min(jitter_s, BASE_S)


def next_try(
    chains: Chains[P],
    failures: Sequence[Failed[P]],
    allowance: Allowance,
    now_s: float,
    roll: float,
    rest_of: RestOf[P] = lambda _: AWAKE,
) -> Try[P] | None:
    """The attempt after `failures`, None when nothing is left to try within the allowance. O(places x failures)."""
    if len(failures) >= allowance.attempts_max or now_s >= allowance.deadline_s:
        return None
    places = _still_open(_chain(chains, failures), failures)
    tried = {failed.place for failed in failures}
    rests = {place: rest_of(place) for place in places}
    for place in places:
        rest = rests[place]
        if place not in tried and rest.told_s <= now_s and rest.tripped_s <= now_s:
            return Try(place)
    for ready_s, _, place in sorted(_ready(places, failures, rests, roll, now_s), key=lambda one: one[:2]):
        wait_s = max(0.0, ready_s - now_s)
        if now_s + wait_s < allowance.deadline_s and wait_s <= allowance.wait_s_max:
            return Try(place, wait_s)
    left = [place for place in places if place not in tried and rests[place].told_s <= now_s]
    return Try(min(left, key=lambda place: rests[place].tripped_s), last_resort=True) if left else None


def _chain(chains: Chains[P], failures: Sequence[Failed[P]]) -> tuple[P, ...]:
    """The chain that what happened so far leads into.

    Without a chain of its own, what the model that was asked for says of the request is final; what a fallback says of
    it only rules out that fallback.
    """
    chain = chains.places
    for failed in failures:
        if failed.kind in OF_THE_MODEL:
            next_chain = chains.on_context if failed.kind is FailureKind.CONTEXT else chains.on_policy
            is_final = not next_chain and failed.place.model == chains.places[0].model
            chain = () if is_final else next_chain or chain
    return chain


def _still_open(chain: Sequence[P], failures: Sequence[Failed[P]]) -> list[P]:
    """Places that nothing has ruled out for this request."""
    hopeless = {failed.place for failed in failures if failed.kind not in AGAIN}
    accounts = {failed.place.account for failed in failures if failed.kind is FailureKind.ACCOUNT}
    models = {failed.place.model for failed in failures if failed.kind in OF_THE_MODEL}
    return [
        place
        for place in chain
        if place not in hopeless and place.account not in accounts and place.model not in models
    ]


def _ready(
    places: Sequence[P], failures: Sequence[Failed[P]], rests: dict[P, Rest], roll: float, now_s: float
) -> Iterator[tuple[float, int, P]]:
    """When each place may be waited for, and how often it was tried. Open breakers are not waited for."""
    for place in places:
        rest = rests[place]
        if rest.tripped_s > now_s:
            continue
        own = [failed for failed in failures if failed.place == place]
        # Not all that wait for the same moment at that very moment.
        ready_s = rest.told_s + full_jitter_s(0, roll) if rest.told_s > now_s else 0.0
        if own:
            ready_s = max(ready_s, own[-1].at_s + pause_s(own[-1], len(own) - 1, roll))
        yield ready_s, len(own), place
