import math

import pytest

from trunkline_cache.keys import Key, Scope, key_of, require_seconds, scope_of
from trunkline_kit.errors import InvalidRequest


def test_there_is_no_partition_without_a_tenant():
    with pytest.raises(InvalidRequest, match="tenant is empty"):
        scope_of("", "anything")
    assert scope_of("team:a", "") == Scope("team:a")


@pytest.mark.parametrize(("tenant", "namespace"), [("t" * 257, ""), ("t", "n" * 257)])
def test_names_have_a_bound(tenant, namespace):
    with pytest.raises(InvalidRequest, match="257 characters, at most 256"):
        scope_of(tenant, namespace)


@pytest.mark.parametrize("size", [0, 20, 31, 33, 64])
def test_a_fingerprint_is_a_whole_sha256(size):
    with pytest.raises(InvalidRequest, match="a SHA-256 has 32"):
        key_of(Scope("t"), 1, bytes(size))
    assert key_of(Scope("t"), 1, bytes(32)) == Key(Scope("t"), 1, bytes(32))


@pytest.mark.parametrize("seconds", [-1.0, math.nan, math.inf])
def test_a_length_of_time_is_finite_and_not_negative(seconds):
    with pytest.raises(InvalidRequest, match="a finite number of seconds"):
        require_seconds("max_age_s", seconds, zero_allowed=True)


def test_zero_seconds_are_taken_where_they_mean_something():
    require_seconds("max_age_s", 0.0, zero_allowed=True)
    with pytest.raises(InvalidRequest, match="more than 0"):
        require_seconds("ttl_s", 0.0, zero_allowed=False)
