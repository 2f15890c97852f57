"""What tokens cost. Pure, in integers: rates are nano-dollars per million tokens, costs nano-dollars.

Every token is in exactly one of the priced classes; what a price leaves out costs what its wider class costs: cache
reads and writes as input, reasoning as output. A rate that is an explicit 0 is free.
"""

from collections.abc import Mapping

from msgspec import Struct

TOKENS_PER_RATE = 1_000_000
TOKENS_MAX = 1_000_000_000
"""In one count of one attempt: far more than any model reads or writes. A provider that says more is not believed."""


class Tokens(Struct, frozen=True, kw_only=True):
    """Tokens of one attempt by class, none in two of them but `reasoning`, which is a part of `output`."""

    uncached_input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    """Reasoning included."""
    reasoning: int = 0

    @property
    def input(self) -> int:
        """All that was read."""
        return self.uncached_input + self.cache_read + self.cache_write


class Rates(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Nano-dollars per million tokens of each class; None: as its wider class."""

    input: int = 0
    output: int = 0
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    request_nusd: int = 0
    """For each request, whatever it used."""


class Tier(Struct, frozen=True, kw_only=True):
    """Rates of long prompts: they hold for all tokens of a request that reads more than `above_input_tokens`.

    Providers price by such cliffs, not by brackets: genai-prices, `TieredPrices` (read 2026-11-24).
    """

    above_input_tokens: int
    rates: Rates


class Price(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a model costs at a provider."""

    rates: Rates
    tiers: tuple[Tier, ...] = ()
    """By rising `above_input_tokens`."""


FREE = Price(rates=Rates())


def rates_for(price: Price, tokens: Tokens) -> Rates:
    """The rates that hold for a request with these tokens."""
    chosen = price.rates
    for tier in price.tiers:
        if tokens.input > tier.above_input_tokens:
            chosen = tier.rates
    return chosen


def parts(tokens: Tokens, rates: Rates) -> Mapping[str, int]:
    """What each class adds, in nano-dollars times a million: exact, so parts add up to the whole."""
    cache_read = rates.input if rates.cache_read is None else rates.cache_read
    cache_write = rates.input if rates.cache_write is None else rates.cache_write
    reasoning = rates.output if rates.reasoning is None else rates.reasoning
    return {
        "uncached_input": tokens.uncached_input * rates.input,
        "cache_read": tokens.cache_read * cache_read,
        "cache_write": tokens.cache_write * cache_write,
        "output": (tokens.output - tokens.reasoning) * rates.output,
        "reasoning": tokens.reasoning * reasoning,
    }


def cost_nusd(tokens: Tokens, price: Price) -> int:
    """What an attempt with these tokens costs, rounded once, half up, to whole nano-dollars."""
    rates = rates_for(price, tokens)
    exact = sum(parts(tokens, rates).values())
    return (exact + TOKENS_PER_RATE // 2) // TOKENS_PER_RATE + rates.request_nusd


def classified(*, prompt: int, cache_read: int, cache_write: int, completion: int, reasoning: int) -> Tokens:
    """Counts as OpenAI gives them (prompt includes cached, completion includes reasoning) as disjoint classes.

    A provider that reports more cached tokens than prompt tokens is not believed further than its prompt: no class is
    ever negative and none is counted twice. Neither is one believed that reports more than `TOKENS_MAX`.
    """
    prompt, completion = min(max(0, prompt), TOKENS_MAX), min(max(0, completion), TOKENS_MAX)
    read = min(max(0, cache_read), prompt)
    write = min(max(0, cache_write), prompt - read)
    return Tokens(
        uncached_input=prompt - read - write,
        cache_read=read,
        cache_write=write,
        output=completion,
        reasoning=min(max(0, reasoning), completion),
    )
