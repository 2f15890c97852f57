"""Bounds of prices: what one attempt costs fits the books."""

import msgspec
import pytest

from trunkline_kit.accounts import PriceOverride
from trunkline_policy.costs import TOKENS_MAX, Price, Rates, Tokens, cost_nusd
from trunkline_policy.money import nusd_of

BIGINT_MAX = 2**63 - 1
RATES = [name for name in PriceOverride.__struct_fields__ if name.endswith("_usd") and name != "gpu_second_usd"]


@pytest.mark.parametrize("name", RATES)
@pytest.mark.parametrize("usd", [-1, 1_000_001, 1e20, 1e300, float("inf"), float("nan")])
def test_absurd_prices_are_refused(name, usd):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"provider": "p", name: usd}, PriceOverride)


@pytest.mark.parametrize("gpu", [{"gpu_second_usd": 1_001}, {"gpu_requests": 2**64}, {"gpu_requests": 0}])
def test_absurd_prices_of_time_are_refused(gpu):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"provider": "p", **gpu}, PriceOverride)


def test_the_dearest_attempt_of_all_fits_the_books():
    dearest = msgspec.convert(
        {"provider": "p", **dict.fromkeys(RATES, 1_000_000), "gpu_second_usd": 1_000}, PriceOverride
    )
    rate = nusd_of(dearest.input_usd or 0)
    rates = Rates(input=rate, output=rate, request_nusd=nusd_of(dearest.request_usd or 0))
    price = Price(rates=rates, gpu_second_nusd=nusd_of(dearest.gpu_second_usd or 0))
    tokens = Tokens(uncached_input=TOKENS_MAX, output=TOKENS_MAX)
    month_us = 31 * 86_400 * 1_000_000
    assert cost_nusd(tokens, price, month_us) < BIGINT_MAX
    assert len(msgspec.json.encode(price)) < 500
