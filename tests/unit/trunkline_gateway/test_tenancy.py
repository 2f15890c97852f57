"""What the file declares and what was made at run time, together."""

import msgspec
import pytest

from trunkline_gateway.config import ExtraKey, GatewayConfig
from trunkline_gateway.directory.objects import Item, Kind
from trunkline_gateway.tenancy import tenants_of
from trunkline_kit.config import decode
from trunkline_kit.identity import Identity, Oidc
from trunkline_kit.settings import Settings
from trunkline_kit.tenants import KeySpec, Limit, Project, Tag, Team

TREE = {
    "providers": {"up": {"kind": "openai"}},
    "models": {"m": {"deployments": [{"provider": "up", "model": "x"}], "limits": [{"concurrent": 4}]}},
    "teams": {"search": {"org": "acme"}},
    "keys": [{"id": "k", "secret": "env:K", "team": "search"}],
    "policies": {"strict": {}},
    "prices": {"overrides": [{"provider": "up", "input_usd": 1}]},
}
CONFIG = GatewayConfig.from_settings(decode(TREE, Settings), extra_keys=(ExtraKey(id="owner", sha256=b"h" * 32),))


def items(*made):
    found = {}
    for version, (kind, name, spec) in enumerate(made, start=1):
        found.setdefault(kind, {})[name] = Item(kind=kind, id=name, spec=spec, version=version)
    return found


def test_the_file_holds_where_both_have_a_name():
    stored = items((Kind.TEAM, "search", Team(org="other")), (Kind.TEAM, "sales", Team(org="acme")))
    tenants = tenants_of(CONFIG, stored)
    assert {name: team.org for name, team in tenants.teams.items()} == {"search": "acme", "sales": "acme"}


def test_keys_of_all_kinds_are_there():
    tenants = tenants_of(CONFIG, items((Kind.TEAM, "sales", Team()), (Kind.KEY, "made", KeySpec(team="sales"))))
    assert {name: key.team for name, key in tenants.keys.items()} == {
        "k": "search",
        "owner": "default",
        "made": "sales",
    }


@pytest.mark.parametrize(
    ("spec", "works"),
    [
        (KeySpec(), True),
        (KeySpec(team="search"), True),
        (KeySpec(team="made", project="made", policy="strict"), True),
        (KeySpec(team="gone"), False),
        (KeySpec(team="orphan"), False),
        (KeySpec(project="gone"), False),
        (KeySpec(policy="gone"), False),
    ],
)
def test_a_stored_key_that_lost_what_bounds_or_guards_it_may_do_nothing(spec, works):
    stored = items(
        (Kind.TEAM, "made", Team(org="acme")),
        (Kind.TEAM, "orphan", Team(org="gone")),
        (Kind.PROJECT, "made", Project(team="made")),
        (Kind.KEY, "key", spec),
    )
    assert tenants_of(CONFIG, stored).keys["key"].disabled is not works


def test_a_stored_key_that_is_called_like_an_issuers_tokens_may_do_nothing():
    okta = Oidc(issuer="https://login.example.com", audience=("trunkline",))
    config = msgspec.structs.replace(CONFIG, identity=Identity(oidc={"okta": okta}))
    stored = items(*((Kind.KEY, name, KeySpec()) for name in ("okta", "okta/ann", "oktavia")))
    keys = tenants_of(config, stored).keys
    assert [keys[name].disabled for name in ("okta", "okta/ann", "oktavia")] == [True, True, False]


def test_limits_of_models_hold_together():
    tenants = tenants_of(CONFIG, items((Kind.MODEL, "m", Tag(limits=(Limit(concurrent=2),)))))
    assert [limit.concurrent for limit in tenants.models["m"].limits] == [4, 2]
