"""Between the pipeline and admission: what a request will use, whose limits it meets, what it did use."""

from collections.abc import Iterable

import msgspec

from trunkline_gateway.admission.admission import Admission, Demand
from trunkline_gateway.admission.estimation import Estimate, Estimator
from trunkline_gateway.admission.levels import Measure, Rule
from trunkline_gateway.admission.rulebook import Rulebook
from trunkline_gateway.catalogue import Catalogue, Offer
from trunkline_gateway.openai_types import ChatControl, CompletionControl
from trunkline_gateway.plan import Target
from trunkline_gateway.prices.charges import is_charged, reported
from trunkline_gateway.prices.pricing import Pricing
from trunkline_gateway.providers.base import Call
from trunkline_gateway.turn import Reservation, Turn
from trunkline_kit.clock import Clock
from trunkline_kit.settings import Route
from trunkline_policy.costs import Tokens

_GUESS_SHARE = 4
"""A request of whose output nothing is known reserves at most this part of a limit."""
_BY_SIZE = frozenset({Measure.TOKENS, Measure.BUDGET})
OUTPUT_MAX = 2**31 - 1
"""Tokens; a caller that allows more means: as many as there are."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What one configuration says about limits and prices."""

    rulebook: Rulebook
    pricing: Pricing
    catalogue: Catalogue


class Gate:
    """Holds what is learned over requests; of a request only its turn."""

    def __init__(self, admission: Admission, estimator: Estimator, clock: Clock) -> None:
        self.admission = admission
        self._estimator = estimator
        self._clock = clock

    async def admit(self, turn: Turn, call: Call, found: Offer | Route, terms: Terms) -> None:
        """Reserve for a request, before anything is done for it. Without limits on its way this is a few lookups.

        Raises what `Admission.admit` raises.
        """
        rules = terms.rulebook.of_caller(turn.principal, call.end_user)
        if isinstance(found, Offer):
            rules = (*rules, *terms.rulebook.of_model(found.name))
        if rules:
            await self._reserve(turn, call, rules, _offers(found, terms.catalogue), terms)

    async def admit_model(self, turn: Turn, call: Call, offer: Offer, terms: Terms) -> None:
        """Reserve what the model itself limits, once a route has led to it: one more call, where there is a limit."""
        rules = terms.rulebook.of_model(offer.name)
        if rules:
            await self._reserve(turn, call, rules, (offer,), terms)

    def settle(self, turn: Turn, terms: Terms) -> None:
        """At the end of every request, however it ended. Never waits, never raises."""
        reservation = turn.reservation
        if reservation is None:
            return
        tokens = _used(turn, reservation.estimate)
        cost_nusd = 0
        if tokens is not None and turn.target is not None:
            place = (turn.target.provider, turn.target.provider_model)
            cost_nusd = terms.pricing.cost(*place, tokens, self._clock.now_s()).cost_nusd
        total = 0 if tokens is None else tokens.input + tokens.output
        for ticket in reservation.tickets:
            self.admission.settle(ticket, total, cost_nusd)
        told = reported(turn.usage)
        if reservation.estimate is not None and told is not None and turn.outcome == "ok":
            self._estimator.learn(reservation.estimate, told.input, told.output)

    async def _reserve(
        self, turn: Turn, call: Call, rules: tuple[Rule, ...], offers: tuple[Offer, ...], terms: Terms
    ) -> None:
        estimate = None
        if any(rule.measure in _BY_SIZE for rule in rules):
            estimate = self._estimate(turn, call, rules)
        demand = Demand(
            rules=rules,
            when_down=terms.rulebook.when_down(turn.principal),
            total_s=max(offer.timeouts.total_s for offer in offers),
            tokens=estimate.tokens if estimate else 0,
            cost_nusd=self._dearest_nusd(estimate, offers, terms) if estimate else None,
        )
        ticket = await self.admission.admit(demand)
        reservation = turn.reservation
        if reservation is None:
            reservation = turn.reservation = Reservation()
        reservation.tickets.append(ticket)
        reservation.estimate = reservation.estimate or estimate

    def _estimate(self, turn: Turn, call: Call, rules: Iterable[Rule]) -> Estimate:
        found = self._estimator.estimate(
            call.control.model, turn.principal.key_id, call.body, output_max_of(call), call.choices
        )
        limit = min((rule.limit for rule in rules if rule.measure is Measure.TOKENS), default=None)
        if limit is None or output_max_of(call) is not None:
            return found
        # What we think of the output must not make a request too large for ever, nor a mere guess keep others out.
        room = (limit // _GUESS_SHARE if found.guessed else limit) - found.input_tokens
        return msgspec.structs.replace(found, output_tokens=min(found.output_tokens, max(0, room)))

    def _dearest_nusd(self, estimate: Estimate, offers: Iterable[Offer], terms: Terms) -> int | None:
        """What the request costs where it costs most, among all places it may go to; None if none has a price."""
        tokens = Tokens(uncached_input=estimate.input_tokens, output=estimate.output_tokens)
        now_s = self._clock.now_s()
        targets: dict[Target, None] = dict.fromkeys(target for offer in offers for target in offer.targets)
        costs = [terms.pricing.cost(one.provider, one.provider_model, tokens, now_s) for one in targets]
        return max((cost.cost_nusd for cost in costs if not cost.unpriced), default=None)


def output_max_of(call: Call) -> int | None:
    """The longest answer that the caller allows, per choice; None where it says nothing."""
    control = call.control
    if isinstance(control, ChatControl):
        allowed = control.max_tokens if control.max_completion_tokens is None else control.max_completion_tokens
    elif isinstance(control, CompletionControl):
        allowed = control.max_tokens
    else:
        allowed = None
    return None if allowed is None else min(max(0, allowed), OUTPUT_MAX)


def _offers(found: Offer | Route, catalogue: Catalogue) -> tuple[Offer, ...]:
    """All that may answer."""
    if isinstance(found, Offer):
        names = (found.name, *found.fallbacks)
    else:
        names = (*found.otherwise, *(name for rule in found.rules for name in rule.to))
    return tuple(catalogue.offers[name] for name in dict.fromkeys(names) if name in catalogue.offers)


def _used(turn: Turn, estimate: Estimate | None) -> Tokens | None:
    """What the request used: as reported, else as counted piece by piece, else nothing.

    Failed attempts, refused requests and cached answers use nothing.
    """
    if not is_charged(turn):
        return None
    told = reported(turn.usage)
    if told is not None or estimate is None:
        return told
    output = estimate.output_tokens if turn.outcome == "ok" and not turn.stream else turn.pieces
    return Tokens(uncached_input=estimate.input_tokens, output=output)
