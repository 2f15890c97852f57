"""The ring of a configuration and a directory."""

from datetime import UTC, datetime

import msgspec
import pytest

from trunkline_gateway.config import ExtraKey, GatewayConfig
from trunkline_gateway.directory.objects import Item, Kind, KnownSecret
from trunkline_gateway.hashing import Hasher, sha256_of
from trunkline_gateway.keys import Principals, declared_secrets, ring_of
from trunkline_gateway.tenancy import tenants_of
from trunkline_kit.config import decode
from trunkline_kit.errors import ConfigError
from trunkline_kit.settings import Settings
from trunkline_kit.tenants import KeySpec, Scope, Team

HASHER = Hasher()
UNTIL = "2027-01-01T00:00:00Z"
TREE = {
    "teams": {"search": {"org": "acme", "weight": 2}},
    "keys": [
        {
            "id": "k",
            "secret": "env:K",
            "previous": {"secret": f"sha256:{sha256_of('older').hex()}", "until": UNTIL},
            "team": "search",
            "expires_at": "2028-01-01T00:00:00+01:00",
            "networks": ["10.0.0.0/8"],
            "scopes": ["inference", "admin:read"],
        }
    ],
}


def config_of(tree=TREE, **more):
    return GatewayConfig.from_settings(decode(tree, Settings), **more)


def ring(config, items=None, secrets=(), environment=None):
    principals = Principals().of(tenants_of(config, items or {}))
    declared = declared_secrets(config, HASHER, environment or {"K": "secret"})
    return ring_of(principals, declared, secrets, HASHER)


def of(key):
    return HASHER.of_sha256(sha256_of(key))


def test_a_declared_key_has_all_that_the_file_says():
    _, entry = ring(config_of()).find("secret", 0)
    principal = entry.principal
    assert (principal.key_id, principal.team, principal.org, principal.weight) == ("k", "search", "acme", 2)
    assert principal.scopes == {Scope.INFERENCE, Scope.ADMIN_READ}
    assert principal.expires_s == datetime(2027, 12, 31, 23, tzinfo=UTC).timestamp()
    assert [str(network) for network in principal.networks] == ["10.0.0.0/8"]
    assert not entry.stored


def test_both_secrets_of_a_rotation_work_until_the_old_ones_end():
    full = ring(config_of())
    end_s = datetime(2027, 1, 1, tzinfo=UTC).timestamp()
    assert full.find("older", end_s - 1)[1].principal is full.find("secret", 0)[1].principal
    assert full.find("older", end_s) is None


def test_stored_keys_are_known_by_each_of_their_secrets():
    items = {Kind.KEY: {"made": Item(kind=Kind.KEY, id="made", spec=KeySpec(team="search"), version=1)}}
    secrets = (
        KnownSecret(key_id="made", digest=of("new")),
        KnownSecret(key_id="made", digest=of("old"), expires_at=datetime(1970, 1, 2, tzinfo=UTC)),
        KnownSecret(key_id="unheard-of", digest=of("stray")),
    )
    full = ring(config_of(), items, secrets)
    assert full.find("new", 0)[1].principal.org == "acme"
    assert full.find("new", 0)[1].stored
    assert full.find("old", 86_399)[1].principal.key_id == "made"
    assert full.find("old", 86_400) is None
    assert full.find("stray", 0) is None


def test_a_stored_key_whose_id_the_file_declares_counts_no_more():
    items = {Kind.KEY: {"k": Item(kind=Kind.KEY, id="k", spec=KeySpec(), version=1)}}
    full = ring(config_of(), items, (KnownSecret(key_id="k", digest=of("usurper")),))
    assert full.find("usurper", 0) is None


def test_the_owners_key_may_do_everything():
    full = ring(config_of({}, extra_keys=(ExtraKey(id="owner", sha256=sha256_of("mine")),)))
    assert full.find("mine", 0)[1].principal.scopes == set(Scope)


def test_principals_live_on_until_their_key_or_team_changes():
    principals = Principals()
    first = principals.of(tenants_of(config_of()))["k"]
    same = config_of()
    assert principals.of(tenants_of(msgspec.structs.replace(same, keys=config_of().keys)))["k"] is not first
    kept = tenants_of(same)
    known = principals.of(kept)["k"]
    assert principals.of(kept)["k"] is known
    moved = msgspec.structs.replace(kept, teams={"search": Team(org="other")})
    assert principals.of(moved)["k"].org == "other"


def test_clashes_and_missing_secrets_are_named():
    with pytest.raises(ConfigError, match="env:K is not set"):
        ring(config_of(), environment={"X": ""})
    twice = {"keys": [{"id": "k", "secret": "env:K"}, {"id": "k", "secret": "env:L"}]}
    with pytest.raises(ConfigError, match="'k' is there twice"):
        ring(config_of(twice), environment={"K": "a", "L": "b"})
    same = {"keys": [{"id": "k", "secret": "env:K"}, {"id": "l", "secret": "env:K"}]}
    with pytest.raises(ConfigError, match="'l' and 'k' have the same secret"):
        ring(config_of(same))
