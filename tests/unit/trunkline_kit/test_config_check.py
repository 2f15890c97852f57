import pytest

from trunkline_kit.config import decode
from trunkline_kit.config_check import Level, check, require_valid
from trunkline_kit.errors import ConfigError
from trunkline_kit.settings import Settings

MODEL = {"deployments": [{"provider": "local", "model": "m"}]}
BASE = {"providers": {"local": {"kind": "worker"}}, "models": {"small": MODEL, "large": MODEL}}


def findings(level, **changes):
    found = check(decode(BASE | changes, Settings))
    return [str(finding) for finding in found if finding.level is level]


def test_a_sound_configuration_has_no_findings():
    assert check(decode(BASE, Settings)) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"providers": {}}, "models.small.deployments[0].provider: no provider `local`"),
        ({"models": {"a": MODEL | {"fallbacks": {"on_error": ["b"]}}}}, "models.a.fallbacks.on_error: no model `b`"),
        ({"models": {"a": MODEL | {"aliases": ["b"]}, "b": MODEL}}, "models.b: `b` is the name or alias of 2"),
        ({"routes": {"small": {"otherwise": ["large"]}}}, "models.small: `small` is the name or alias of 2"),
        ({"routes": {"auto": {"otherwise": ["huge"]}}}, "routes.auto.otherwise: no model `huge`"),
        ({"keys": [{"id": "k", "secret": "env:K", "team": "x"}]}, "keys[0].team: no team `x`"),
        ({"keys": [{"id": "k", "secret": "env:K", "policy": "x"}]}, "keys[0].policy: no policy `x`"),
        ({"keys": [{"id": "k", "secret": "env:K"}] * 2}, "keys: id `k` is used by 2 keys"),
        ({"keys": [{"id": "k", "secret": "env:K", "limits": [{}]}]}, "keys[0].limits[0]: needs exactly one of"),
        ({"keys": [{"id": "k", "secret": "env:K", "limits": [{"tokens": 1}]}]}, "tokens needs per_s"),
        ({"stores": {"redis": "redis://:pw@host:1"}}, "stores.redis: holds a password"),
        (
            {"models": {"a": {"deployments": [{"provider": "local", "model": "m", "profile": "nobody"}]}}},
            "models.a.deployments[0].profile: no built-in profile `nobody`; there are any, ",
        ),
        (
            {"models": {"a": {"deployments": [{"provider": "local", "model": "m", "profile": {"like": "x"}}]}}},
            "models.a.deployments[0].profile: no built-in profile `x`",
        ),
        ({"providers": {"local": {"kind": "azure", "base_url": "https://r.test"}}}, "providers.local: needs exactly"),
        (
            {"providers": {"local": {"kind": "azure", "base_url": "https://r.test/openai/v1", "api_key": "env:K"}}},
            "providers.local: base_url is the resource's own address",
        ),
        (
            {"providers": {"local": {"kind": "litellm", "provider": "x", "parameters": {"api_base": "http://y"}}}},
            "providers.local: parameters cannot have api_base",
        ),
    ],
)
def test_what_leads_nowhere_is_an_error(changes, expected):
    errors = findings(Level.ERROR, **changes)
    assert any(expected in error for error in errors), errors
    with pytest.raises(ConfigError, match=r"\w"):
        require_valid(decode(BASE | changes, Settings))


def route(*whens):
    return {"routes": {"auto": {"rules": [{"when": when, "to": ["small"]} for when in whens], "otherwise": ["large"]}}}


@pytest.mark.parametrize(
    "whens",
    [
        ({"intent": []},),
        ({"complexity_above": 0.5, "complexity_below": 0.5},),
        ({}, {"intent": ["code"]}),
        ({"intent": ["code", "maths"]}, {"intent": ["code"], "complexity_below": 0.2}),
        ({"complexity_below": 0.5}, {"complexity_below": 0.3}),
    ],
)
def test_a_rule_that_can_never_match_is_an_error(whens):
    assert any("never match" in error for error in findings(Level.ERROR, **route(*whens)))


@pytest.mark.parametrize(
    "whens",
    [
        ({"intent": ["code"]}, {"intent": ["code", "maths"]}),
        ({"complexity_below": 0.3}, {"complexity_below": 0.5}),
        ({"intent": ["code"], "complexity_above": 0.5}, {"intent": ["code"]}),
    ],
)
def test_a_rule_that_can_match_is_none(whens):
    assert findings(Level.ERROR, **route(*whens)) == []


def test_what_is_odd_is_a_warning():
    assert findings(Level.WARNING, keys=[{"id": "k", "secret": "env:K", "models": ["gpt-*"]}]) == [
        "keys[0].models: `gpt-*` fits no model or route"
    ]
    spare = BASE["providers"] | {"spare": {"kind": "openai"}}
    assert findings(Level.WARNING, providers=spare) == ["providers.spare: no model uses it"]
    require_valid(decode(BASE | {"providers": spare}, Settings))


LIMITS = [{"tokens": 5, "per_s": 60}, {"tokens": 9, "per_s": 60}, {"tokens": 9, "per_s": 1}]
BUDGETS = [{"amount_usd": 1, "period": "day"}, {"amount_usd": 2, "period": "day", "time_zone": "Europe/Berlin"}]


@pytest.mark.parametrize("place", ["orgs", "teams", "projects", "tags"])
def test_two_bounds_of_one_kind_at_one_owner_are_odd(place):
    assert findings(Level.WARNING, **{place: {"x": {"limits": LIMITS, "budgets": BUDGETS}}}) == [
        f"{place}.x.limits: 2 limits on tokens per 60 s; only the tightest holds",
        f"{place}.x.budgets: 2 budgets of one period, day; keep one of them",
    ]


def test_so_they_are_of_keys_models_and_end_users():
    bounds = {"limits": [{"concurrent": 1}, {"concurrent": 2}]}
    key = {"id": "k", "secret": "env:K", **bounds, "end_user": bounds}
    models = BASE["models"] | {"small": MODEL | bounds}
    told = findings(Level.WARNING, keys=[key], models=models)
    assert [text.partition(":")[0] for text in told] == [
        "models.small.limits",
        "keys[0].limits",
        "keys[0].end_user.limits",
    ]
    assert all("2 limits on concurrent; only" in text for text in told)


@pytest.mark.parametrize("kind", ["on_error", "on_context_window", "on_content_policy"])
def test_no_fallback_may_lead_nowhere(kind):
    model = MODEL | {"fallbacks": {kind: ["huge"]}}
    assert findings(Level.ERROR, models={"small": model}) == [f"models.small.fallbacks.{kind}: no model `huge`"]


def test_canaries_alone_are_hardly_meant():
    tree = {
        "providers": {"p": {"kind": "worker"}},
        "models": {"m": {"deployments": [{"provider": "p", "model": "x", "canary": True}]}},
    }
    assert [str(one) for one in check(decode(tree, Settings))] == [
        "models.m.deployments: all are canaries: there is nothing to compare them with"
    ]
