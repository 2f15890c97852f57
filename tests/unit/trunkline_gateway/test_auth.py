"""Principals and the ring of their keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.addresses import networks_of
from trunkline_gateway.auth import Entry, Principal, credential_of, key_ring
from trunkline_gateway.hashing import Hasher, sha256_of
from trunkline_kit.errors import ConfigError, PermissionDenied, Unauthenticated
from trunkline_kit.tenants import Scope

ANN, BOB = Principal(key_id="ann"), Principal(key_id="bob")
HASHER = Hasher()


def of(key):
    return HASHER.of_sha256(sha256_of(key))


def ring(*entries):
    return key_ring([(of(key), entry) for key, entry in entries], HASHER)


@pytest.mark.parametrize(
    ("authorization", "api_key"), [("Bearer k", ""), ("bearer  k ", ""), ("", " k"), ("Bearer k", "other")]
)
def test_a_key_comes_in_either_header(authorization, api_key):
    assert credential_of(authorization, api_key) == "k"


@pytest.mark.parametrize(
    ("authorization", "text"),
    [
        ("", "no API key was sent"),
        ("Bearer ", "no API key was sent"),
        ("Basic k", "is not `Bearer <key>`"),
        ("Bearer " + "x" * 20_000, "far too long"),
    ],
)
def test_every_wrong_way_is_said(authorization, text):
    with pytest.raises(Unauthenticated, match=text):
        credential_of(authorization, "")


@given(st.text(min_size=1))
def test_a_key_of_any_bytes_is_somebody_or_nobody(key):
    full = ring((key, Entry(ANN)))
    digest, entry = full.find(key, 0)
    assert entry.principal is ANN
    assert full.entry(digest, 0) is entry
    assert ring().find(key, 0) is None


def test_a_former_secret_works_until_its_end():
    both = ring(("new", Entry(ANN)), ("old", Entry(ANN, until_s=10)))
    digest, _ = both.find("old", 9.9)
    assert both.find("old", 10) is None
    assert both.entry(digest, 10) is None
    assert both.find("new", 10)[1].principal is ANN


def test_two_declared_keys_may_not_share_a_secret():
    with pytest.raises(ConfigError, match="'bob' and 'ann' have the same secret"):
        ring(("a", Entry(ANN)), ("a", Entry(BOB)))


def test_a_stored_key_never_takes_the_place_of_a_declared_one():
    for entries in (
        [("a", Entry(ANN)), ("a", Entry(BOB, stored=True))],
        [("a", Entry(BOB, stored=True)), ("a", Entry(ANN))],
    ):
        assert ring(*entries).find("a", 0)[1].principal is ANN


def test_globs_say_which_models():
    some = Principal(key_id="k", models=("gpt-*", "org/small"))
    assert [some.allows(name) for name in ("gpt-4o", "org/small", "org/large", "x")] == [True, True, False, False]
    assert ANN.allows("anything")


def test_scopes_are_asked_for_by_name_and_writing_includes_reading():
    writer = Principal(key_id="w", scopes=frozenset({Scope.ADMIN_WRITE}))
    assert [scope for scope in Scope if writer.may(scope)] == [Scope.ADMIN_READ, Scope.ADMIN_WRITE]
    assert [scope for scope in Scope if ANN.may(scope)] == [Scope.INFERENCE]
    with pytest.raises(PermissionDenied, match="'admin:write'"):
        Principal(key_id="r", scopes=frozenset({Scope.ADMIN_READ})).require(Scope.ADMIN_WRITE)
    writer.require(Scope.ADMIN_READ)


def test_disabled_and_expired_keys_say_so():
    with pytest.raises(Unauthenticated, match="is disabled"):
        Principal(key_id="k", disabled=True).check(0)
    short = Principal(key_id="k", expires_s=86_400)
    short.check(86_399)
    with pytest.raises(Unauthenticated, match="expired at 1970-01-02 00:00 UTC"):
        short.check(86_400)


def test_a_key_of_some_networks_is_refused_from_elsewhere():
    inside = Principal(key_id="k", networks=networks_of(["10.0.0.0/8"], "x"))
    inside.check_address("10.1.1.1")
    for address in ("11.0.0.1", "", "unix"):
        with pytest.raises(PermissionDenied, match="may not be used from"):
            inside.check_address(address)
    ANN.check_address("anywhere")


def test_the_audit_log_knows_who_bears_a_token():
    assert Principal(key_id="okta", subject="ann@example.com").actor == "okta/ann@example.com"
    assert ANN.actor == "ann"
