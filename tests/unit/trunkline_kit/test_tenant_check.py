"""Limits, budgets and belonging: what is wrong is said with its place."""

import pytest

from trunkline_kit.config import decode
from trunkline_kit.errors import ConfigError
from trunkline_kit.settings import Settings
from trunkline_kit.tenant_check import problems_of, refusals_of, tenant_problems
from trunkline_kit.tenants import Budget, KeySpec, Limit, PerEndUser, Period, Team

KEY = {"id": "k", "secret": "env:K"}
BAD = {"limits": [{"requests": 1}]}


def problems(**tree):
    return [f"{path}: {message}" for path, message in tenant_problems(decode(tree, Settings))]


@pytest.mark.parametrize(
    ("tree", "path"),
    [
        ({"orgs": {"o": BAD}}, "orgs.o.limits[0]"),
        ({"teams": {"t": BAD}}, "teams.t.limits[0]"),
        ({"teams": {"t": {"end_user": BAD}}}, "teams.t.end_user.limits[0]"),
        ({"projects": {"p": BAD}}, "projects.p.limits[0]"),
        ({"projects": {"p": {"end_user": BAD}}}, "projects.p.end_user.limits[0]"),
        ({"keys": [{**KEY, **BAD}]}, "keys[0].limits[0]"),
        ({"keys": [{**KEY, "end_user": BAD}]}, "keys[0].end_user.limits[0]"),
        ({"tags": {"beta": BAD}}, "tags.beta.limits[0]"),
        (
            {"identity": {"oidc": {"idp": {"issuer": "https://idp", "audience": ["a"], "end_user": BAD}}}},
            "identity.oidc.idp.end_user.limits[0]",
        ),
        ({"models": {"m": {"deployments": [{"provider": "p", "model": "m"}], **BAD}}}, "models.m.limits[0]"),
    ],
)
def test_limits_are_checked_wherever_they_are(tree, path):
    assert problems(**tree) == [f"{path}: requests needs per_s, the window in seconds"]


@pytest.mark.parametrize(
    ("limit", "says"),
    [
        ({}, "needs exactly one of"),
        ({"requests": 1, "tokens": 1, "per_s": 1}, "needs exactly one of"),
        ({"tokens": 1}, "tokens needs per_s"),
        ({"concurrent": 1, "per_s": 1}, "concurrent has no window"),
    ],
)
def test_a_limit_is_one_thing_with_its_window(limit, says):
    assert says in problems(teams={"t": {"limits": [limit]}})[0]


def test_a_time_zone_has_to_exist():
    budget = {"amount_usd": 1, "period": "day"}
    assert problems(teams={"t": {"budgets": [{**budget, "time_zone": "Europe/Berlin"}]}}) == []
    for name in ("Europe/Atlantis", "../etc/passwd", ""):
        assert "no time zone" in problems(teams={"t": {"budgets": [{**budget, "time_zone": name}]}})[0]


@pytest.mark.parametrize(
    ("tree", "says"),
    [
        ({"projects": {"p": {"team": "nobody"}}}, "projects.p.team: no team `nobody`"),
        ({"keys": [{**KEY, "project": "p"}]}, "keys[0].project: no project `p`"),
        (
            {"teams": {"t": {}}, "projects": {"p": {"team": "t"}}, "keys": [{**KEY, "project": "p"}]},
            "keys[0].project: `p` belongs to team `t`, the key to `default`",
        ),
    ],
)
def test_a_key_belongs_to_the_team_of_its_project(tree, says):
    assert problems(**tree) == [says]


def test_what_belongs_together_has_no_problems():
    tree = {"teams": {"t": {}}, "projects": {"p": {"team": "t"}}, "keys": [{**KEY, "team": "t", "project": "p"}]}
    assert problems(**tree) == []


def test_defaults_limit_nobody():
    assert (Team().org, Team().limits, Team().budgets) == ("default", (), ())
    assert Limit(concurrent=1).requests is None
    assert [period.value for period in Period] == ["day", "week", "month", "total"]


def test_a_budget_larger_than_can_be_counted_exactly_is_refused():
    with pytest.raises(ConfigError, match="9000000"):
        decode({"teams": {"t": {"budgets": [{"amount_usd": 9_000_001, "period": "day"}]}}}, Settings)


@pytest.mark.parametrize("network", ["10.0.0.0/33", "10.0.0", "::1/129", "1.2.3.4.5", "/8"])
def test_a_network_has_to_be_one(network):
    assert [path for path, _ in problems_of(KeySpec(networks=("10.1.2.3/8", network)))] == ["networks[1]"]


@pytest.mark.parametrize("more", [{}, {"cache_read_usd": 1}, {"gpu_requests": 4}])
def test_an_override_without_a_price_would_give_a_model_away(more):
    (told,) = problems(prices={"overrides": [{"provider": "p", **more}]})
    names = "input_usd, output_usd, request_usd, gpu_second_usd"
    assert told == f"prices.overrides[0].input_usd: no price: give one of {names}; 0 for a model that is free"


@pytest.mark.parametrize("name", ["input_usd", "output_usd", "request_usd", "gpu_second_usd"])
def test_one_price_is_enough_and_zero_is_one(name):
    assert problems(prices={"unpriced": "refuse", "overrides": [{"provider": "p", name: 0}]}) == []


def test_one_object_is_checked_by_itself():
    wrong = Budget(amount_usd=1, period=Period.DAY, time_zone="Mars")
    team = Team(limits=(Limit(concurrent=1), Limit()), end_user=PerEndUser(budgets=(wrong,)))
    assert [path for path, _ in problems_of(team)] == ["limits[1]", "end_user.budgets[0].time_zone"]
    assert list(problems_of(KeySpec(networks=("2001:db8::1", "0.0.0.0/0")))) == []


@pytest.mark.parametrize(
    ("spec", "paths"),
    [
        (KeySpec(models=()), ["models"]),
        (KeySpec(scopes=()), ["scopes"]),
        (Team(limits=(Limit(requests=1, per_s=1), Limit(requests=2, per_s=1.0))), ["limits"]),
        (Team(limits=(Limit(requests=1, per_s=1), Limit(requests=1, per_s=2), Limit(tokens=1, per_s=1))), []),
        (Team(budgets=(Budget(amount_usd=1, period=Period.DAY), Budget(amount_usd=2, period=Period.DAY))), ["budgets"]),
        (Team(end_user=PerEndUser(limits=(Limit(concurrent=1),) * 2)), ["end_user.limits"]),
        (Team(limits=(Limit(), Limit())), []),
    ],
)
def test_what_is_not_to_be_written(spec, paths):
    assert [path for path, _ in refusals_of(spec)] == paths
    assert not paths or not list(problems_of(spec)), "what has it is served"


@pytest.mark.parametrize("group", ["orgs", "teams", "projects"])
def test_names_of_our_own_are_nobody_elses(group):
    settings = decode({group: {"~shadow": {}}}, Settings)
    assert [path for path, _ in tenant_problems(settings)] == [f"{group}.~shadow"]
