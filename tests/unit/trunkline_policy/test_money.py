from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_policy.money import NUSD_PER_USD, nusd_of, usd_plain, usd_short, usd_text


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


@pytest.mark.parametrize(
    ("amount_nusd", "text"),
    [
        (0, "0.00"),
        (12 * NUSD_PER_USD, "12.00"),
        (12_345_000_000, "12.34"),
        (1_234_567_890_000_000, "1,234,567.89"),
        (10_000_000, "0.010"),
        (420_000, "0.00042"),
        (1, "0.0000000010"),
        (-1_500_000_000, "-1.50"),
    ],
)
def test_people_get_cents_and_below_ten_of_them_two_digits(amount_nusd, text):
    assert usd_short(amount_nusd) == text


@given(st.integers(-(10**18), 10**18))
def test_short_amounts_are_near_and_nothing_only_where_there_is_nothing(amount):
    short = Decimal(usd_short(amount).replace(",", ""))
    assert abs(short - Decimal(amount) / NUSD_PER_USD) <= Decimal("0.005")
    assert (short == 0) == (amount == 0)


@pytest.mark.parametrize(("amount_usd", "text"), [(9e6, "9000000"), (1.8e-05, "0.000018"), (0.1, "0.1"), (0, "0")])
def test_money_of_settings_is_plain(amount_usd, text):
    assert usd_plain(amount_usd) == text


@given(st.integers(0, 9_000_000 * 1_000_000))
def test_plain_money_has_no_exponent_and_means_the_same(micros):
    amount_usd = micros / 1_000_000
    text = usd_plain(amount_usd)
    assert "e" not in text
    assert nusd_of(text) == nusd_of(amount_usd)
