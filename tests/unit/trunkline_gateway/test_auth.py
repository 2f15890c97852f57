"""Keys: only hashes are kept, every way of getting it wrong is told apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.auth import Principal, digest, key_ring
from trunkline_kit.errors import ConfigError, Unauthenticated

ANN = Principal(key_id="ann")


@pytest.mark.parametrize(
    ("authorization", "api_key"), [("Bearer k", ""), ("bearer  k ", ""), ("", "k"), ("Bearer k", "other")]
)
def test_a_known_key_is_somebody(authorization, api_key):
    assert key_ring([(digest("k"), ANN)]).principal(authorization, api_key) is ANN


@pytest.mark.parametrize(
    ("authorization", "text"),
    [
        ("", "no API key was sent"),
        ("Bearer ", "no API key was sent"),
        ("Basic k", "is not `Bearer <key>`"),
        ("Bearer nope", "incorrect API key"),
        ("Bearer " + "x" * 5000, "far too long"),
    ],
)
def test_every_wrong_way_is_said(authorization, text):
    with pytest.raises(Unauthenticated, match=text):
        key_ring([(digest("k"), ANN)]).principal(authorization, "")


@given(st.text())
def test_headers_of_any_bytes_are_only_unknown(text):
    with pytest.raises(Unauthenticated):
        key_ring([]).principal(f"Bearer {text.encode().decode('latin-1')}", "")


def test_two_keys_may_not_share_an_id_or_a_secret():
    with pytest.raises(ConfigError, match="'ann' is there twice"):
        key_ring([(digest("a"), ANN), (digest("b"), ANN)])
    with pytest.raises(ConfigError, match="'bob' and 'ann' have the same secret"):
        key_ring([(digest("a"), ANN), (digest("a"), Principal(key_id="bob"))])


def test_globs_say_which_models():
    some = Principal(key_id="k", models=("gpt-*", "org/small"))
    assert [some.allows(name) for name in ("gpt-4o", "org/small", "org/large", "x")] == [True, True, False, False]
    assert ANN.allows("anything")
