"""Names of a configuration: models, aliases, routes, and who may use them."""

import pytest

from trunkline_gateway.auth import Principal
from trunkline_gateway.catalogue import build
from trunkline_gateway.config import ExtraKey, GatewayConfig
from trunkline_gateway.dialects.canonical import Dialect
from trunkline_kit.config import decode
from trunkline_kit.errors import ModelNotFound
from trunkline_kit.settings import Settings

TREE = {
    "providers": {"up": {"kind": "openai"}, "w": {"kind": "worker"}},
    "models": {
        "big": {
            "deployments": [{"provider": "up", "model": "x", "weight": 3}, {"provider": "w", "model": "y"}],
            "aliases": ["large"],
            "fallbacks": {"on_error": ["small"], "on_context_window": ["long"], "on_content_policy": ["lax"]},
            "breaker": {"failures": 7},
        },
        "long": {"deployments": [{"provider": "w", "model": "l", "context_tokens": 9000}]},
        "lax": {"deployments": [{"provider": "w", "model": "x"}]},
        "small": {"deployments": [{"provider": "w", "model": "s"}]},
    },
    "routes": {"auto": {"otherwise": ["big"]}},
    "teams": {"search": {"org": "acme"}},
    "keys": [{"id": "k", "secret": "env:K", "team": "search"}],
}
ANYONE = Principal(key_id="a")


@pytest.fixture
def catalogue():
    config = GatewayConfig.from_settings(decode(TREE, Settings), extra_keys=(ExtraKey(id="e", sha256=b"h" * 32),))
    return build(config, 7.9)


def test_names_aliases_and_routes_are_found(catalogue):
    assert catalogue.resolve("large", ANYONE).name == "big"
    assert catalogue.resolve("auto", ANYONE).otherwise == ("big",)
    assert catalogue.visible(ANYONE) == ["big", "long", "lax", "small", "auto"], "aliases are understood, not listed"
    assert catalogue.created_s == 7


def test_what_is_not_there_and_what_is_not_allowed_look_the_same(catalogue):
    texts = []
    for principal in (ANYONE, Principal(key_id="b", models=("auto",))):
        name = "nope" if principal is ANYONE else "big"
        with pytest.raises(ModelNotFound) as caught:
            catalogue.resolve(name, principal)
        texts.append(caught.value.message.replace(name, "…"))
    assert texts[0] == texts[1]


def test_an_offer_knows_its_deployments_and_where_it_may_lead(catalogue):
    big = catalogue.offers["big"]
    assert [(target.key, target.weight) for target in big.targets] == [("up/x", 3), ("w/y", 1)]
    assert big.leads_to == ("small", "long", "lax")
    assert big.watch.peers == (("up", "x"), ("w", "y"))
    assert big.watch.outlier is not None
    assert big.watch.breaker.failures == 7
    assert catalogue.offers["small"].watch.outlier is None, "nobody to compare it with"


def test_targets_know_what_their_models_can_do():
    deployments = [
        {"provider": "up", "model": "o3-mini"},
        {"provider": "up", "model": "o3-mini", "context_tokens": 5, "profile": {"tools": False}},
        {"provider": "groq", "model": "llama"},
        {"provider": "up", "model": "llama"},
    ]
    tree = {
        "providers": {"up": {"kind": "openai"}, "groq": {"kind": "openai", "preset": "groq"}},
        "models": {"m": {"deployments": deployments}},
    }
    offer = build(GatewayConfig.from_settings(decode(tree, Settings)), 0).offers["m"]
    assert [target.context_tokens for target in offer.targets] == [200_000, 5, None, None]
    cannot = [frozenset() if target.profile is None else target.profile.cannot for target in offer.targets]
    assert cannot[0] >= {"images", "sampling"}
    assert cannot[1] == cannot[0] | {"tools"}
    assert cannot[2] >= {"logprobs", "choices"}
    assert cannot[3] == frozenset()
    assert offer.lacks[Dialect.CHAT].each == tuple(cannot)
