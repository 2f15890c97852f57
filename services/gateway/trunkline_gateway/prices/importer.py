"""From the data inside the `genai-prices` package (MIT) to our price table. Run by hand; needs the `prices` extra."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from importlib.metadata import version
from typing import Any

from trunkline_gateway.prices.table import FORMAT, DatedPrice, Match, Table, TableModel, TableProvider
from trunkline_kit.errors import Unavailable
from trunkline_policy.costs import Price, Rates, Tier
from trunkline_policy.money import nusd_of

SOURCE = "genai-prices"
LICENCE = "MIT, Copyright (c) Pydantic Services Inc."

Foreign = Any
"""A value of the package's own classes, read by the names of its fields."""

_RATES = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "reasoning": "output_reasoning_mtok",
    "audio_input": "input_audio_mtok",
    "image_input": "input_image_mtok",
    "audio_output": "output_audio_mtok",
    "image_output": "output_image_mtok",
}
"""Our classes of tokens and the package's names for their prices, in dollars per million tokens."""
_PER_THOUSAND_REQUESTS = "requests_kcount"


def installed_table() -> Table:
    """The table of the installed `genai-prices`. Raises Unavailable where it is not installed."""
    try:
        from genai_prices.data import providers  # noqa: PLC0415 - an optional extra, and 1.6 MB of Python
    except ImportError as error:
        raise Unavailable("genai-prices is not installed; install `trunkline[prices]`") from error
    return table_of(providers, version(SOURCE))


def table_of(providers: Iterable[Foreign], source_version: str) -> Table:
    """Only prices of tokens and of requests are taken; a model with neither is left out, and so is unpriced.

    So is one that has a price for sound or images only: its text would be free.
    """
    taken = (
        TableProvider(
            id=provider.id,
            url=provider.api_pattern,
            models=tuple(_models(provider)),
            fallbacks=tuple(provider.fallback_model_providers or ()),
        )
        for provider in providers
    )
    kept = tuple(one for one in taken if one.models or one.fallbacks)
    return Table(source=SOURCE, source_version=source_version, licence=LICENCE, format=FORMAT, providers=kept)


def _models(provider: Foreign) -> Iterator[TableModel]:
    for model in provider.models:
        prices = tuple(_dated(model.prices))
        if prices:
            yield TableModel(id=model.id, match=_match(model.match), prices=prices)


def _match(clause: Foreign) -> Match:
    """Its clauses have one field each, by our names but for the two that Python reserves."""
    (field,) = dataclasses.fields(clause)
    value = getattr(clause, field.name)
    if field.name == "or_":
        return Match(any=tuple(_match(one) for one in value))
    if field.name == "and_":
        return Match(all=tuple(_match(one) for one in value))
    return Match(**{field.name: value})


def _dated(prices: Foreign) -> Iterator[DatedPrice]:
    """Prices by date. Those for a part of each day are left out: the all-day price stands for them."""
    listed = [(one.constraint, one.prices) for one in prices] if isinstance(prices, list) else [(None, prices)]
    for constraint, foreign in listed:
        since = getattr(constraint, "start_date", None)
        price = _price(foreign)
        if price is not None and (constraint is None or since is not None):
            yield DatedPrice(since=since, price=price)


def _price(foreign: Foreign) -> Price | None:
    values = {name: getattr(foreign, key, None) for name, key in _RATES.items()}
    per_thousand = getattr(foreign, _PER_THOUSAND_REQUESTS, None)
    if values["input"] is None and values["output"] is None and per_thousand is None:
        return None
    starts = sorted({tier.start for value in values.values() for tier in getattr(value, "tiers", ())})
    request_nusd = 0 if per_thousand is None else nusd_of(_at(per_thousand, 0)) // 1000
    tiers = tuple(Tier(above_input_tokens=start, rates=_rates(values, start + 1, request_nusd)) for start in starts)
    return Price(rates=_rates(values, 0, request_nusd), tiers=tiers)


def _rates(values: Mapping[str, Foreign], input_tokens: int, request_nusd: int) -> Rates:
    known = {name: nusd_of(_at(value, input_tokens)) for name, value in values.items() if value is not None}
    return Rates(**known, request_nusd=request_nusd)


def _at(value: Foreign, input_tokens: int) -> Decimal:
    """A price, or the step of a tiered one that a prompt of this length reaches."""
    if isinstance(value, Decimal):
        return value
    chosen: Decimal = value.base
    for tier in value.tiers:
        if input_tokens > tier.start:
            chosen = tier.price
    return chosen
