"""What a request is thought to need of its limits: estimated at first, counted where a limit is near."""

from collections.abc import Iterable, Mapping

import msgspec

from trunkline_gateway.admission.admission import Demand
from trunkline_gateway.admission.estimation import Estimate, Estimator
from trunkline_gateway.admission.exact import Tokenizers
from trunkline_gateway.admission.levels import Measure, Rule
from trunkline_gateway.catalogue import Offer
from trunkline_gateway.openai_types import (
    ChatControl,
    CompletionControl,
    MessagesControl,
    RerankControl,
    ResponsesControl,
)
from trunkline_gateway.plan import Target
from trunkline_gateway.prices.durations import Durations
from trunkline_gateway.prices.pricing import Billing, Pricing
from trunkline_gateway.providers.base import Call
from trunkline_gateway.turn import Turn
from trunkline_kit.clock import Clock
from trunkline_kit.tenants import WhenStoreIsDown
from trunkline_policy.costs import Tokens

_GUESS_SHARE = 4
"""A request of whose output nothing is known reserves at most this part of a limit."""
DOCUMENTS_PER_SEARCH = 100
"""Documents in one search unit; long ones count several times (Cohere, "How does Cohere's pricing work?", read
2026-11-25)."""
BY_SIZE = frozenset({Measure.TOKENS, Measure.BUDGET})
BY_COUNT = frozenset(Measure) - BY_SIZE
HERE_S = 60.0
"""The longest that a request takes which no model answers."""
OUTPUT_MAX = 2**31 - 1
"""Tokens; a caller that allows more means: as many as there are."""


class Tools(msgspec.Struct, frozen=True, kw_only=True):
    """What sizes are worked out with; all of it learns."""

    estimator: Estimator
    durations: Durations
    tokenizers: Tokenizers
    clock: Clock


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A request and what it meets."""

    turn: Turn
    call: Call
    rules: tuple[Rule, ...]
    offers: tuple[Offer, ...]
    """All that may answer."""
    pricing: Pricing
    when_down: WhenStoreIsDown


class Size:
    """Of one request."""

    def __init__(self, tools: Tools, question: Question) -> None:
        self._tools = tools
        self._question = question
        self.estimate: Estimate | None = None
        """None where no limit depends on it."""
        self._likely: Estimate | None = None
        """The same before it was cut to the limits."""
        if any(rule.measure in BY_SIZE for rule in question.rules):
            self._likely = tools.estimator.estimate(
                question.call.control.model,
                question.turn.principal.key_id,
                question.call.body,
                output_max_of(question.call),
                question.call.drafted_choices,
            )
            self.estimate = self._capped(self._likely)
        self.demand = self._demand()

    async def count(self) -> Demand | None:
        """The demand with the input counted; None where it has been, or cannot be."""
        before, likely = self.estimate, self._likely
        if before is None or likely is None or before.counted:
            return None
        models = (target.provider_model for target in _targets(self._question.offers))
        input_tokens = await self._tools.tokenizers.count(models, self._question.call)
        if input_tokens is None:
            self.estimate = msgspec.structs.replace(before, counted=True)
            return None
        exact = msgspec.structs.replace(likely, input_tokens=input_tokens, counted=True)
        self.estimate = self._capped(exact)
        self.demand = self._demand()
        return self.demand

    def _capped(self, found: Estimate) -> Estimate:
        rules = self._question.rules
        limit = min((rule.limit for rule in rules if rule.measure is Measure.TOKENS), default=None)
        if limit is None or output_max_of(self._question.call) is not None:
            return found
        # What we think of the output must not make a request too large for ever, nor a mere guess keep others out.
        room = (limit // _GUESS_SHARE if found.guessed else limit) - found.input_tokens
        return msgspec.structs.replace(found, output_tokens=min(found.output_tokens, max(0, room)))

    def _demand(self) -> Demand:
        question, estimate = self._question, self.estimate
        return Demand(
            rules=question.rules,
            when_down=question.when_down,
            # Also all of the wait that is over: better a hold too long than one given up under a request.
            wait_s=question.turn.principal.queue_wait_s or 0.0,
            total_s=max((offer.timeouts.total_s for offer in question.offers), default=HERE_S),
            tokens=estimate.tokens if estimate else 0,
            cost_nusd=self._dearest_nusd(estimate) if estimate else None,
        )

    def _dearest_nusd(self, estimate: Estimate) -> int | None:
        """What the request costs where it costs most, among all places it may go to; None if none has a price."""
        question = self._question
        pricing, team = question.pricing, question.turn.principal.team
        searches = searches_of(question.call)
        tokens = Tokens(uncached_input=estimate.input_tokens, output=estimate.output_tokens, searches=searches)
        now_s = self._tools.clock.now_s()
        costs = []
        for one in _targets(self._question.offers):
            place = (one.provider, one.provider_model)
            likely_us = self._tools.durations.likely_us(place) if pricing.by_time else 0
            billing = Billing(team=team, duration_us=likely_us)
            costs.append(pricing.cost(*place, tokens, now_s, billing))
        return max((cost.cost_nusd for cost in costs if not cost.unpriced), default=None)


def searches_of(call: Call) -> int:
    """Search units that reranking takes at least; 0 for everything else."""
    return -(-len(call.control.documents) // DOCUMENTS_PER_SEARCH) if isinstance(call.control, RerankControl) else 0


def _targets(offers: Iterable[Offer]) -> Mapping[Target, None]:
    """Each once, in order."""
    return dict.fromkeys(target for offer in offers for target in offer.targets)


def output_max_of(call: Call) -> int | None:
    """The longest answer that the caller allows, per choice; None where it says nothing."""
    control = call.control
    if isinstance(control, ChatControl):
        allowed = control.max_tokens if control.max_completion_tokens is None else control.max_completion_tokens
    elif isinstance(control, (CompletionControl, MessagesControl)):
        allowed = control.max_tokens
    elif isinstance(control, ResponsesControl):
        allowed = control.max_output_tokens
    else:
        allowed = None
    return None if allowed is None else min(max(0, allowed), OUTPUT_MAX)
