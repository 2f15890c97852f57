from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

from trunkline_policy.costs import (
    FREE,
    TOKENS_MAX,
    Counts,
    Price,
    Rates,
    Tier,
    Tokens,
    classified,
    cost_nusd,
    parts,
    rates_for,
)
from trunkline_policy.money import nusd_of

COUNTS = st.integers(0, 2_000_000)
RATE = st.integers(0, 200_000_000_000)
WIDE = ("uncached_input", "cache_read", "cache_write", "output")
NARROW = {
    "audio_input": "uncached_input",
    "image_input": "uncached_input",
    "reasoning": "output",
    "audio_output": "output",
    "image_output": "output",
}
"""Parts and their wholes."""
WIDER_RATE = {"uncached_input": "input", "output": "output"}
OPTIONAL_RATES = ("cache_read", "cache_write", *NARROW)


@st.composite
def tokens(draw):
    alone = {name: draw(COUNTS) for name in (*WIDE, *NARROW)}
    for part, whole in NARROW.items():
        alone[whole] += alone[part]
    return Tokens(**alone)


rates = st.builds(
    Rates,
    input=RATE,
    output=RATE,
    request_nusd=st.integers(0, 10**9),
    **{name: st.none() | RATE for name in OPTIONAL_RATES},
)
prices = st.builds(
    Price, rates=rates, gpu_second_nusd=st.integers(0, 10**9), gpu_requests=st.integers(1, 64), tiers=st.just(())
)
DURATION = st.integers(0, 3_600_000_000)

MINI = Price(rates=Rates(input=nusd_of("0.15"), output=nusd_of("0.6"), cache_read=nusd_of("0.075")))


def rate_of(rates, name):
    """Written down once more, without any rule in common with the module."""
    own = {"uncached_input": rates.input, "output": rates.output}.get(name)
    if own is not None:
        return own
    given = getattr(rates, name)
    if given is not None:
        return given
    return rates.output if NARROW.get(name) == "output" else rates.input


def test_a_known_bill():
    used = Tokens(uncached_input=600, cache_read=400, output=200)
    expected = (Decimal(600) * 150 + Decimal(400) * 75 + Decimal(200) * 600).to_integral_value()
    assert cost_nusd(used, MINI) == expected


def test_a_known_bill_with_sound():
    """gpt-4o-audio-preview: text $2.5 and $10, sound $40 and $80 for a million tokens."""
    rate = Rates(input=nusd_of("2.5"), output=nusd_of(10), audio_input=nusd_of(40), audio_output=nusd_of(80))
    used = classified(Counts(prompt=1000, audio_input=600, completion=300, audio_output=250))
    assert cost_nusd(used, Price(rates=rate)) == 400 * 2500 + 600 * 40_000 + 50 * 10_000 + 250 * 80_000


def test_cached_tokens_are_not_billed_twice():
    """1,000 prompt tokens of which 400 are cached are 600 at the full rate, not 1,000."""
    used = classified(Counts(prompt=1000, cache_read=400))
    assert cost_nusd(used, MINI) == 600 * 150 + 400 * 75


@given(tokens(), rates)
def test_the_cost_is_each_class_at_its_rate_and_no_class_twice(used, rate):
    """Wholes without their parts, parts by themselves: exact before the one rounding."""
    alone = {name: getattr(used, name) for name in (*WIDE, *NARROW)}
    for part, whole in NARROW.items():
        alone[whole] -= alone[part]
    expected = sum(Fraction(count) * rate_of(rate, name) for name, count in alone.items()) / 1_000_000
    assert sum(parts(used, rate).values()) == expected * 1_000_000
    got = cost_nusd(used, Price(rates=rate)) - rate.request_nusd
    assert abs(got - expected) <= Fraction(1, 2)
    assert got == int(expected + Fraction(1, 2))


@given(tokens(), prices, DURATION)
def test_time_on_a_gpu_is_added_exactly_and_rounded_once(used, price, duration_us):
    expected = Fraction(sum(parts(used, price.rates).values()), 1_000_000)
    expected += Fraction(duration_us * price.gpu_second_nusd, 1_000_000 * price.gpu_requests)
    assert cost_nusd(used, price, duration_us) == int(expected + Fraction(1, 2)) + price.rates.request_nusd


@given(tokens(), prices, DURATION, st.integers(0, 10**9))
def test_more_time_never_costs_less_and_more_sharing_never_more(used, price, duration_us, more_us):
    cost = cost_nusd(used, price, duration_us)
    assert cost_nusd(used, price, duration_us + more_us) >= cost
    assert cost_nusd(used, replace(price, gpu_requests=price.gpu_requests + 1), duration_us) <= cost


def test_a_known_gpu_bill():
    """A GPU at $3.60 an hour, four requests at once, an answer in two seconds: half a second, $0.0005."""
    price = Price(rates=Rates(), gpu_second_nusd=nusd_of("0.001"), gpu_requests=4)
    assert cost_nusd(Tokens(output=100), price, 2_000_000) == nusd_of("0.0005")


@given(st.integers(-(10**9), 0))
def test_a_clock_that_went_back_costs_nothing(duration_us):
    assert cost_nusd(Tokens(), Price(rates=Rates(), gpu_second_nusd=10**9), duration_us) == 0


@given(tokens())
def test_an_explicit_zero_is_free(used):
    assert cost_nusd(used, FREE) == 0
    for name in OPTIONAL_RATES:
        assert parts(used, Rates(input=5, output=7, **{name: 0}))[name] == 0


@given(rates)
def test_no_tokens_cost_only_the_request(rate):
    assert cost_nusd(Tokens(), Price(rates=rate)) == rate.request_nusd


@given(tokens(), rates, st.integers(1, 100))
def test_search_units_cost_as_many_requests(used, rate, searches):
    searched = replace(used, searches=searches)
    once = cost_nusd(used, Price(rates=rate))
    assert cost_nusd(searched, Price(rates=rate)) == once + (searches - 1) * rate.request_nusd


@given(tokens(), rates, st.sampled_from(WIDE), st.integers(1, 1000))
def test_more_tokens_never_cost_less(used, rate, name, more):
    grown = replace(used, **{name: getattr(used, name) + more})
    assert cost_nusd(grown, Price(rates=rate)) >= cost_nusd(used, Price(rates=rate))


@given(tokens(), rates, st.sampled_from(sorted(NARROW)), st.integers(1, 1000))
def test_more_tokens_of_a_narrow_class_never_cost_less(used, rate, name, more):
    whole = NARROW[name]
    grown = replace(used, **{name: getattr(used, name) + more, whole: getattr(used, whole) + more})
    assert cost_nusd(grown, Price(rates=rate)) >= cost_nusd(used, Price(rates=rate))


@given(COUNTS, COUNTS, RATE, RATE)
def test_cached_costs_at_most_uncached_where_priced_so(prompt, cached, full, reduced):
    cached, reduced = min(cached, prompt), min(full, reduced)
    price = Price(rates=Rates(input=full, cache_read=reduced))
    without, having = classified(Counts(prompt=prompt)), classified(Counts(prompt=prompt, cache_read=cached))
    assert cost_nusd(having, price) <= cost_nusd(without, price)


@given(tokens(), RATE, RATE)
def test_classes_without_a_rate_cost_as_their_wider_class(used, inp, out):
    price = Price(rates=Rates(input=inp, output=out))
    flat = Tokens(uncached_input=used.input, output=used.output)
    assert cost_nusd(used, price) == cost_nusd(flat, price)


counts = st.builds(Counts, **{name: st.integers(-5, 3000) for name in Counts.__struct_fields__})


@given(counts)
def test_classified_never_counts_twice_or_below_zero(told):
    used = classified(told)
    assert all(value >= 0 for value in asdict(used).values())
    assert used.input == max(0, told.prompt)
    assert used.output == max(0, told.completion)
    assert used.audio_input + used.image_input <= used.uncached_input
    assert used.reasoning + used.audio_output + used.image_output <= used.output
    assert all(count >= 0 for count in parts(used, Rates(input=1, output=1)).values())
    assert sum(parts(used, Rates(input=1, output=1)).values()) == used.input + used.output


@given(tokens())
def test_counts_that_add_up_are_believed(used):
    told = Counts(
        prompt=used.input,
        completion=used.output,
        cache_read=used.cache_read,
        cache_write=used.cache_write,
        **{name: getattr(used, name) for name in NARROW},
    )
    assert classified(told) == used


@pytest.mark.parametrize(("prompt", "rate"), [(199_999, 10), (200_000, 10), (200_001, 25), (500_001, 40)])
def test_a_tier_holds_for_every_token_of_the_request(prompt, rate):
    tiers = (
        Tier(above_input_tokens=200_000, rates=Rates(input=25)),
        Tier(above_input_tokens=500_000, rates=Rates(input=40)),
    )
    price = Price(rates=Rates(input=10), tiers=tiers)
    assert rates_for(price, Tokens(uncached_input=prompt)).input == rate


@given(st.builds(Counts, **{name: st.integers(0, 2**80) for name in Counts.__struct_fields__}))
def test_no_count_is_believed_beyond_all_measure(told):
    used = classified(told)
    assert used.input == min(told.prompt, TOKENS_MAX)
    assert used.output == min(told.completion, TOKENS_MAX)
    assert all(0 <= value <= TOKENS_MAX for value in asdict(used).values())
