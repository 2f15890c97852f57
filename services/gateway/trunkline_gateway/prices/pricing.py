"""Prices of one configuration, looked up once when it comes into force; a request only finds its entry."""

import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, time
from fnmatch import fnmatchcase

import msgspec

from trunkline_gateway.plan import Target
from trunkline_gateway.prices.table import DatedPrice, Table
from trunkline_kit.accounts import PriceOverride, Prices, Unpriced
from trunkline_kit.errors import ConfigError, PermissionDenied
from trunkline_kit.settings import Model, Provider, WorkerProvider
from trunkline_policy.costs import FREE, Price, Rates, Tokens, cost_nusd
from trunkline_policy.money import nusd_of

OWN_WORKER = "own-worker"
"""The price version of models on our own workers: an explicit 0 unless the configuration prices them."""
_DIGEST_CHARS = 8


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """A price from a moment on."""

    since_s: float
    """Seconds since the epoch."""
    price: Price
    version: str
    """Says which source in which version gave it: kept with every row, so that a bill can be checked later."""


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt costs; without a price it is no cost, not zero."""

    cost_nusd: int
    version: str
    unpriced: bool = False


UNPRICED = Cost(cost_nusd=0, version="", unpriced=True)

Place = tuple[str, str]
"""A provider of the configuration and its name of a model."""


class Pricing:
    """Never changed in place."""

    def __init__(self, quotes: Mapping[Place, tuple[Quote, ...]] | None = None, *, refuses: bool = False) -> None:
        self._quotes = quotes or {}
        self._refuses = refuses
        """Whether what has no price may not be used."""

    def quote(self, provider: str, model: str, now_s: float) -> Quote | None:
        """The price in force at `now_s`; None where nobody has said what it costs."""
        for quote in self._quotes.get((provider, model), ()):
            if quote.since_s <= now_s:
                return quote
        return None

    def cost(self, provider: str, model: str, tokens: Tokens, now_s: float) -> Cost:
        """What these tokens cost there."""
        quote = self.quote(provider, model, now_s)
        if quote is None:
            return UNPRICED
        return Cost(cost_nusd=cost_nusd(tokens, quote.price), version=quote.version)

    def allowed(self, targets: tuple[Target, ...], now_s: float) -> tuple[Target, ...]:
        """Those that may be used. Raises PermissionDenied where that leaves none."""
        if not self._refuses:
            return targets
        kept = tuple(one for one in targets if self.quote(one.provider, one.provider_model, now_s) is not None)
        if not kept:
            name = targets[0].model if targets else ""
            raise PermissionDenied(
                f"nobody knows what {name!r} costs, and this gateway refuses what it cannot price; ask whoever runs it"
                " for an entry in prices.overrides",
                param="model",
            )
        return kept

    def unpriced(self, now_s: float) -> list[Place]:
        """Places of the configuration that have no price."""
        return [place for place in self._quotes if self.quote(*place, now_s) is None]


def build_pricing(
    prices: Prices, providers: Mapping[str, Provider], models: Mapping[str, Model], table: Table
) -> Pricing:
    """Prices of every deployment: what the file says, else the table, else nothing. Raises ConfigError."""
    check_prices(prices, providers, table)
    places = {(one.provider, one.model) for model in models.values() for one in model.deployments}
    quotes = {place: tuple(_quotes(prices, providers, table, place)) for place in sorted(places)}
    return Pricing(quotes, refuses=prices.unpriced is Unpriced.REFUSE)


def check_prices(prices: Prices, providers: Mapping[str, Provider], table: Table) -> None:
    """Raises ConfigError for names that are not there."""
    for name, listed in prices.listed_as.items():
        if table.provider(listed) is None:
            known = ", ".join(sorted(one.id for one in table.providers))
            raise ConfigError(f"prices.listed_as.{name}: no provider {listed!r} in the price table; it has {known}")
    for index, override in enumerate(prices.overrides):
        if override.provider not in providers:
            place = f"prices.overrides[{index}].provider"
            raise ConfigError(f"{place}: there is no provider {override.provider!r} under providers:")


def _quotes(prices: Prices, providers: Mapping[str, Provider], table: Table, place: Place) -> Iterator[Quote]:
    """The newest first."""
    name, model = place
    for override in prices.overrides:
        if override.provider == name and fnmatchcase(model, override.model):
            price = price_of(override)
            digest = hashlib.sha256(msgspec.json.encode(price)).hexdigest()[:_DIGEST_CHARS]
            yield Quote(since_s=0.0, price=price, version=f"config/{name}/{model}#{digest}")
            return
    settings = providers.get(name)
    if isinstance(settings, WorkerProvider):
        yield Quote(since_s=0.0, price=FREE, version=OWN_WORKER)
        return
    listed = prices.listed_as.get(name)
    base_url = settings.base_url if settings is not None else ""
    provider = table.provider(listed) if listed else table.provider_at(base_url)
    found = table.find(provider, model) if provider is not None else None
    if found is not None:
        where, entry = found
        for dated in reversed(entry.prices):
            yield _dated(dated, f"{table.version}/{where.id}/{entry.id}")


def _dated(dated: DatedPrice, version: str) -> Quote:
    if dated.since is None:
        return Quote(since_s=0.0, price=dated.price, version=version)
    since_s = datetime.combine(dated.since, time(), UTC).timestamp()
    return Quote(since_s=since_s, price=dated.price, version=f"{version}@{dated.since.isoformat()}")


def price_of(override: PriceOverride) -> Price:
    """The configuration's dollars per million tokens as our integers."""
    return Price(
        rates=Rates(
            input=nusd_of(override.input_usd),
            output=nusd_of(override.output_usd),
            cache_read=_optional(override.cache_read_usd),
            cache_write=_optional(override.cache_write_usd),
            reasoning=_optional(override.reasoning_usd),
            request_nusd=nusd_of(override.request_usd),
        )
    )


def _optional(amount_usd: float | None) -> int | None:
    return None if amount_usd is None else nusd_of(amount_usd)
