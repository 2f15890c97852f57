"""The plan of one request: which deployments may answer, in which order, and where failures lead instead."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from trunkline_gateway.admission.sizing import output_max_of
from trunkline_gateway.catalogue import Catalogue, Offer
from trunkline_gateway.dialects.canonical import Dialect
from trunkline_gateway.dialects.needs import needs
from trunkline_gateway.fleet.conversation import conversation_of, prefix_of
from trunkline_gateway.fleet.deployments import Fleet
from trunkline_gateway.fleet.fitness import DIALECTS, differences
from trunkline_gateway.plan import CANARY, Target
from trunkline_gateway.providers.base import Call
from trunkline_kit.errors import PermissionDenied
from trunkline_kit.settings import Balance
from trunkline_policy import canaries, estimates
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


class Asked(msgspec.Struct, frozen=True):
    """A request, and what it needs that not all who may get it can do."""

    call: Call
    dialect: Dialect | None = None
    abilities: frozenset[str] = frozenset()
    anyway: frozenset[str] = frozenset()
    """Models that it goes to although they cannot do it."""


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
        asked = _asked(catalogue, names, call)
        main = allowed(self._targets(catalogue, (names[0], *first.fallbacks, *names[1:]), asked, rulings))
        if not (first.on_context or first.on_policy):
            return Planned(Chains(places=main), catalogue.offers, tuple(rulings))
        chains = Chains(
            places=main,
            on_context=self._chain(catalogue, first.on_context, asked, allowed),
            on_policy=self._chain(catalogue, first.on_policy, asked, allowed),
        )
        return Planned(chains, catalogue.offers, tuple(rulings))

    def _chain(self, catalogue: Catalogue, names: Sequence[str], asked: Asked, allowed: Allowed) -> tuple[Target, ...]:
        targets = self._targets(catalogue, names, asked, [])
        try:
            return allowed(targets) if targets else ()
        except PermissionDenied:
            # The request itself may be answered; it only cannot be led here.
            return ()

    def _targets(
        self, catalogue: Catalogue, names: Sequence[str], asked: Asked, rulings: list[tuple[str, Ruling]]
    ) -> tuple[Target, ...]:
        """Each once, model after model."""
        ordered: dict[Target, None] = {}
        for name in names:
            offer = catalogue.offers[name]
            if len(offer.targets) == 1 and asked.call.only is None and not asked.abilities:
                ordered[offer.targets[0]] = None
                continue
            arranged = self._arranged(offer, asked)
            order = _by_arm(offer, asked.call, arranged.order)
            ordered.update((offer.targets[index], None) for index in order)
            rulings += [(name, ruling) for ruling in arranged.rulings]
        return tuple(ordered)

    def _arranged(self, offer: Offer, asked: Asked) -> Arranged:
        now_s = self._fleet.clock.monotonic_s()
        wanted = _wanted(offer, asked)
        able = [wanted.abilities] * len(offer.targets)
        if wanted.abilities and asked.dialect is not None:
            able = [wanted.abilities - lacks for lacks in offer.lacks[asked.dialect].each]
        candidates = [self._candidate(target, able[index], now_s) for index, target in enumerate(offer.targets)]
        scorer = prefix_affinity if offer.sticky else SCORERS[offer.balance.value]
        return arrange(scorer, wanted, candidates, self._rolls())

    def _candidate(self, target: Target, able: frozenset[str], now_s: float) -> Candidate:
        known, rest = self._fleet.of(target.place), self._fleet.rest_of(target.place, now_s)
        return Candidate(
            key=target.key,
            account=target.account,
            weight=target.weight,
            healthy=not (rest.told_s or rest.tripped_s),
            abilities=able,
            context_tokens=target.context_tokens,
            in_flight=known.in_flight,
            # Requests under way are half done on average.
            queued_s=known.in_flight * known.usual_s / 2,
            own_s=known.usual_s,
        )

    def _rolls(self) -> Iterator[float]:
        while True:
            yield self._dice.random()


def _asked(catalogue: Catalogue, names: Sequence[str], call: Call) -> Asked:
    """Looks at the request only where that makes a difference.

    What none of the models that were asked for can do is for their providers to judge, or for the translation to
    refuse by name: then all of them stay. Of fallbacks only those are of use that can do it.
    """
    dialect = DIALECTS.get(call.surface)
    if dialect is None or call.only is not None:
        return Asked(call)
    offers = [catalogue.offers[name] for name in names]
    leads_to = offers[0].leads_to
    if len(offers) == 1 and not leads_to:
        varied = offers[0].lacks[dialect].varied
    else:
        others = [catalogue.offers[name] for name in leads_to]
        varied = differences([offer.lacks[dialect] for offer in (*offers, *others)])
    abilities = needs(call.body, dialect) & varied if varied else varied
    if not abilities:
        return Asked(call)
    able = any(not lacks & abilities for offer in offers for lacks in offer.lacks[dialect].each)
    return Asked(call, dialect, abilities, frozenset() if able else frozenset(names))


def _by_arm(offer: Offer, call: Call, order: Sequence[int]) -> Sequence[int]:
    """With the canaries first for their share of the conversations, and last for the others."""
    are_canaries = [target.arm == CANARY for target in offer.targets]
    if not any(are_canaries) or call.only is not None:
        return order
    share = canaries.share_of([target.weight for target in offer.targets], are_canaries)
    key = conversation_of(call) or call.request_id.encode()
    return canaries.arms(order, are_canaries, drawn=canaries.is_drawn(key, offer.name, share))


def _wanted(offer: Offer, asked: Asked) -> Wanted:
    affinity = b""
    if offer.sticky:
        affinity = conversation_of(asked.call)
    elif offer.balance is Balance.PREFIX_AFFINITY:
        affinity = prefix_of(asked.call)
    # Among deployments of one size it changes nothing, and costs a look at the whole prompt.
    sized = len({target.context_tokens for target in offer.targets}) > 1
    abilities = frozenset() if offer.name in asked.anyway else asked.abilities
    tokens = _tokens(asked.call) if sized else 0
    return Wanted(tokens=tokens, affinity=affinity, abilities=abilities, only=asked.call.only)


def _tokens(call: Call) -> int:
    """Of prompt and answer, as far as the caller bounds it."""
    prior = estimates.PRIORS[estimates.script_of(call.body)]
    return estimates.input_tokens(estimates.text_bytes(call.body), prior) + (output_max_of(call) or 0)
