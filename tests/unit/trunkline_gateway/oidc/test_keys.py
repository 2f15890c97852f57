"""Which published key verifies which token."""

import msgspec
import pytest
from joserfc.jwk import ECKey, OctKey, RSAKey
from joserfc.util import urlsafe_b64encode

from trunkline_gateway.oidc.jwt import Header
from trunkline_gateway.oidc.keys import KEYS_MAX, KeyBook, UnknownKey, read_jwks
from trunkline_gateway.oidc.refusals import Fault, Refused
from trunkline_kit.errors import Unavailable
from trunkline_kit.identity import Algorithm
from trunkline_testkit.issuer import make_key

RSA = make_key("RS256").published()
EC = make_key("ES256", "key-2").published()


def jwks(*keys):
    return msgspec.json.encode({"keys": keys})


def book(*keys, algorithms=tuple(Algorithm)):
    return KeyBook(read_jwks(jwks(*keys)), algorithms)


def without(key, *names):
    return {name: value for name, value in key.items() if name not in names}


def test_a_key_is_found_by_its_id_and_the_algorithm():
    keys = book(RSA, EC)
    assert len(keys) == 2
    assert keys.find(Header("RS256", "key-1")).key_type == "RSA"
    assert keys.find(Header("ES256", "key-2")).key_type == "EC"
    for header in (Header("ES256", "key-1"), Header("RS256", "key-2"), Header("RS256", "key-3")):
        with pytest.raises(UnknownKey):
            keys.find(header)


def test_an_algorithm_has_to_be_allowed_whatever_keys_there_are():
    keys = book(RSA, EC, algorithms=(Algorithm.RS256,))
    for alg in ("ES256", "HS256", "none", "RS384", "rs256", ""):
        with pytest.raises(Refused) as refused:
            keys.find(Header(alg, "key-2"))
        assert refused.value.fault is Fault.ALGORITHM
        assert not isinstance(refused.value, UnknownKey)


def test_a_key_for_one_algorithm_is_not_used_for_another():
    with pytest.raises(UnknownKey):
        book(RSA).find(Header("RS512", "key-1"))
    assert book(without(RSA, "alg")).find(Header("PS256", "key-1")).kid == "key-1"


def test_a_token_without_a_key_id_needs_an_issuer_with_one_key():
    nameless = without(RSA, "kid")
    assert book(nameless, EC).find(Header("RS256")).key_type == "RSA"
    other = without(make_key("RS256", serial=1).published(), "kid")
    with pytest.raises(Refused, match="several") as refused:
        book(nameless, other).find(Header("RS256"))
    assert not isinstance(refused.value, UnknownKey)
    with pytest.raises(UnknownKey):
        book(EC).find(Header("RS256"))


def test_one_id_may_stand_for_a_key_of_each_kind():
    keys = book(RSA, {**EC, "kid": "key-1"})
    assert keys.find(Header("RS256", "key-1")).key_type == "RSA"
    assert keys.find(Header("ES256", "key-1")).key_type == "EC"


@pytest.mark.parametrize(
    "key",
    [
        {**RSA, "use": "enc"},
        {**without(RSA, "use"), "key_ops": ["encrypt"]},
        {**without(RSA, "use"), "key_ops": []},
        {**RSA, "kid": 7},
        {**RSA, "n": 7},
        {**RSA, "n": "###"},
        {**RSA, "n": ""},
        {**RSA, "n": "A" * 5000},
        {**RSA, "e": "AQ"},
        {**RSA, "e": "A" * 400},
        without(RSA, "n"),
        without(RSA, "e"),
        without(RSA, "kty"),
        {**EC, "crv": "P-999"},
        {**EC, "x": EC["y"]},
        without(EC, "crv"),
        {"kty": "OKP", "crv": "X25519", "x": "AAAA"},
        {"kty": "PQ", "kid": "new"},
        OctKey.generate_key(256).as_dict(private=True),
        ECKey.generate_key("secp256k1", private=False).as_dict(),
        [],
        "text",
        None,
    ],
)
def test_a_key_that_is_of_no_use_does_not_take_the_others_down(key):
    assert len(book(key, EC)) == 1


def test_a_weak_key_is_not_used():
    with pytest.warns(UserWarning, match="2048"):
        weak = RSAKey.generate_key(1024, private=False)
    assert read_jwks(jwks(weak.as_dict())) == ()
    # A length that only seems to be enough: leading zeros.
    padded = urlsafe_b64encode(bytes(256) + weak.public_key.public_numbers().n.to_bytes(128, "big")).decode()
    assert read_jwks(jwks({**weak.as_dict(), "n": padded})) == ()


def test_private_parts_are_not_even_read():
    leaked = {**make_key("RS256").key.as_dict(private=True), "use": "sig"}
    ((jwk, key),) = read_jwks(jwks(leaked))
    assert not key.is_private
    assert leaked["d"] not in repr(jwk)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"keys":1}', b"\xff", b'{"keys":' + b"[" * 5000, b"<html>"])
def test_what_is_no_set(data):
    with pytest.raises(Unavailable):
        read_jwks(data)


def test_sets_are_bounded():
    with pytest.raises(Unavailable, match="more than"):
        read_jwks(jwks(*[EC] * (KEYS_MAX + 1)))
    assert len(read_jwks(jwks(*[EC] * KEYS_MAX))) == KEYS_MAX


def test_no_keys_are_an_answer_too():
    assert len(book()) == 0
