"""What the file declares and what was made at run time, together."""

from trunkline_gateway.config import ExtraKey, GatewayConfig
from trunkline_gateway.directory.objects import Item, Kind
from trunkline_gateway.tenancy import tenants_of
from trunkline_kit.config import decode
from trunkline_kit.settings import Settings
from trunkline_kit.tenants import KeySpec, Limit, Tag, Team

TREE = {
    "providers": {"up": {"kind": "openai"}},
    "models": {"m": {"deployments": [{"provider": "up", "model": "x"}], "limits": [{"concurrent": 4}]}},
    "teams": {"search": {"org": "acme"}},
    "keys": [{"id": "k", "secret": "env:K", "team": "search"}],
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
    assert (tenants.org_of("search"), tenants.org_of("sales"), tenants.org_of("nobody")) == ("acme", "acme", "default")


def test_keys_of_all_kinds_are_there():
    tenants = tenants_of(CONFIG, items((Kind.TEAM, "sales", Team()), (Kind.KEY, "made", KeySpec(team="sales"))))
    assert {name: key.team for name, key in tenants.keys.items()} == {
        "k": "search",
        "owner": "default",
        "made": "sales",
    }


def test_a_stored_key_whose_team_is_gone_may_do_nothing():
    stored = items(
        (Kind.KEY, "kept", KeySpec(team="search")),
        (Kind.KEY, "lost", KeySpec(team="gone")),
        (Kind.KEY, "own", KeySpec()),
    )
    keys = tenants_of(CONFIG, stored).keys
    assert {name: keys[name].disabled for name in ("kept", "lost", "own")} == {
        "kept": False,
        "lost": True,
        "own": False,
    }


def test_limits_of_models_hold_together():
    tenants = tenants_of(CONFIG, items((Kind.MODEL, "m", Tag(limits=(Limit(concurrent=2),)))))
    assert [limit.concurrent for limit in tenants.models["m"].limits] == [4, 2]
