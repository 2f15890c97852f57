from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from trunkline_policy.money import NUSD_PER_USD, nusd_of, usd_text


def test_dollars_are_taken_by_their_digits():
    assert nusd_of(0.1) == 100_000_000
    assert nusd_of("2.5") == 2_500_000_000
    assert nusd_of(Decimal("0.000000001")) == 1


def test_text_is_exact_and_plain():
    assert usd_text(150_000) == "0.00015"
    assert usd_text(12 * NUSD_PER_USD) == "12"
    assert usd_text(-500_000_000) == "-0.5"
    assert usd_text(0) == "0"


@given(st.integers(-(10**18), 10**18))
def test_there_and_back(amount):
    assert nusd_of(usd_text(amount)) == amount
    assert Decimal(usd_text(amount)) * NUSD_PER_USD == amount
