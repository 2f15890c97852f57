"""Between the pipeline and admission: what a request will use, whose limits it meets, what it did use."""

import asyncio
from collections.abc import Collection, Iterator

import msgspec

from trunkline_gateway.admission.admission import Demand
from trunkline_gateway.admission.estimation import Estimate, Estimator
from trunkline_gateway.admission.exact import Tokenizers
from trunkline_gateway.admission.levels import Measure, Rule
from trunkline_gateway.admission.rulebook import Rulebook
from trunkline_gateway.admission.sizing import BY_SIZE, Question, Size, Tools
from trunkline_gateway.admission.waiting import Place, WaitingRoom
from trunkline_gateway.auth import Principal
from trunkline_gateway.catalogue import Catalogue, Offer
from trunkline_gateway.ledger.rows import AttemptRow
from trunkline_gateway.prices.charges import is_charged, lasted_us, reported, said_tokens, wasted
from trunkline_gateway.prices.durations import Durations
from trunkline_gateway.prices.pricing import Billing, Pricing
from trunkline_gateway.providers.base import Call
from trunkline_gateway.surface import UNCHARGED
from trunkline_gateway.turn import Reservation, Turn
from trunkline_kit.clock import Clock
from trunkline_kit.settings import Route
from trunkline_kit.tenants import WhenStoreIsDown
from trunkline_policy.costs import Tokens


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What one configuration says about limits and prices."""

    rulebook: Rulebook
    pricing: Pricing
    catalogue: Catalogue


class Gate:
    """Holds what is learned over requests; of a request only its turn."""

    def __init__(self, room: WaitingRoom, estimator: Estimator, clock: Clock) -> None:
        self.room = room
        self.admission = room.admission
        self._estimator = estimator
        self._durations = Durations()
        self._clock = clock
        self.tools = Tools(estimator=estimator, durations=self._durations, tokenizers=Tokenizers(), clock=clock)

    async def admit(
        self, turn: Turn, call: Call, found: Offer | Route, terms: Terms, measures: Collection[Measure] = tuple(Measure)
    ) -> None:
        """Reserve for a request, before anything is done for it. Without limits on its way this is a few lookups.

        `measures`: those that can be told already; each is to be reserved once. Raises what `Admission.admit` raises.
        """
        rules = terms.rulebook.of_caller(turn.principal, turn.end_user or call.end_user, turn.tags)
        if isinstance(found, Offer):
            rules = (*rules, *terms.rulebook.of_model(found.name))
        if rules := tuple(rule for rule in _met(turn, rules) if rule.measure in measures):
            await self._reserve(turn, call, rules, _offers(found, terms.catalogue), terms)

    async def admit_caller(self, turn: Turn, call: Call, terms: Terms) -> None:
        """The same for a request that no model answers."""
        rules = _met(turn, terms.rulebook.of_caller(turn.principal, turn.end_user or call.end_user, turn.tags))
        if rules:
            await self._reserve(turn, call, rules, (), terms)

    async def admit_model(self, turn: Turn, call: Call, offer: Offer, terms: Terms) -> None:
        """Reserve what the model itself limits, once a route has led to it: one more call, where there is a limit."""
        rules = _met(turn, terms.rulebook.of_model(offer.name))
        if rules:
            await self._reserve(turn, call, rules, (offer,), terms)

    def charge_lost(self, row: AttemptRow, terms: Terms) -> None:
        """Count an attempt whose gateway died in it: its reservation runs out, and what was used of it was used."""
        who = Principal(key_id=row.key_id, team=row.team, org=row.org, project=row.project)
        rules = terms.rulebook.of_caller(who, row.end_user, row.tags)
        demand = Demand(
            rules=(*rules, *terms.rulebook.of_model(row.model)),
            when_down=WhenStoreIsDown.OPEN,
            total_s=0.0,
            tokens=row.uncached_input_tokens + row.cache_read_tokens + row.cache_write_tokens + row.output_tokens,
            cost_nusd=row.cost_nusd,
        )
        self.admission.charge(row.attempt_id.hex, demand, row.started_us // 1000)

    def settle(self, turn: Turn, terms: Terms) -> None:
        """At the end of every request, however it ended. Never waits, never raises."""
        reservation = turn.reservation
        if reservation is None:
            return
        tokens = _used(turn, reservation.estimate)
        cost_nusd = 0
        if tokens is not None and turn.target is not None:
            place = (turn.target.provider, turn.target.provider_model)
            billing = self._billed(turn, place, terms.pricing)
            cost_nusd = terms.pricing.cost(*place, tokens, self._clock.now_s(), billing).cost_nusd
        total = 0 if tokens is None else tokens.input + tokens.output
        for place, lost, duration_us in _wasted(turn, reservation.estimate):
            total += lost.input + lost.output
            billing = Billing(team=turn.principal.team, duration_us=duration_us)
            cost_nusd += terms.pricing.cost(*place, lost, self._clock.now_s(), billing).cost_nusd
        for ticket in reservation.tickets:
            self.admission.settle(ticket, total, cost_nusd)
            self.room.released(ticket.keys)
        told = reported(turn.usage)
        if reservation.estimate is not None and told is not None and turn.outcome == "ok":
            self._estimator.learn(reservation.estimate, told.input, told.output)

    async def _reserve(
        self, turn: Turn, call: Call, rules: tuple[Rule, ...], offers: tuple[Offer, ...], terms: Terms
    ) -> None:
        question = Question(
            turn=turn,
            call=call,
            rules=rules,
            offers=offers,
            pricing=terms.pricing,
            when_down=terms.rulebook.when_down(turn.principal),
        )
        size = Size(self.tools, question)
        if size.estimate is not None and self.admission.near(size.demand):
            await size.count()
        admitted = await self.room.admit(size.demand, _place_of(turn), size.count)
        turn.queued_ms += admitted.queued_ms
        reservation = turn.reservation
        if reservation is None:
            reservation = turn.reservation = Reservation()
        reservation.tickets.append(admitted.ticket)
        reservation.estimate = reservation.estimate or size.estimate

    def _billed(self, turn: Turn, place: tuple[str, str], pricing: Pricing) -> Billing:
        if not (pricing.by_time and turn.tried):
            return Billing(team=turn.principal.team)
        duration_us = lasted_us(turn, turn.final, asyncio.get_running_loop().time())
        self._durations.learn(place, duration_us)
        return Billing(team=turn.principal.team, duration_us=duration_us)


def _met(turn: Turn, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """Those that count for this request: what costs nothing meets none that depends on its size."""
    if turn.surface not in UNCHARGED:
        return rules
    return tuple(rule for rule in rules if rule.measure not in BY_SIZE)


def _place_of(turn: Turn) -> Place | None:
    """How this request waits for room; None where it does not, or has done so long enough."""
    principal = turn.principal
    if principal.queue_wait_s is None:
        return None
    left_s = principal.queue_wait_s - turn.queued_ms / 1000
    if left_s <= 0:
        return None
    return Place(
        team=f"{principal.org}/{principal.team}", weight=principal.weight, priority=principal.priority, wait_s=left_s
    )


def _offers(found: Offer | Route, catalogue: Catalogue) -> tuple[Offer, ...]:
    """All that may answer."""
    if isinstance(found, Offer):
        names = (found.name, *found.leads_to)
    else:
        names = (*found.otherwise, *(name for rule in found.rules for name in rule.to))
    return tuple(catalogue.offers[name] for name in dict.fromkeys(names) if name in catalogue.offers)


def _wasted(turn: Turn, estimate: Estimate | None) -> Iterator[tuple[tuple[str, str], Tokens, int]]:
    """Where and what attempts used that were given up while the provider worked on them, and for how long."""
    for tried in wasted(turn):
        read = 0 if estimate is None else estimate.input_tokens
        tokens = reported(tried.owed) or Tokens(uncached_input=read, output=said_tokens(tried.pieces))
        yield tried.target.place, tokens, lasted_us(turn, tried, asyncio.get_running_loop().time())


def _used(turn: Turn, estimate: Estimate | None) -> Tokens | None:
    """What the request used: as reported, else as counted piece by piece, else nothing.

    Refused requests and cached answers use nothing, failed attempts only what was `wasted` on them.
    """
    if not is_charged(turn):
        return None
    told = reported(turn.usage)
    if told is not None or estimate is None:
        return told
    output = estimate.output_tokens if turn.outcome == "ok" and not turn.stream else turn.pieces
    return Tokens(uncached_input=estimate.input_tokens, output=output)
