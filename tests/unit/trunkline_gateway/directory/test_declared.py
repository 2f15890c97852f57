"""The file's objects, as the admin API shows them."""

import msgspec
import pytest

from trunkline_gateway.config import ExtraKey, GatewayConfig
from trunkline_gateway.directory.declared import declared_of
from trunkline_gateway.directory.objects import Kind
from trunkline_kit.config import decode
from trunkline_kit.settings import Settings
from trunkline_kit.tenants import KeySpec, Limit, Tag, Team


@pytest.fixture
def declared():
    deployments = [{"provider": "up", "model": "x"}]
    tree = {
        "providers": {"up": {"kind": "openai"}},
        "models": {
            "free": {"deployments": deployments},
            "m": {"deployments": deployments, "limits": [{"concurrent": 1}]},
        },
        "orgs": {"acme": {}},
        "teams": {"t": {"org": "acme"}},
        "projects": {"p": {"team": "t"}},
        "tags": {"beta": {}},
        "policies": {"strict": {}},
        "keys": [
            {
                "id": "k",
                "team": "t",
                "secret": "env:CANARY",
                "previous": {"secret": "env:CANARY", "until": "2030-01-01T00:00:00Z"},
                "tags": ["beta"],
            }
        ],
        "prices": {"overrides": [{"provider": "up", "input_usd": 1}, {"provider": "up"}]},
    }
    extra = (ExtraKey(id="owner", sha256=b"CANARY" + bytes(26), team="t"),)
    return declared_of(GatewayConfig.from_settings(decode(tree, Settings), extra_keys=extra))


def test_every_kind_is_there_and_read_only(declared):
    shown = {kind: sorted(items) for kind, items in declared.items.items()}
    assert shown == {
        Kind.ORG: ["acme"],
        Kind.TEAM: ["t"],
        Kind.PROJECT: ["p"],
        Kind.KEY: ["k", "owner"],
        Kind.TAG: ["beta"],
        Kind.MODEL: ["m"],
        Kind.PRICE: ["file:0", "file:1"],
    }
    items = [item for items in declared.items.values() for item in items.values()]
    assert all(item.declared and item.created_at is None and item.secrets == () for item in items)
    assert declared.of(Kind.MODEL)["m"].spec == Tag(limits=(Limit(concurrent=1),))
    assert (declared.providers, declared.policies, declared.models) == ({"up"}, {"strict"}, {"free", "m"})


def test_a_keys_secrets_are_no_part_of_it(declared):
    spec = declared.of(Kind.KEY)["k"].spec
    assert type(spec) is KeySpec
    assert spec == KeySpec(team="t", tags=("beta",))
    assert declared.of(Kind.KEY)["owner"].spec == KeySpec(team="t")
    assert "CANARY" not in repr(declared)
    assert b"CANARY" not in msgspec.json.encode([item.spec for item in declared.of(Kind.KEY).values()])


def test_default_and_the_orgs_of_teams_are_there_without_being_declared(declared):
    assert set(declared.implied(Kind.ORG)) == {"default"}, "acme is declared"
    [team] = declared.implied(Kind.TEAM).values()
    assert (team.id, team.spec, team.version, team.declared, team.implied) == ("default", Team(), 0, False, True)
    assert declared.implied(Kind.KEY) == {}
    bare = declared_of(GatewayConfig.from_settings(decode({"teams": {"t": {"org": "x"}, "default": {}}}, Settings)))
    assert (set(bare.implied(Kind.ORG)), set(bare.implied(Kind.TEAM))) == ({"default", "x"}, set())


def test_issuers_are_known():
    oidc = {"okta": {"issuer": "https://id.example.com", "audience": ["a"]}}
    config = GatewayConfig.from_settings(decode({"identity": {"oidc": oidc}}, Settings))
    assert declared_of(config).issuers == {"okta"}
