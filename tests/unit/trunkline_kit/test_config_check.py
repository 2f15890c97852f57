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


def test_a_fallback_that_is_not_followed_yet_may_lead_nowhere():
    model = MODEL | {"fallbacks": {"on_context_window": ["huge"]}}
    assert findings(Level.ERROR, models={"small": model}) == []
    assert findings(Level.WARNING, models={"small": model}) == [
        "models.small.fallbacks.on_context_window: no model `huge`"
    ]
