"""Bounds of limits: whatever a setting says, the store can count it."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_kit.tenants import Budget, Limit
from trunkline_policy import windows

YEAR_S = 31_622_400


@pytest.mark.parametrize(
    "limit",
    [
        {"requests": 1, "per_s": YEAR_S + 1},
        {"requests": 1, "per_s": 1e17},
        {"requests": 1, "per_s": 1e300},
        {"requests": 1, "per_s": float("inf")},
        {"requests": 1, "per_s": float("nan")},
        {"requests": 1, "per_s": 0},
        {"requests": 2**53 + 1, "per_s": 1},
        {"tokens": 10**30, "per_s": 1},
        {"concurrent": 2**64},
        {"concurrent": 0},
    ],
)
def test_what_nobody_can_count_is_no_limit(limit):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(limit, Limit)


@pytest.mark.parametrize("amount", [-0.01, 9_000_001, 1e300, float("inf"), float("nan")])
def test_what_nobody_can_count_is_no_budget(amount):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"amount_usd": amount, "period": "day"}, Budget)


@given(st.floats(min_value=0, exclude_min=True, max_value=YEAR_S))
def test_every_window_has_cells_that_a_store_can_number(per_s):
    limit = msgspec.convert({"requests": 2**53, "per_s": per_s}, Limit)
    assert limit.per_s is not None
    assert 1 <= windows.width_ms(limit.per_s) * (windows.CELLS + 2) < 2**36
