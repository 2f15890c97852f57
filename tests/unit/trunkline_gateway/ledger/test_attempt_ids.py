from hypothesis import given
from hypothesis import strategies as st

from trunkline_gateway.ledger.attempt_ids import attempt_id, uuid7

TIME_MS = st.integers(0, (1 << 48) - 1)
RANDOM = st.integers(0, (1 << 80) - 1)


@given(TIME_MS, RANDOM)
def test_version_variant_and_time_are_where_the_rfc_has_them(now_ms, random):
    made = uuid7(now_ms, random)
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert made.int >> 80 == now_ms


@given(TIME_MS, TIME_MS, RANDOM, RANDOM)
def test_they_sort_by_time(one_ms, other_ms, one, other):
    if one_ms < other_ms:
        assert uuid7(one_ms, one) < uuid7(other_ms, other)


def test_no_two_are_alike():
    assert len({attempt_id(1_700_000_000.0) for _ in range(1000)}) == 1000
