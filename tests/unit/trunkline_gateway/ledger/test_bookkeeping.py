import pytest
from opentelemetry.trace import INVALID_SPAN, NonRecordingSpan, SpanContext
from prometheus_client import CollectorRegistry

from trunkline_gateway.auth import Principal
from trunkline_gateway.ledger.bookkeeping import Bookkeeper
from trunkline_gateway.plan import Target
from trunkline_gateway.prices.pricing import Pricing, Quote
from trunkline_gateway.surface import Surface
from trunkline_gateway.turn import Tried, Turn
from trunkline_gateway.usage import Usage, usage_of
from trunkline_kit.clock import ManualClock
from trunkline_policy.costs import Price, Rates

TARGET = Target(model="m", provider="up", provider_model="real")
PRICED = Pricing({("up", "real"): (Quote(since_s=0, price=Price(rates=Rates(input=1_000_000_000)), version="v"),)})


class Shelf:
    """Keeps the rows it is given."""

    def __init__(self):
        self.rows = []

    def record(self, row):
        self.rows.append(row)


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def shelf():
    return Shelf()


@pytest.fixture
def keeper(shelf, registry):
    return Bookkeeper(shelf, ManualClock(), registry)


@pytest.fixture
def turn():
    return Turn(
        surface=Surface.CHAT,
        principal=Principal(key_id="k"),
        request_id="r",
        traceparent="",
        started_s=0.0,
        target=TARGET,
        outcome="ok",
        usage=usage_of(1000, 1),
        tried=[Tried(target=TARGET, started_s=0.0, ended_s=1.0)],
    )


def test_a_whole_answer_says_what_it_costs(keeper, turn):
    keeper.price(turn, PRICED, b"{}")
    assert ("x-trunkline-cost-usd", "0.001") in turn.headers()


def test_what_has_no_price_or_no_count_says_nothing(keeper, turn):
    keeper.price(turn, Pricing(), b"{}")
    assert not turn.cost_usd
    for nothing in (None, Usage()):
        turn.usage, turn.said_tokens = nothing, 0
        keeper.price(turn, PRICED, b"x" * 420)
        assert (turn.cost_usd, turn.said_tokens) == ("", 100)


async def test_a_settled_request_is_recorded_and_counted(keeper, turn, shelf, registry):
    span = NonRecordingSpan(SpanContext(trace_id=0xAB, span_id=1, is_remote=False))
    keeper.settle(turn, PRICED, b"{}", span)
    (row,) = shelf.rows
    assert (row.cost_nusd, row.trace_id) == (1_000_000, f"{0xAB:032x}")
    labels = {"provider": "up", "model": "m"}
    assert registry.get_sample_value("trunkline_cost_usd_total", labels) == pytest.approx(0.001)


async def test_without_books_it_still_counts(turn, registry):
    Bookkeeper(None, ManualClock(), registry).settle(turn, Pricing(), b"{}", INVALID_SPAN)
    labels = {"provider": "up", "model": "m"}
    assert registry.get_sample_value("trunkline_unpriced_attempts_total", labels) == 1


async def test_a_request_that_reached_nobody_is_not_recorded(keeper, turn, shelf):
    turn.tried = []
    keeper.settle(turn, PRICED, b"{}", INVALID_SPAN)
    assert shelf.rows == []
