"""The plan of one request: which deployments may answer, in which order, and where failures lead instead."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from trunkline_gateway.admission.sizing import output_max_of
from trunkline_gateway.catalogue import Catalogue, Offer
from trunkline_gateway.fleet.conversation import conversation_of, prefix_of
from trunkline_gateway.fleet.deployments import Fleet
from trunkline_gateway.plan import Target
from trunkline_gateway.providers.base import Call
from trunkline_kit.errors import PermissionDenied
from trunkline_kit.settings import Balance
from trunkline_policy import estimates
from trunkline_policy.balancing import SCORERS, Arranged, Candidate, Ruling, Wanted, arrange, prefix_affinity
from trunkline_policy.retries import Chains

Allowed = Callable[[tuple[Target, ...]], tuple[Target, ...]]
"""Leaves out what this caller may not use; raises where that leaves nothing."""


class Planned(msgspec.Struct, frozen=True):
    """Where a request may go, and what was decided about the deployments of each model."""

    chains: Chains[Target]
    offers: Mapping[str, Offer]
    """All models, by public name."""
    rulings: tuple[tuple[str, Ruling], ...] = ()
    """With the public name of the model."""


class Planner:
    """Makes plans. Holds nothing of a request."""

    def __init__(self, fleet: Fleet, dice: random.Random) -> None:
        self._fleet = fleet
        self._dice = dice

    def plan(self, catalogue: Catalogue, names: Sequence[str], call: Call, allowed: Allowed) -> Planned:
        """For the first of `names`: itself, its fallbacks, then the other names; a model's deployments by its balance.

        Raises what `allowed` raises, for the models that come first.
        """
        first = catalogue.offers[names[0]]
        rulings: list[tuple[str, Ruling]] = []
        main = allowed(self._targets(catalogue, (names[0], *first.fallbacks, *names[1:]), call, rulings))
        if not (first.on_context or first.on_policy):
            return Planned(Chains(places=main), catalogue.offers, tuple(rulings))
        chains = Chains(
            places=main,
            on_context=self._chain(catalogue, first.on_context, call, allowed),
            on_policy=self._chain(catalogue, first.on_policy, call, allowed),
        )
        return Planned(chains, catalogue.offers, tuple(rulings))

    def _chain(self, catalogue: Catalogue, names: Sequence[str], call: Call, allowed: Allowed) -> tuple[Target, ...]:
        targets = self._targets(catalogue, names, call, [])
        try:
            return allowed(targets) if targets else ()
        except PermissionDenied:
            # The request itself may be answered; it only cannot be led here.
            return ()

    def _targets(
        self, catalogue: Catalogue, names: Sequence[str], call: Call, rulings: list[tuple[str, Ruling]]
    ) -> tuple[Target, ...]:
        """Each once, model after model."""
        ordered: dict[Target, None] = {}
        for name in names:
            offer = catalogue.offers[name]
            if len(offer.targets) == 1:
                ordered[offer.targets[0]] = None
                continue
            arranged = self._arranged(offer, call)
            ordered.update((offer.targets[index], None) for index in arranged.order)
            rulings += [(name, ruling) for ruling in arranged.rulings]
        return tuple(ordered)

    def _arranged(self, offer: Offer, call: Call) -> Arranged:
        now_s = self._fleet.clock.monotonic_s()
        candidates = [self._candidate(target, now_s) for target in offer.targets]
        scorer = prefix_affinity if offer.sticky else SCORERS[offer.balance.value]
        return arrange(scorer, _wanted(offer, call), candidates, self._rolls())

    def _candidate(self, target: Target, now_s: float) -> Candidate:
        known, rest = self._fleet.of(target.place), self._fleet.rest_of(target.place, now_s)
        return Candidate(
            key=target.key,
            weight=target.weight,
            healthy=not (rest.told_s or rest.tripped_s),
            context_tokens=target.context_tokens,
            in_flight=known.in_flight,
            # Requests under way are half done on average.
            queued_s=known.in_flight * known.usual_s / 2,
            own_s=known.usual_s,
        )

    def _rolls(self) -> Iterator[float]:
        while True:
            yield self._dice.random()


def _wanted(offer: Offer, call: Call) -> Wanted:
    affinity = b""
    if offer.sticky:
        affinity = conversation_of(call)
    elif offer.balance is Balance.PREFIX_AFFINITY:
        affinity = prefix_of(call)
    sized = any(target.context_tokens is not None for target in offer.targets)
    return Wanted(tokens=_tokens(call) if sized else 0, affinity=affinity)


def _tokens(call: Call) -> int:
    """Of prompt and answer, as far as the caller bounds it."""
    prior = estimates.PRIORS[estimates.script_of(call.body)]
    return estimates.input_tokens(estimates.text_bytes(call.body), prior) + (output_max_of(call) or 0)
