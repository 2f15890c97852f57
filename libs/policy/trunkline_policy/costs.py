"""What tokens cost. Pure, in integers: rates are nano-dollars per million tokens, costs nano-dollars.

Every token is in exactly one of the priced classes; what a price leaves out costs what its wider class costs: cache
reads and writes, sound and images that were sent as input; reasoning, sound and images that were made as output. A rate
that is an explicit 0 is free. Models on GPUs that are paid by the hour can cost by the time that an attempt takes.
"""

from collections.abc import Mapping

from msgspec import Struct

TOKENS_PER_RATE = 1_000_000
MICROS_PER_SECOND = 1_000_000
TOKENS_MAX = 1_000_000_000
"""In one count of one attempt: far more than any model reads or writes. A provider that says more is not believed."""


class Tokens(Struct, frozen=True, kw_only=True):
    """Tokens of one attempt by class, none in two of the four wide ones; the narrow ones are parts of those, apart."""

    uncached_input: int = 0
    """With the sound and the images among it."""
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    """With reasoning, sound and images."""
    reasoning: int = 0
    audio_input: int = 0
    image_input: int = 0
    audio_output: int = 0
    image_output: int = 0
    searches: int = 0
    """Search units of reranking; 0 where nobody counts them."""

    @property
    def input(self) -> int:
        """All that was read."""
        return self.uncached_input + self.cache_read + self.cache_write


class Counts(Struct, frozen=True, kw_only=True):
    """What a provider says, as OpenAI says it: prompt and completion are wholes, all others parts of them."""

    prompt: int = 0
    cache_read: int = 0
    cache_write: int = 0
    audio_input: int = 0
    image_input: int = 0
    completion: int = 0
    reasoning: int = 0
    audio_output: int = 0
    image_output: int = 0


class Rates(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Nano-dollars per million tokens of each class; None: as its wider class."""

    input: int = 0
    output: int = 0
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    audio_input: int | None = None
    image_input: int | None = None
    audio_output: int | None = None
    image_output: int | None = None
    request_nusd: int = 0
    """For each request, whatever it used; for each search unit, where those are counted."""


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
    gpu_second_nusd: int = 0
    """For each second that an attempt takes, on top."""
    gpu_requests: int = 1
    """How many requests share that second; at least 1."""


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
    text_input = tokens.uncached_input - tokens.audio_input - tokens.image_input
    text_output = tokens.output - tokens.reasoning - tokens.audio_output - tokens.image_output
    return {
        "uncached_input": text_input * rates.input,
        "cache_read": tokens.cache_read * _rate(rates.cache_read, rates.input),
        "cache_write": tokens.cache_write * _rate(rates.cache_write, rates.input),
        "audio_input": tokens.audio_input * _rate(rates.audio_input, rates.input),
        "image_input": tokens.image_input * _rate(rates.image_input, rates.input),
        "output": text_output * rates.output,
        "reasoning": tokens.reasoning * _rate(rates.reasoning, rates.output),
        "audio_output": tokens.audio_output * _rate(rates.audio_output, rates.output),
        "image_output": tokens.image_output * _rate(rates.image_output, rates.output),
    }


def cost_nusd(tokens: Tokens, price: Price, duration_us: int = 0) -> int:
    """What an attempt with these tokens and of this duration costs: rounded once, half up, to whole nano-dollars."""
    rates = rates_for(price, tokens)
    exact = sum(parts(tokens, rates).values())
    asked_nusd = rates.request_nusd * max(1, tokens.searches)
    if not price.gpu_second_nusd:
        return (exact + TOKENS_PER_RATE // 2) // TOKENS_PER_RATE + asked_nusd
    # Both are millionths, of tokens and of seconds; the time is shared on top of that.
    shares = MICROS_PER_SECOND * price.gpu_requests
    whole = exact * price.gpu_requests + max(0, duration_us) * price.gpu_second_nusd
    return (whole + shares // 2) // shares + asked_nusd


def classified(counts: Counts) -> Tokens:
    """Counts as providers give them as disjoint classes.

    A provider that reports more of a part than of the whole is not believed further than the whole: no class is ever
    negative and none is counted twice. Neither is one believed that reports more than `TOKENS_MAX`. Where parts are
    together more than their whole, cache reads go before cache writes, then sound, then images.
    """
    prompt, completion = min(max(0, counts.prompt), TOKENS_MAX), min(max(0, counts.completion), TOKENS_MAX)
    read = _part(counts.cache_read, prompt)
    write = _part(counts.cache_write, prompt - read)
    uncached = prompt - read - write
    sound = _part(counts.audio_input, uncached)
    reasoning = _part(counts.reasoning, completion)
    said = _part(counts.audio_output, completion - reasoning)
    return Tokens(
        uncached_input=uncached,
        cache_read=read,
        cache_write=write,
        output=completion,
        reasoning=reasoning,
        audio_input=sound,
        image_input=_part(counts.image_input, uncached - sound),
        audio_output=said,
        image_output=_part(counts.image_output, completion - reasoning - said),
    )


def _part(count: int, whole: int) -> int:
    return min(count, whole) if count > 0 else 0


def _rate(rate: int | None, wider: int) -> int:
    return wider if rate is None else rate
