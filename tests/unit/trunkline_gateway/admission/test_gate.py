"""What a request is thought to use, and what it is charged in the end."""

from uuid import uuid4

import msgspec
import pytest

from trunkline_gateway.admission.admission import Admission
from trunkline_gateway.admission.estimation import Estimator
from trunkline_gateway.admission.gate import Gate, Terms
from trunkline_gateway.admission.levels import Measure
from trunkline_gateway.admission.rulebook import Rulebook
from trunkline_gateway.admission.sizing import OUTPUT_MAX, output_max_of, searches_of
from trunkline_gateway.admission.waiting import WaitingRoom
from trunkline_gateway.auth import Principal
from trunkline_gateway.catalogue import build
from trunkline_gateway.config import GatewayConfig
from trunkline_gateway.ledger.rows import AttemptRow
from trunkline_gateway.pipeline import call_of
from trunkline_gateway.plan import Target
from trunkline_gateway.prices.pricing import Pricing, Quote
from trunkline_gateway.surface import Surface
from trunkline_gateway.tenancy import tenants_of
from trunkline_gateway.turn import Tried, Turn
from trunkline_gateway.usage import Usage, usage_of
from trunkline_kit.clock import ManualClock
from trunkline_kit.config import decode
from trunkline_kit.errors import BudgetExceeded, RateLimited
from trunkline_kit.settings import Settings
from trunkline_policy.costs import Price, Rates

TREE = {
    "providers": {"up": {"kind": "openai"}},
    "models": {
        "m": {"deployments": [{"provider": "up", "model": "x"}], "fallbacks": {"on_error": ["dear"]}},
        "dear": {"deployments": [{"provider": "up", "model": "y"}]},
        "free": {"deployments": [{"provider": "up", "model": "z"}]},
    },
    "routes": {"auto": {"otherwise": ["m"], "rules": [{"when": {"complexity_above": 0.5}, "to": ["dear"]}]}},
    "teams": {
        "default": {"limits": [{"tokens": 1000, "per_s": 60}], "budgets": [{"amount_usd": 1, "period": "total"}]}
    },
}
TARGET = Target("m", "up", "x")


@pytest.fixture
def terms():
    config = GatewayConfig.from_settings(decode(TREE, Settings))
    rates = {"x": 1_000_000_000_000, "y": 2_000_000_000_000}
    quotes = {
        ("up", name): (Quote(since_s=0, price=Price(rates=Rates(output=rate)), version="test"),)
        for name, rate in rates.items()
    }
    return Terms(rulebook=Rulebook(tenants_of(config)), pricing=Pricing(quotes), catalogue=build(config, 0))


@pytest.fixture
def gate(meters, queue_meters):
    clock = ManualClock()
    return Gate(WaitingRoom(Admission(None, meters, clock), queue_meters, 10), Estimator(), clock)


async def reserved(gate, terms, body, surface=Surface.CHAT):
    turn = Turn(
        surface=surface, principal=Principal(key_id="k"), request_id="r", traceparent="", started_s=0.0, target=TARGET
    )
    call = call_of(turn, msgspec.json.encode(body))
    await gate.admit(turn, call, terms.catalogue.resolve(call.control.model, turn.principal), terms)
    return turn


def chat(model="m", **rest):
    return {"model": model, "messages": [{"role": "user", "content": "hi"}], **rest}


async def costs_of(turn):
    """Of its claims: tokens, then money."""
    return tuple(claim.cost for claim in turn.reservation.tickets[0].holds[0].claims)


async def test_the_dearest_place_is_what_money_is_reserved_for(gate, terms):
    for model in ("m", "auto"):
        tokens, nusd = await costs_of(await reserved(gate, terms, chat(model, max_tokens=100)))
        assert (tokens - 100, nusd) == (tokens - 100, 100 * 2_000_000)
        assert 100 < tokens < 130


async def test_what_has_no_price_meets_no_budget(gate, terms):
    assert len(await costs_of(await reserved(gate, terms, chat("free", max_tokens=9)))) == 1


async def test_what_is_free_meets_no_limit_on_its_size(gate, terms):
    turn = await reserved(gate, terms, chat(), Surface.TOKEN_COUNT)
    assert turn.reservation is None


async def test_a_request_that_no_model_answers_meets_its_callers_limits(gate):
    limits = [{"requests": 1, "per_s": 60}, {"tokens": 1, "per_s": 60}]
    config = GatewayConfig.from_settings(decode({"teams": {"default": {"limits": limits}}}, Settings))
    terms = Terms(rulebook=Rulebook(tenants_of(config)), pricing=Pricing(), catalogue=build(config, 0))

    async def admitted():
        who = Principal(key_id="k")
        turn = Turn(surface=Surface.MODERATION, principal=who, request_id="r", traceparent="", started_s=0.0)
        await gate.admit_caller(turn, call_of(turn, b'{"input":"x"}'), terms)
        return turn

    [hold] = (await admitted()).reservation.tickets[0].holds
    assert hold.measures == (Measure.REQUESTS,)
    with pytest.raises(RateLimited):
        await admitted()


@pytest.mark.parametrize(("documents", "searches"), [(1, 1), (100, 1), (101, 2), (1_000, 10)])
def test_documents_are_searched_a_hundred_at_a_time(documents, searches):
    turn = Turn(surface=Surface.RERANK, principal=Principal(key_id="k"), request_id="r", traceparent="", started_s=0.0)
    body = {"model": "m", "query": "q", "documents": ["d"] * documents}
    assert searches_of(call_of(turn, msgspec.json.encode(body))) == searches
    turn.surface = Surface.CHAT
    assert searches_of(call_of(turn, msgspec.json.encode(chat()))) == 0


async def test_a_guess_takes_at_most_a_quarter_of_a_limit(gate, terms):
    tokens, _ = await costs_of(await reserved(gate, terms, chat()))
    assert tokens == 250


@pytest.mark.parametrize(
    ("ending", "tokens", "nusd"),
    [
        ({"outcome": "ok", "usage": usage_of(10, 20)}, 30, 20_000_000),
        ({"outcome": "ok", "usage": usage_of(0, 0)}, 0, 0),
        ({"outcome": "cached", "usage": usage_of(10, 20)}, 0, 0),
        ({"outcome": "upstream_error", "tried": [Tried(target=TARGET, started_s=0, failed="upstream_error")]}, 0, 0),
        ({"outcome": "upstream_refused"}, 0, 0),
        ({"outcome": "invalid_request"}, 0, 0),
        ({"outcome": "content_blocked", "tried": []}, 0, 0),
        ({"outcome": "cancelled", "tried": []}, 0, 0),
        ({"outcome": "broken", "stream": True, "pieces": 7}, None, 7_000_000),
        ({"outcome": "cancelled", "stream": True, "pieces": 3}, None, 3_000_000),
        ({"outcome": "ok"}, None, 100_000_000),
        ({"outcome": "ok", "usage": Usage()}, None, 100_000_000),
    ],
)
async def test_a_request_is_charged_for_what_it_used(gate, terms, ending, tokens, nusd):
    turn = await reserved(gate, terms, chat(max_tokens=100))
    turn.tried = [Tried(target=TARGET, started_s=0)]
    for name, value in ending.items():
        setattr(turn, name, value)
    gate.settle(turn, terms)
    gate.settle(turn, terms)
    spent = gate.admission._memory._counters
    budget = next(counter for key, counter in spent.items() if ":budget:" in key)
    window = next(counter for key, counter in spent.items() if ":tokens:" in key)
    assert (budget.spent, sum(budget.cells.values())) == (nusd, 0)
    expected = tokens if tokens is not None else turn.reservation.estimate.input_tokens + nusd // 1_000_000
    assert sum(window.cells.values()) == expected


async def test_refusals_come_before_anything_is_reserved(gate, terms):
    with pytest.raises(RateLimited, match="team 'default'"):
        await reserved(gate, terms, chat(max_tokens=1_001))
    with pytest.raises(BudgetExceeded, match="team 'default'"):
        await reserved(gate, terms, chat(max_tokens=600))
    await reserved(gate, terms, chat(max_tokens=400))


@pytest.mark.parametrize(
    ("surface", "body", "expected"),
    [
        (Surface.CHAT, chat(max_tokens=5), 5),
        (Surface.CHAT, chat(max_tokens=5, max_completion_tokens=6), 6),
        (Surface.CHAT, chat(max_tokens=-5), 0),
        (Surface.CHAT, chat(max_tokens=2**64 - 1), OUTPUT_MAX),
        (Surface.CHAT, chat(), None),
        (Surface.COMPLETION, {"model": "m", "prompt": "hi", "max_tokens": 7}, 7),
        (Surface.EMBEDDING, {"model": "m", "input": "hi"}, None),
    ],
)
def test_what_the_caller_allows(surface, body, expected):
    turn = Turn(surface=surface, principal=Principal(key_id="k"), request_id="r", traceparent="", started_s=0.0)
    assert output_max_of(call_of(turn, msgspec.json.encode(body))) == expected


async def test_a_report_without_counts_teaches_nothing(gate, terms):
    before = (await reserved(gate, terms, chat())).reservation.estimate
    for _ in range(20):
        turn = await reserved(gate, terms, chat(max_tokens=1))
        turn.tried, turn.outcome, turn.usage = [Tried(target=TARGET, started_s=0)], "ok", Usage()
        gate.settle(turn, terms)
        gate.admission._memory.clear()
    assert (await reserved(gate, terms, chat())).reservation.estimate == before


async def test_what_is_paid_by_time_is_reserved_by_what_it_took_before(gate, terms):
    price = Price(rates=Rates(), gpu_second_nusd=100_000_000)
    pricing = Pricing({("up", "x"): (Quote(since_s=0, price=price, version="gpu"),)})
    terms = msgspec.structs.replace(terms, pricing=pricing)
    turn = await reserved(gate, terms, chat(max_tokens=1))
    assert (await costs_of(turn))[1] == 100_000_000
    turn.outcome, turn.usage = "ok", usage_of(1, 1)
    turn.tried = [Tried(target=TARGET, started_s=10.0, ended_s=12.0)]
    gate.settle(turn, terms)
    budget = next(counter for key, counter in gate.admission._memory._counters.items() if ":budget:" in key)
    assert budget.spent == 200_000_000
    assert (await costs_of(await reserved(gate, terms, chat(max_tokens=1))))[1] == 200_000_000


async def test_a_team_reserves_and_pays_its_own_price(gate, terms):
    def quotes(rate):
        return (Quote(since_s=0, price=Price(rates=Rates(output=rate)), version="v"),)

    pricing = Pricing(
        {("up", "x"): quotes(1_000_000_000_000)}, of_teams={("default", "up", "x"): quotes(3_000_000_000_000)}
    )
    terms = msgspec.structs.replace(terms, pricing=pricing)
    turn = await reserved(gate, terms, chat(max_tokens=10))
    assert (await costs_of(turn))[1] == 30_000_000
    turn.outcome, turn.usage, turn.tried = "ok", usage_of(0, 5), [Tried(target=TARGET, started_s=0)]
    gate.settle(turn, terms)
    budget = next(counter for key, counter in gate.admission._memory._counters.items() if ":budget:" in key)
    assert budget.spent == 15_000_000


async def test_an_attempt_whose_gateway_died_is_counted_once(gate, terms):
    row = AttemptRow(
        attempt_id=uuid4(),
        started_us=0,
        request_id="r",
        attempt=1,
        org="default",
        team="default",
        key_id="k",
        surface="chat",
        model_asked="m",
        model="m",
        provider="up",
        provider_model="x",
        route="",
        uncached_input_tokens=300,
        output_tokens=100,
        cost_nusd=250_000_000,
    )
    gate.charge_lost(row, terms)
    gate.charge_lost(row, terms)
    rules = terms.rulebook.of_caller(Principal(key_id="k"), "")
    used = {rule.measure: used for rule, (used, _) in zip(rules, await gate.admission.spent(rules), strict=True)}
    assert used == {Measure.TOKENS: 400, Measure.BUDGET: 250_000_000}


async def test_what_was_wasted_on_the_way_is_charged_as_well(gate, terms):
    lost = Tried(target=TARGET, started_s=0, ended_s=1, failed="hedge_lost", is_wasted=True, pieces=6)
    won = Tried(target=TARGET, started_s=0, ended_s=1)
    seen = []
    gate.admission.settle = lambda ticket, tokens, nusd: seen.append((tokens, nusd))
    turn = await reserved(gate, terms, chat(max_tokens=100))
    turn.tried, turn.outcome, turn.usage = [lost, won], "ok", usage_of(10, 20)
    gate.settle(turn, terms)
    read = turn.reservation.estimate.input_tokens
    assert seen == [(30 + read + 5, 25_000_000)]
    lost.owed = usage_of(384, 0)
    gate.settle(turn, terms)
    assert seen[1][0] == 30 + 384, "as the provider said"
