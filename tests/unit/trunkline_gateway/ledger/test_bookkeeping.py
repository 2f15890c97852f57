import pytest
from prometheus_client import CollectorRegistry

from trunkline_gateway.auth import Principal
from trunkline_gateway.ledger.bookkeeping import Bookkeeper
from trunkline_gateway.ledger.slots import NO_SLOT
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
        self.rows, self.slots, self.opened, self.asked = [], [], [], []

    def begin(self, row):
        self.opened.append(row)
        return 40 + len(self.opened)

    def progress(self, slot, started_s):
        self.asked.append((slot, started_s))

    def record(self, row, slot):
        self.rows.append(row)
        self.slots.append(slot)


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


def test_the_header_says_what_the_row_will_say_of_a_gpus_time(keeper, turn):
    price = Price(rates=Rates(), gpu_second_nusd=1_000_000_000)
    keeper.price(turn, Pricing({("up", "real"): (Quote(since_s=0, price=price, version="v"),)}), b"{}")
    assert turn.cost_usd == "1"


def test_what_has_no_price_or_no_count_says_nothing(keeper, turn):
    keeper.price(turn, Pricing(), b"{}")
    assert not turn.cost_usd
    for nothing in (None, Usage()):
        turn.usage, turn.said_tokens = nothing, 0
        keeper.price(turn, PRICED, b"x" * 420)
        assert (turn.cost_usd, turn.said_tokens) == ("", 100)


@pytest.mark.parametrize("surface", [Surface.EMBEDDING, Surface.RERANK])
def test_numbers_are_no_tokens_however_long_they_are(keeper, turn, surface):
    turn.surface, turn.usage = surface, None
    keeper.price(turn, PRICED, b"x" * 420)
    assert turn.said_tokens == 0


async def test_a_settled_request_is_recorded_and_counted(keeper, turn, shelf, registry):
    keeper.settle(turn, PRICED, b"{}")
    (row,) = shelf.rows
    assert row.cost_nusd == 1_000_000
    labels = {"provider": "up", "model": "m"}
    assert registry.get_sample_value("trunkline_cost_usd_total", labels) == pytest.approx(0.001)


async def test_without_books_it_still_counts(turn, registry):
    Bookkeeper(None, ManualClock(), registry).settle(turn, Pricing(), b"{}")
    labels = {"provider": "up", "model": "m"}
    assert registry.get_sample_value("trunkline_unpriced_attempts_total", labels) == 1


async def test_a_request_that_reached_nobody_is_not_recorded(keeper, turn, shelf):
    turn.tried = []
    keeper.settle(turn, PRICED, b"{}")
    assert shelf.rows == []


async def test_an_attempt_has_its_id_and_start_before_it_is_sent(keeper, turn, shelf):
    for _ in range(2):
        if shelf.opened:
            turn.tried.append(Tried(target=TARGET, started_s=0.5, ended_s=1.0))
        keeper.begin(turn, b"x" * 420)
    turn.tried[0].failed = "timeout"
    keeper.progress(turn)
    keeper.settle(turn, PRICED, b"{}")
    assert [row.outcome for row in shelf.opened] == ["lost", "lost"]
    assert [row.outcome for row in shelf.rows] == ["error:timeout", "ok"]
    for noted, settled in zip(shelf.opened, shelf.rows, strict=True):
        assert (noted.attempt_id, noted.started_us) == (settled.attempt_id, settled.started_us)
        assert noted.attempt_id.int
    assert (shelf.slots, shelf.asked) == ([41, 42], [(42, 0.5)])
    assert turn.read_tokens == 100


async def test_without_books_nothing_is_noted(turn, registry):
    keeper = Bookkeeper(None, ManualClock(), registry)
    keeper.begin(turn, b"{}")
    assert keeper.progress(turn) is None
    assert turn.tried[0].attempt_id is None


async def test_an_answer_from_the_cache_gets_an_id_of_its_own(keeper, turn, shelf):
    turn.outcome, turn.tried = "cached", []
    keeper.settle(turn, PRICED, b"{}")
    keeper.settle(turn, PRICED, b"{}")
    first, second = shelf.rows
    assert first.attempt_id != second.attempt_id
    assert shelf.slots == [NO_SLOT, NO_SLOT]
