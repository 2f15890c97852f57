"""Hashes of keys: keyed, known under old peppers, never made without one."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.hashing import Hasher, sha256_of
from trunkline_kit.errors import ConfigError
from trunkline_kit.secrets import Secret

OLD, NEW = Secret("o" * 32), Secret("n" * 32)


@given(st.text(), st.text())
def test_a_key_is_known_by_what_is_kept_of_it_and_by_nothing_else(key, other):
    hasher = Hasher([NEW])
    kept = hasher.of_sha256(sha256_of(key))
    assert kept in hasher.candidates(key)
    assert len(kept) == 32
    assert (kept in hasher.candidates(other)) == (key == other)
    assert kept != sha256_of(key), "a table of plain hashes could be checked against guesses"


def test_keys_under_an_old_pepper_are_known_until_it_is_taken_out():
    kept = Hasher([OLD]).of_sha256(sha256_of("k"))
    assert kept in Hasher([NEW, OLD]).candidates("k")
    assert kept not in Hasher([NEW]).candidates("k")


def test_a_new_secret_is_long_new_and_shown_once():
    hasher = Hasher([NEW])
    made = [hasher.new_secret() for _ in range(100)]
    texts = {secret.reveal() for secret, _ in made}
    assert len(texts) == 100
    for secret, kept in made:
        key = secret.reveal()
        assert re.fullmatch(r"tl-[A-Za-z0-9_-]{43}", key)
        assert (kept.digest, kept.last_four) == (hasher.candidates(key)[0], key[-4:])
        assert key not in repr(secret) + repr(kept)
    assert len({kept.pepper_id for _, kept in made}) == 1
    assert made[0][1].pepper_id != Hasher([OLD]).new_secret()[1].pepper_id


def test_without_a_pepper_keys_are_known_in_this_process_and_none_can_be_made():
    hasher = Hasher()
    assert hasher.of_sha256(sha256_of("k")) in hasher.candidates("k")
    assert hasher.of_sha256(sha256_of("k")) not in Hasher().candidates("k")
    assert not hasher.can_make
    with pytest.raises(ConfigError, match=r"identity\.pepper"):
        hasher.new_secret()


def test_a_pepper_that_is_no_secret_is_refused():
    with pytest.raises(ConfigError, match="at least 32 characters") as caught:
        Hasher([NEW, Secret("pepper")])
    assert "'pepper'" not in str(caught.value)
