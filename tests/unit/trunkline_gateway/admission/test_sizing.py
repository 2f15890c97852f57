"""What a request is thought to need, first by its size, then counted."""

import msgspec
import pytest

from trunkline_gateway.admission.estimation import Estimator
from trunkline_gateway.admission.levels import Bounds, Level, Shelf
from trunkline_gateway.admission.sizing import Question, Size, Tools
from trunkline_gateway.auth import Principal
from trunkline_gateway.catalogue import Offer
from trunkline_gateway.pipeline import call_of
from trunkline_gateway.plan import Target
from trunkline_gateway.prices.durations import Durations
from trunkline_gateway.prices.pricing import Pricing, Quote
from trunkline_gateway.surface import Surface
from trunkline_gateway.turn import Turn
from trunkline_kit.clock import ManualClock
from trunkline_kit.settings import Retries, Timeouts
from trunkline_kit.tenants import Budget, Limit, Period, WhenStoreIsDown
from trunkline_policy.costs import Price, Rates

RATE = 1_000_000_000_000
"""A nano-dollar and a million of them for a token."""


class Counts:
    def __init__(self, tokens):
        self.tokens, self.asked = tokens, []

    async def count(self, provider_models, call):
        self.asked.append(list(provider_models))
        return self.tokens


def size(limits=(), budgets=(), *, counts=None, queue_wait_s=None, **body):
    who = Principal(key_id="k", queue_wait_s=queue_wait_s)
    turn = Turn(surface=Surface.CHAT, principal=who, request_id="r", traceparent="", started_s=0.0)
    raw = {"model": "m", "messages": [{"role": "user", "content": "hi " * 100}], **body}
    quote = Quote(since_s=0, price=Price(rates=Rates(input=RATE, output=RATE)), version="v")
    offers = tuple(
        Offer(
            name=name,
            targets=(Target(name, "up", f"{name}-real"),),
            fallbacks=(),
            timeouts=Timeouts(total_s=total_s),
            retries=Retries(),
        )
        for name, total_s in (("m", 60.0), ("other", 90.0))
    )
    question = Question(
        turn=turn,
        call=call_of(turn, msgspec.json.encode(raw)),
        rules=Shelf({"k": Bounds(limits, budgets)}, Level.KEY).rules("o", "k"),
        offers=offers,
        pricing=Pricing({("up", "m-real"): (quote,)}),
        when_down=WhenStoreIsDown.OPEN,
    )
    tools = Tools(estimator=Estimator(), durations=Durations(), tokenizers=counts or Counts(None), clock=ManualClock())
    return Size(tools, question)


async def test_what_depends_on_no_size_is_not_estimated():
    found = size([Limit(requests=1, per_s=60)])
    assert found.estimate is None
    assert (found.demand.tokens, found.demand.cost_nusd, found.demand.total_s) == (0, None, 90.0)
    assert await found.count() is None


async def test_a_hold_lasts_through_a_wait_for_the_models_own_limit():
    assert size([Limit(concurrent=1)]).demand.wait_s == 0
    assert size([Limit(concurrent=1)], queue_wait_s=45.0).demand.wait_s == 45


async def test_counting_replaces_the_estimate_of_the_input_alone():
    counts = Counts(42)
    found = size(
        [Limit(tokens=10_000, per_s=60)], [Budget(amount_usd=1, period=Period.DAY)], counts=counts, max_tokens=8
    )
    assert found.demand.tokens > 70
    assert (await found.count()).tokens == 50
    assert found.demand.cost_nusd == 50 * 1_000_000
    assert (found.estimate.input_tokens, found.estimate.counted) == (42, True)
    assert await found.count() is None, "once is enough"
    assert counts.asked == [["m-real", "other-real"]]


async def test_what_cannot_be_counted_is_asked_for_once():
    counts = Counts(None)
    found = size([Limit(tokens=10_000, per_s=60)], counts=counts)
    before = found.demand
    assert await found.count() is None
    assert await found.count() is None
    assert (found.demand, len(counts.asked)) == (before, 1)


@pytest.mark.parametrize(("input_tokens", "output"), [(10, 240), (240, 10), (400, 0)])
async def test_a_guess_of_the_output_leaves_room_for_the_input(input_tokens, output):
    found = size([Limit(tokens=1_000, per_s=60)], counts=Counts(input_tokens))
    await found.count()
    assert found.estimate.output_tokens == output
