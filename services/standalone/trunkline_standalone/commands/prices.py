"""`trunkline prices show | check | import | diff`."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import asyncpg
from msgspec import Struct

from trunkline_gateway.directory.objects import ITEMS_PER_PAGE_MAX, Item, Kind, Query
from trunkline_gateway.directory.store import DirectoryStore
from trunkline_gateway.prices.importer import installed_table
from trunkline_gateway.prices.pricing import Pricing, build_pricing
from trunkline_gateway.prices.rulings import Ruling, declared_rulings, idle_rulings, in_order, stored_rulings
from trunkline_gateway.prices.table import DatedPrice, Table, differences, encode_table, load_table
from trunkline_kit.clock import SystemClock
from trunkline_kit.config import load
from trunkline_kit.errors import ConfigError, InvalidRequest, ModelNotFound, TrunklineError
from trunkline_kit.settings import Settings
from trunkline_policy.costs import Price, Rates
from trunkline_policy.money import usd_text
from trunkline_standalone.columns import Column, Shape
from trunkline_standalone.ledger_database import opened_ledger
from trunkline_standalone.tables import note, say, say_table

UNPRICED = "no price"
_PLACE = (Column(name="provider", shape=Shape.NAME), Column(name="model", shape=Shape.NAME))
_MODEL = (
    Column(name="model", shape=Shape.NAME),
    Column(name="provider", shape=Shape.NAME),
    Column(name="provider's model", shape=Shape.NAME, spare=2),
)
_NAMES = {
    "input": "input",
    "output": "output",
    "cache_read": "cache read",
    "cache_write": "cache write",
    "reasoning": "reasoning",
    "audio_input": "audio input",
    "image_input": "image input",
    "audio_output": "audio output",
    "image_output": "image output",
}
"""Classes of tokens, for people."""


class EffectiveOptions(Struct, frozen=True, kw_only=True):
    """As given on the command line; what is empty does not filter."""

    model: str = ""
    provider: str = ""
    team: str = ""
    config: Path
    home: Path


def run_show(model: str | None, provider: str | None, file: Path | None, team: str = "") -> None:
    """Print what a model costs, wherever the table knows it. Raises ModelNotFound, InvalidRequest."""
    if team:
        raise InvalidRequest("the price of a team is a matter of the configuration: add --config trunkline.yaml")
    if not model:
        raise InvalidRequest("name a model, or a configuration with --config trunkline.yaml")
    table = load_table(str(file) if file else None)
    rows = list(shown(table, model, provider))
    if not rows:
        where = f" at {provider}" if provider else ""
        raise ModelNotFound(f"{table.version} has no price for {model}{where}; name one in prices.overrides")
    say_table((*_PLACE, "dollars per million tokens"), rows)


def shown(table: Table, model: str, provider: str | None) -> Iterator[tuple[str, str, str]]:
    """One row for each provider and day from which a price holds."""
    for place in table.providers:
        if provider is not None and place.id != provider:
            continue
        found = table.find(place, model)
        if found is None or (provider is None and found[0] is not place):
            continue
        for dated in found[1].prices:
            yield place.id, found[1].id, told(dated)


def run_effective(options: EffectiveOptions, environment: Mapping[str, str]) -> None:
    """Print what models of a configuration cost now, for a team. Raises ConfigError, ModelNotFound."""
    settings = load(options.config).settings
    rulings = stored_rulings(stored_overrides(options.config, options.home, environment))
    rows = list(effective(settings, pricing_of(settings, rulings), options, SystemClock().now_s()))
    if not rows:
        raise ModelNotFound(f"{options.config} has no deployment that is {options.model} {options.provider}".rstrip())
    say_table((*_MODEL, "dollars per million tokens", Column(name="price version", spare=1)), rows)


def effective(
    settings: Settings, pricing: Pricing, options: EffectiveOptions, now_s: float
) -> Iterator[tuple[str, str, str, str, str]]:
    """One row for each deployment that fits."""
    for name, model in sorted(settings.models.items()):
        for one in model.deployments:
            wanted = not options.model or options.model in {name, one.model}
            if not wanted or (options.provider and options.provider != one.provider):
                continue
            quote = pricing.quote(one.provider, one.model, now_s, options.team)
            price, version = (told_price(quote.price), quote.version) if quote else (UNPRICED, "")
            yield name, one.provider, one.model, price, version


def run_check(config: Path, home: Path, environment: Mapping[str, str]) -> None:
    """Print what has no price and which overrides do nothing. Raises ConfigError where something has no price."""
    settings = load(config).settings
    stored = stored_rulings(stored_overrides(config, home, environment))
    pricing = pricing_of(settings, stored)
    for line in idle_lines(in_order(stored, declared_rulings(settings.prices)), pricing):
        say(f"warning: {line}")
    unpriced = pricing.unpriced(SystemClock().now_s())
    for provider, model in unpriced:
        say(f"error: {model} at {provider} has no price: it is in no bill and meets no budget; see prices.overrides")
    if unpriced:
        raise ConfigError(f"{config}: {len(unpriced)} of {len(pricing.places)} deployments have no price")
    say(f"{config}: all {len(pricing.places)} deployments have a price")


def idle_lines(rulings: Sequence[Ruling], pricing: Pricing) -> Iterator[str]:
    """One for each override that has no effect."""
    for ruling, why in idle_rulings(rulings, pricing.places):
        yield f"{ruling.place}: {told_idle(ruling, why)}"


def told_idle(ruling: Ruling, why: str) -> str:
    """An override without effect, in words."""
    team = f" for team {ruling.team}" if ruling.team else ""
    return f"the override of {ruling.model} at {ruling.provider}{team} has no effect: {why}"


def pricing_of(settings: Settings, stored: Sequence[Ruling] = ()) -> Pricing:
    """As a gateway would have it. Raises ConfigError."""
    table = load_table(settings.prices.table)
    return build_pricing(settings.prices, settings.providers, settings.models, table, stored)


def stored_overrides(config: Path, home: Path, environment: Mapping[str, str]) -> list[Item]:
    """Those made through the admin API; where there is no database to ask, none, and a word about it."""
    try:
        return asyncio.run(opened_ledger(config, home, environment, _stored))
    except TrunklineError as error:
        note(f"without overrides that were made through the admin API: {error.message}")
        return []


async def _stored(pool: asyncpg.Pool) -> list[Item]:
    store = DirectoryStore(pool, may_migrate=False)
    found: list[Item] = []
    query = Query(kind=Kind.PRICE, limit=ITEMS_PER_PAGE_MAX)
    page = await store.list(query)
    found += page.items
    while page.next:
        page = await store.list(Query(kind=Kind.PRICE, limit=ITEMS_PER_PAGE_MAX, after=page.next))
        found += page.items
    return found


def run_import(to: Path) -> None:
    """Write the table of the installed `genai-prices` to a file. Raises Unavailable where it is not installed.

    Raises ConfigError where the file cannot be written.
    """
    table = installed_table()
    try:
        to.write_bytes(encode_table(table))
    except OSError as error:
        raise ConfigError(f"cannot write the table to {to}: {error.strerror or error}") from error
    models = sum(len(place.models) for place in table.providers)
    say(f"{to}: {models} models of {len(table.providers)} providers, {table.version}; use it as prices.table")


def run_diff(before: Path | None, after: Path | None) -> None:
    """Print what differs between two tables; left out: the one that comes with Trunkline, the installed source."""
    old = load_table(str(before) if before else None)
    new = load_table(str(after)) if after else installed_table()
    changes = differences(old, new)
    if changes:
        rows = [(one.provider, one.model, _all(one.before), _all(one.after)) for one in changes]
        say_table((*_PLACE, "before", "after"), rows)
    note(f"{old.version} to {new.version}: {len(changes)} models differ")


def told(dated: DatedPrice) -> str:
    """A price and since when, for people."""
    since = f"since {dated.since}: " if dated.since else ""
    return since + told_price(dated.price)


def told_price(price: Price) -> str:
    """Dollars per million tokens."""
    texts = [_rates(price.rates)]
    texts += [f"above {tier.above_input_tokens} input tokens {_rates(tier.rates)}" for tier in price.tiers]
    if price.gpu_second_nusd:
        texts.append(f"GPU ${usd_text(price.gpu_second_nusd)} a second, shared by {price.gpu_requests}")
    return "; ".join(texts)


def _all(prices: Sequence[DatedPrice]) -> str:
    return " | ".join(told(one) for one in prices) or "none"


def _rates(rates: Rates) -> str:
    named = {text: getattr(rates, name) for name, text in _NAMES.items()}
    texts = [f"{name} ${usd_text(rate)}" for name, rate in named.items() if rate is not None]
    if rates.request_nusd:
        texts.append(f"request ${usd_text(rates.request_nusd)} each")
    return ", ".join(texts)
