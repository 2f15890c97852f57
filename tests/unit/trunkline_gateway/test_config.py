"""What cannot be served is refused, what is not enforced is said."""

import pytest

from trunkline_gateway.config import ExtraKey, GatewayConfig, unenforced
from trunkline_kit.config import decode
from trunkline_kit.errors import ConfigError
from trunkline_kit.settings import Settings

UP = {"up": {"kind": "openai"}}
MODEL = {"m": {"deployments": [{"provider": "up", "model": "x"}]}}


def settings(**tree):
    return decode({"providers": UP, "models": MODEL, **tree}, Settings)


@pytest.mark.parametrize(
    ("tree", "text"),
    [
        ({"providers": {}}, r"models.m.deployments\[0\]: there is no provider 'up'"),
        *(
            (
                {"models": {"m": {**MODEL["m"], "fallbacks": {kind: ["z"]}}}},
                f"fallbacks.{kind}: there is no model 'z'",
            )
            for kind in ("on_error", "on_context_window", "on_content_policy")
        ),
        ({"routes": {"m": {"otherwise": ["m"]}}}, "routes.m: a model has the same name"),
        ({"routes": {"auto": {"otherwise": ["z"]}}}, "routes.auto.otherwise: there is no model 'z'"),
        ({"keys": [{"id": "k", "secret": "env:K", "policy": "p"}]}, "'k' has policy 'p'"),
    ],
)
def test_what_cannot_be_served_names_its_place(tree, text):
    with pytest.raises(ConfigError, match=text):
        GatewayConfig.from_settings(settings(**tree))


def test_extra_keys_come_along():
    extra = ExtraKey(id="generated", sha256=b"x" * 32)
    assert GatewayConfig.from_settings(settings(), extra_keys=(extra,)).extra_keys == (extra,)


def test_a_plain_configuration_leaves_nothing_unenforced():
    plain = settings(providers={"up": {"kind": "openai"}})
    assert [line.split(":")[0] for line in unenforced(plain)] == ["stores.database"]
    assert unenforced(plain, has_database=True) == []


def test_everything_that_does_nothing_yet_is_said_once():
    tree = settings(
        providers={"up": {**UP["up"], "bills_after_disconnect": True}, "a": {"kind": "anthropic"}},
        policies={
            "p": {
                "guardrails": {
                    "input": [{"check": "secrets", "on_fail": "retry"}],
                    "output": [{"check": "secrets", "on_fail": "flag"}],
                },
                "cache": {"semantic": {"max_error_rate": 0.01}},
            }
        },
    )
    places = [line.split(":")[0] for line in unenforced(tree)]
    assert places == [
        "policies.p.guardrails.output",
        "policies.p.guardrails.input",
        "policies.p.cache.semantic",
        "stores.database",
    ]
