import re

import pytest

from trunkline_gateway.plan import Target
from trunkline_gateway.prices.pricing import OWN_WORKER, UNPRICED, Billing, build_pricing
from trunkline_gateway.prices.rulings import Ruling
from trunkline_gateway.prices.table import load_table
from trunkline_kit.accounts import Prices
from trunkline_kit.config import decode
from trunkline_kit.errors import ConfigError, PermissionDenied
from trunkline_kit.settings import Settings
from trunkline_policy.costs import Price, Rates, Tokens

NOW_S = 1_780_000_000.0
TREE = {
    "providers": {
        "own": {"kind": "worker"},
        "openai": {"kind": "openai"},
        "vllm": {"kind": "openai", "base_url": "http://vllm:8000/v1"},
    },
    "models": {
        "small": {"deployments": [{"provider": "own", "model": "smollm2"}]},
        "mini": {
            "deployments": [
                {"provider": "openai", "model": "gpt-4o-mini"},
                {"provider": "vllm", "model": "gpt-4o-mini"},
                {"provider": "openai", "model": "gpt-from-next-year"},
            ]
        },
    },
}
USED = Tokens(uncached_input=600, cache_read=400, output=200)


@pytest.fixture(scope="module")
def table():
    return load_table()


SEARCH = Billing(team="search")


def pricing_of(table, prices=None, stored=()):
    settings = decode({**TREE, "prices": prices or {}}, Settings)
    return build_pricing(settings.prices, settings.providers, settings.models, table, stored)


def made(provider="openai", model="*", team="", input_rate=0, name="p1"):
    """An override from the directory."""
    price = Price(rates=Rates(input=input_rate))
    return Ruling(provider=provider, model=model, team=team, source=f"directory/{name}", price=price)


def test_a_known_model_has_its_list_price_and_says_where_from(table):
    cost = pricing_of(table).cost("openai", "gpt-4o-mini", USED, NOW_S)
    assert cost.cost_nusd == 600 * 150 + 400 * 75 + 200 * 600
    assert cost.version.startswith(f"{table.version}/openai/gpt-4o-mini")
    assert not cost.unpriced


def test_own_workers_are_free_by_declaration(table):
    cost = pricing_of(table).cost("own", "smollm2", USED, NOW_S)
    assert (cost.cost_nusd, cost.version, cost.unpriced) == (0, OWN_WORKER, False)


@pytest.mark.parametrize("place", [("openai", "gpt-from-next-year"), ("vllm", "gpt-4o-mini"), ("nobody", "x")])
def test_what_nobody_priced_is_unpriced_not_free(table, place):
    assert pricing_of(table).cost(*place, USED, NOW_S) == UNPRICED


def test_unpriced_places_are_listed(table):
    assert set(pricing_of(table).unpriced(NOW_S)) == {("vllm", "gpt-4o-mini"), ("openai", "gpt-from-next-year")}


def test_the_configuration_goes_before_the_table(table):
    rule = {"provider": "openai", "model": "gpt-4*", "input_usd": 1, "output_usd": 2, "cache_read_usd": 0}
    cost = pricing_of(table, {"overrides": [rule]}).cost("openai", "gpt-4o-mini", USED, NOW_S)
    assert cost.cost_nusd == 600 * 1000 + 200 * 2000
    assert cost.version.startswith("config/openai/gpt-4o-mini#")


def test_an_exact_override_holds_though_a_glob_stands_before_it(table):
    rules = [{"provider": "openai", "input_usd": 1}, {"provider": "openai", "model": "gpt-4o-mini", "input_usd": 5}]
    used = Tokens(uncached_input=1_000_000)
    pricing = pricing_of(table, {"overrides": rules}, [made(input_rate=7)])
    assert pricing.cost("openai", "gpt-4o-mini", used, NOW_S).cost_nusd == 5_000_000_000
    assert pricing.cost("openai", "gpt-from-next-year", used, NOW_S).cost_nusd == 7


def test_the_version_of_an_override_changes_with_the_price(table):
    costs = [
        pricing_of(table, {"overrides": [{"provider": "own", "input_usd": usd}]}).cost("own", "smollm2", USED, NOW_S)
        for usd in (1, 2, 1)
    ]
    assert costs[0] == costs[2]
    assert costs[0].version != costs[1].version


def test_a_team_has_its_own_price_wherever_it_stands_in_the_list(table):
    rules = [
        {"provider": "openai", "input_usd": 1},
        {"provider": "openai", "model": "gpt-4o*", "team": "search", "input_usd": 3},
        {"provider": "openai", "team": "search", "input_usd": 4},
    ]
    pricing = pricing_of(table, {"overrides": rules})
    used = Tokens(uncached_input=1000)
    theirs = pricing.cost("openai", "gpt-4o-mini", used, NOW_S, SEARCH)
    others = pricing.cost("openai", "gpt-4o-mini", used, NOW_S, Billing(team="ads"))
    assert (theirs.cost_nusd, others.cost_nusd) == (3_000_000, 1_000_000)
    assert theirs.version.startswith("config/team=search/openai/gpt-4o-mini#")
    assert pricing.cost("openai", "gpt-from-next-year", used, NOW_S, SEARCH).cost_nusd == 4_000_000
    assert pricing.cost("openai", "gpt-4o-mini", used, NOW_S) == others


def test_a_price_for_one_team_is_none_for_the_others(table):
    pricing = pricing_of(table, {"overrides": [{"provider": "vllm", "team": "search", "input_usd": 1}]})
    assert not pricing.cost("vllm", "gpt-4o-mini", USED, NOW_S, SEARCH).unpriced
    assert pricing.cost("vllm", "gpt-4o-mini", USED, NOW_S, Billing(team="ads")) == UNPRICED
    assert ("vllm", "gpt-4o-mini") in pricing.unpriced(NOW_S)


def test_what_is_made_at_run_time_goes_before_the_file_and_teams_before_all(table):
    rules = [{"provider": "openai", "team": "search", "input_usd": 3}, {"provider": "openai", "input_usd": 1}]
    used = Tokens(uncached_input=1_000_000)
    general = pricing_of(table, {"overrides": rules}, [made(input_rate=7)])
    assert general.cost("openai", "gpt-4o-mini", used, NOW_S).cost_nusd == 7
    assert general.cost("openai", "gpt-4o-mini", used, NOW_S).version.startswith("directory/p1/openai/gpt-4o-mini#")
    assert general.cost("openai", "gpt-4o-mini", used, NOW_S, SEARCH).cost_nusd == 3_000_000_000
    own = pricing_of(table, {"overrides": rules}, [made(input_rate=7), made(team="search", input_rate=9, name="p2")])
    found = own.cost("openai", "gpt-4o-mini", used, NOW_S, SEARCH)
    assert (found.cost_nusd, found.version[:25]) == (9, "directory/p2/team=search/")


def test_an_override_whose_provider_is_gone_does_not_matter_any_more(table):
    before, after = pricing_of(table), pricing_of(table, stored=[made(provider="gone")])
    assert [before.cost(*place, USED, NOW_S) for place in before.places] == [
        after.cost(*place, USED, NOW_S) for place in after.places
    ]


def test_own_workers_can_cost_by_the_time_of_their_gpu(table):
    rule = {"provider": "own", "gpu_second_usd": 0.001, "gpu_requests": 4}
    pricing = pricing_of(table, {"overrides": [rule]})
    cost = pricing.cost("own", "smollm2", USED, NOW_S, Billing(duration_us=2_000_000))
    assert (cost.cost_nusd, cost.unpriced) == (500_000, False)
    assert pricing.cost("own", "smollm2", USED, NOW_S).cost_nusd == 0


def test_a_provider_can_be_said_to_be_another(table):
    cost = pricing_of(table, {"listed_as": {"vllm": "openai"}}).cost("vllm", "gpt-4o-mini", USED, NOW_S)
    assert not cost.unpriced


def test_a_price_holds_from_its_day(table):
    google = table.provider("google")
    dated = next(one for one in google.models if len(one.prices) > 1 and one.prices[-1].since is not None)
    tree = {
        "providers": {"g": {"kind": "openai", "base_url": "https://generativelanguage.googleapis.com/v1beta/openai"}},
        "models": {"m": {"deployments": [{"provider": "g", "model": dated.id}]}},
    }
    settings = decode(tree, Settings)
    pricing = build_pricing(Prices(), settings.providers, settings.models, table)
    day_s = pricing.quote("g", dated.id, 4e9).since_s
    assert pricing.quote("g", dated.id, day_s).version.endswith(f"@{dated.prices[-1].since}")
    before = pricing.quote("g", dated.id, day_s - 1)
    assert before.price == dated.prices[-2].price


def test_what_has_no_price_is_left_out_where_the_configuration_says_so(table):
    priced = Target(model="mini", provider="openai", provider_model="gpt-4o-mini")
    unpriced = Target(model="mini", provider="vllm", provider_model="gpt-4o-mini")
    strict = pricing_of(table, {"unpriced": "refuse"})
    assert strict.allowed((unpriced, priced), NOW_S) == (priced,)
    with pytest.raises(PermissionDenied, match="'mini'"):
        strict.allowed((unpriced,), NOW_S)
    assert pricing_of(table).allowed((unpriced,), NOW_S) == (unpriced,)


def test_what_has_a_price_for_a_team_may_be_used_by_it(table):
    target = Target(model="mini", provider="vllm", provider_model="gpt-4o-mini")
    rule = {"provider": "vllm", "team": "search", "input_usd": 1}
    strict = pricing_of(table, {"unpriced": "refuse", "overrides": [rule]})
    assert strict.allowed((target,), NOW_S, "search") == (target,)
    with pytest.raises(PermissionDenied):
        strict.allowed((target,), NOW_S, "ads")


@pytest.mark.parametrize(
    ("prices", "text"),
    [
        (
            {"listed_as": {"vllm": "opnai"}},
            "prices.listed_as.vllm: no provider 'opnai' in the price table; did you mean",
        ),
        ({"overrides": [{"provider": "OPENAI"}]}, "prices.overrides[0].provider: there is no provider 'OPENAI' under"),
        ({"overrides": [{"provider": "OPENAI"}]}, "did you mean 'openai'?"),
    ],
)
def test_names_that_lead_nowhere_are_refused(table, prices, text):
    with pytest.raises(ConfigError, match=re.escape(text)) as wrong:
        pricing_of(table, prices)
    assert len(wrong.value.message) < 200


def test_every_name_that_leads_nowhere_is_told_at_once(table):
    with pytest.raises(ConfigError) as wrong:
        pricing_of(table, {"listed_as": {"vllm": "zzz"}, "overrides": [{"provider": "zzz"}] * 2})
    assert wrong.value.message.count("\n") == 2
