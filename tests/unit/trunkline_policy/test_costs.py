from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

from trunkline_policy.costs import FREE, TOKENS_MAX, Price, Rates, Tier, Tokens, classified, cost_nusd, parts, rates_for
from trunkline_policy.money import nusd_of

COUNTS = st.integers(0, 2_000_000)
RATE = st.integers(0, 200_000_000_000)
CLASSES = ("uncached_input", "cache_read", "cache_write", "output")


@st.composite
def tokens(draw):
    output = draw(COUNTS)
    return Tokens(
        uncached_input=draw(COUNTS),
        cache_read=draw(COUNTS),
        cache_write=draw(COUNTS),
        output=output,
        reasoning=draw(st.integers(0, output)),
    )


rates = st.builds(
    Rates,
    input=RATE,
    output=RATE,
    cache_read=st.none() | RATE,
    cache_write=st.none() | RATE,
    reasoning=st.none() | RATE,
    request_nusd=st.integers(0, 10**9),
)

MINI = Price(rates=Rates(input=nusd_of("0.15"), output=nusd_of("0.6"), cache_read=nusd_of("0.075")))


def test_a_known_bill():
    used = Tokens(uncached_input=600, cache_read=400, output=200)
    expected = (Decimal(600) * 150 + Decimal(400) * 75 + Decimal(200) * 600).to_integral_value()
    assert cost_nusd(used, MINI) == expected


def test_cached_tokens_are_not_billed_twice():
    """1,000 prompt tokens of which 400 are cached are 600 at the full rate, not 1,000."""
    used = classified(prompt=1000, cache_read=400, cache_write=0, completion=0, reasoning=0)
    assert cost_nusd(used, MINI) == 600 * 150 + 400 * 75


@given(tokens())
def test_an_explicit_zero_is_free(used):
    assert cost_nusd(used, FREE) == 0
    kept = Price(rates=Rates(input=5, output=7, cache_read=0))
    assert parts(used, kept.rates)["cache_read"] == 0


@given(rates)
def test_no_tokens_cost_only_the_request(rate):
    assert cost_nusd(Tokens(), Price(rates=rate)) == rate.request_nusd


@given(tokens(), rates)
def test_classes_add_up(used, rate):
    """All classes together cost the sum of each alone: exactly before rounding, within a few nano-dollars after."""
    alone = [Tokens(**{name: getattr(used, name)}) for name in CLASSES[:3]]
    alone.append(Tokens(output=used.output, reasoning=used.reasoning))
    assert sum(sum(parts(one, rate).values()) for one in alone) == sum(parts(used, rate).values())
    bare = replace(rate, request_nusd=0)
    assert abs(sum(cost_nusd(one, Price(rates=bare)) for one in alone) - cost_nusd(used, Price(rates=bare))) <= 3


@given(tokens(), rates, st.sampled_from(CLASSES), st.integers(1, 1000))
def test_more_tokens_never_cost_less(used, rate, name, more):
    grown = replace(used, **{name: getattr(used, name) + more})
    assert cost_nusd(grown, Price(rates=rate)) >= cost_nusd(used, Price(rates=rate))


@given(COUNTS, COUNTS, RATE, RATE)
def test_cached_costs_at_most_uncached_where_priced_so(prompt, cached, full, reduced):
    cached, reduced = min(cached, prompt), min(full, reduced)
    price = Price(rates=Rates(input=full, cache_read=reduced))
    without = classified(prompt=prompt, cache_read=0, cache_write=0, completion=0, reasoning=0)
    having = classified(prompt=prompt, cache_read=cached, cache_write=0, completion=0, reasoning=0)
    assert cost_nusd(having, price) <= cost_nusd(without, price)


@given(tokens(), RATE, RATE)
def test_classes_without_a_rate_cost_as_their_wider_class(used, inp, out):
    price = Price(rates=Rates(input=inp, output=out))
    flat = Tokens(uncached_input=used.input, output=used.output)
    assert cost_nusd(used, price) == cost_nusd(flat, price)


@given(*[st.integers(-5, 3000)] * 5)
def test_classified_never_counts_twice_or_below_zero(prompt, read, write, completion, reasoning):
    used = classified(prompt=prompt, cache_read=read, cache_write=write, completion=completion, reasoning=reasoning)
    assert all(value >= 0 for value in asdict(used).values())
    assert used.input == max(0, prompt)
    assert used.output == max(0, completion)
    assert used.reasoning <= used.output


@pytest.mark.parametrize(("prompt", "rate"), [(199_999, 10), (200_000, 10), (200_001, 25), (500_001, 40)])
def test_a_tier_holds_for_every_token_of_the_request(prompt, rate):
    tiers = (
        Tier(above_input_tokens=200_000, rates=Rates(input=25)),
        Tier(above_input_tokens=500_000, rates=Rates(input=40)),
    )
    price = Price(rates=Rates(input=10), tiers=tiers)
    assert rates_for(price, Tokens(uncached_input=prompt)).input == rate


@given(*[st.integers(0, 2**80)] * 5)
def test_no_count_is_believed_beyond_all_measure(prompt, read, write, completion, reasoning):
    used = classified(prompt=prompt, cache_read=read, cache_write=write, completion=completion, reasoning=reasoning)
    assert used.input == min(prompt, TOKENS_MAX)
    assert used.output == min(completion, TOKENS_MAX)
    assert all(0 <= value <= TOKENS_MAX for value in asdict(used).values())
