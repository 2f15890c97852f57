"""Laws of waiting."""

from hypothesis import given
from hypothesis import strategies as st

from trunkline_policy.backoff import delay_s

retries = st.integers(0, 10_000)
rolls = st.floats(0, 1)


@given(retries, rolls)
def test_never_longer_than_the_cap_nor_shorter_than_half_the_base(retry, roll):
    assert 0.05 <= delay_s(retry, roll) <= 5.0


@given(st.integers(0, 40), rolls)
def test_waits_grow(retry, roll):
    assert delay_s(retry, roll) <= delay_s(retry + 1, roll)
