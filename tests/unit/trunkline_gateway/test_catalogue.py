"""Names of a configuration: models, aliases, routes, and who may use them."""

from random import Random

import pytest

from trunkline_gateway.auth import Principal
from trunkline_gateway.catalogue import build
from trunkline_gateway.config import ExtraKey, GatewayConfig
from trunkline_kit.config import decode
from trunkline_kit.errors import ModelNotFound
from trunkline_kit.settings import Settings

TREE = {
    "providers": {"up": {"kind": "openai"}, "w": {"kind": "worker"}},
    "models": {
        "big": {
            "deployments": [{"provider": "up", "model": "x", "weight": 3}, {"provider": "w", "model": "y"}],
            "aliases": ["large"],
            "fallbacks": {"on_error": ["small"]},
        },
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
    assert catalogue.visible(ANYONE) == ["big", "small", "auto"], "aliases are understood, not listed"
    assert catalogue.created_s == 7


def test_what_is_not_there_and_what_is_not_allowed_look_the_same(catalogue):
    texts = []
    for principal in (ANYONE, Principal(key_id="b", models=("auto",))):
        name = "nope" if principal is ANYONE else "big"
        with pytest.raises(ModelNotFound) as caught:
            catalogue.resolve(name, principal)
        texts.append(caught.value.message.replace(name, "…"))
    assert texts[0] == texts[1]


def test_targets_are_the_model_then_its_fallbacks_then_what_else_was_decided(catalogue):
    targets = catalogue.targets(["big"], Random(1))
    assert [target.model for target in targets] == ["big", "big", "small"]
    assert [target.model for target in catalogue.targets(["small", "big"], Random(1))] == ["small", "big", "big"]
