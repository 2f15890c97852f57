"""Prices of one configuration, looked up once when it comes into force; a request only finds its entry."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, time
from difflib import get_close_matches

import msgspec

from trunkline_gateway.plan import Target
from trunkline_gateway.prices.rulings import Ruling, declared_rulings, in_order, team_rulings
from trunkline_gateway.prices.table import DatedPrice, Table
from trunkline_kit.accounts import Prices, Unpriced
from trunkline_kit.errors import ConfigError, PermissionDenied
from trunkline_kit.providers import Provider, WorkerProvider, address_of, listed_as
from trunkline_kit.settings import Model
from trunkline_policy.costs import FREE, Price, Tokens, cost_nusd

OWN_WORKER = "own-worker"
"""The price version of models on our own workers: an explicit 0 unless the configuration prices them."""


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """A price from a moment on."""

    since_s: float
    """Seconds since the epoch."""
    price: Price
    version: str
    """Says which source in which version gave it: kept with every row, so that a bill can be checked later."""


class Billing(msgspec.Struct, frozen=True, kw_only=True):
    """What a cost depends on besides tokens."""

    team: str = ""
    """Whose request it is; some overrides are for one team only."""
    duration_us: int = 0
    """How long the attempt took: what is paid by the GPU's time needs it."""


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt costs; without a price it is no cost, not zero."""

    cost_nusd: int
    version: str
    unpriced: bool = False


UNPRICED = Cost(cost_nusd=0, version="", unpriced=True)
ANYBODY = Billing()

Place = tuple[str, str]
"""A provider of the configuration and its name of a model."""
TeamPlace = tuple[str, str, str]
"""A team, a provider and its name of a model."""
Quotes = tuple[Quote, ...]
"""The newest first."""


class Pricing:
    """Never changed in place."""

    def __init__(
        self,
        quotes: Mapping[Place, Quotes] | None = None,
        *,
        of_teams: Mapping[TeamPlace, Quotes] | None = None,
        refuses: bool = False,
    ) -> None:
        self._quotes = quotes or {}
        self._of_teams = of_teams or {}
        """What is not as for all others."""
        self._refuses = refuses
        """Whether what has no price may not be used."""
        every = (*self._quotes.values(), *self._of_teams.values())
        self.by_time = any(quote.price.gpu_second_nusd for quotes in every for quote in quotes)
        """Whether anything costs by the time that it takes."""

    def quote(self, provider: str, model: str, now_s: float, team: str = "") -> Quote | None:
        """The price in force at `now_s`; None where nobody has said what it costs."""
        found = self._of_teams.get((team, provider, model)) if self._of_teams else None
        for quote in self._quotes.get((provider, model), ()) if found is None else found:
            if quote.since_s <= now_s:
                return quote
        return None

    def cost(self, provider: str, model: str, tokens: Tokens, now_s: float, billing: Billing = ANYBODY) -> Cost:
        """What these tokens cost there."""
        quote = self.quote(provider, model, now_s, billing.team)
        if quote is None:
            return UNPRICED
        return Cost(cost_nusd=cost_nusd(tokens, quote.price, billing.duration_us), version=quote.version)

    def allowed(self, targets: tuple[Target, ...], now_s: float, team: str = "") -> tuple[Target, ...]:
        """Those that may be used. Raises PermissionDenied where that leaves none."""
        if not self._refuses:
            return targets
        kept = tuple(one for one in targets if self.quote(one.provider, one.provider_model, now_s, team) is not None)
        if not kept:
            name = targets[0].model if targets else ""
            raise PermissionDenied(
                f"nobody knows what {name!r} costs, and this gateway refuses what it cannot price; ask whoever runs it"
                " for an entry in prices.overrides",
                param="model",
            )
        return kept

    def unpriced(self, now_s: float) -> list[Place]:
        """Places of the configuration that have no price for teams without one of their own."""
        return [place for place in self._quotes if self.quote(*place, now_s) is None]

    @property
    def places(self) -> Sequence[Place]:
        """Of the configuration."""
        return tuple(self._quotes)


def build_pricing(
    prices: Prices,
    providers: Mapping[str, Provider],
    models: Mapping[str, Model],
    table: Table,
    stored: Sequence[Ruling] = (),
) -> Pricing:
    """Prices of every deployment: by overrides, in their order, else by the table, else nothing.

    Raises ConfigError for the file. A stored override whose provider has left the file only has no effect.
    """
    check_prices(prices, providers, table)
    rulings = in_order(stored, declared_rulings(prices))
    places = sorted({(one.provider, one.model) for model in models.values() for one in model.deployments})
    quotes = {place: tuple(_quotes(rulings, prices, providers, table, place)) for place in places}
    of_teams = {
        (ruling.team, *place): (_ruled(ruling, place),) for place in places for ruling in team_rulings(rulings, place)
    }
    return Pricing(quotes, of_teams=of_teams, refuses=prices.unpriced is Unpriced.REFUSE)


def check_prices(prices: Prices, providers: Mapping[str, Provider], table: Table) -> None:
    """Raises ConfigError for names that are not there, one a line."""
    if problems := [f"{path}: {message}" for path, message in price_problems(prices, providers, table)]:
        raise ConfigError("\n".join(problems))


def price_problems(prices: Prices, providers: Mapping[str, Provider], table: Table) -> Iterator[tuple[str, str]]:
    """A path inside the file, and the name there that is not to be found."""
    listed_ids = [one.id for one in table.providers]
    for name, listed in prices.listed_as.items():
        if table.provider(listed) is None:
            what = f"no provider {listed!r} in the price table"
            yield f"prices.listed_as.{name}", f"{what}{_nearest(listed, listed_ids)}"
    for index, override in enumerate(prices.overrides):
        if override.provider not in providers:
            what = f"there is no provider {override.provider!r} under providers:"
            yield f"prices.overrides[{index}].provider", f"{what}{_nearest(override.provider, list(providers))}"


def _nearest(name: str, known: Sequence[str]) -> str:
    """Not all of them: a table has dozens."""
    spelled = {one.lower(): one for one in known}
    found = [spelled[one] for one in get_close_matches(name.lower(), list(spelled), n=3)]
    return f"; did you mean {' or '.join(map(repr, found))}?" if found else ""


def _quotes(
    rulings: Sequence[Ruling], prices: Prices, providers: Mapping[str, Provider], table: Table, place: Place
) -> Iterator[Quote]:
    """The newest first."""
    name, model = place
    ruling = next((one for one in rulings if not one.team and one.fits(place)), None)
    if ruling is not None:
        yield _ruled(ruling, place)
        return
    settings = providers.get(name)
    if isinstance(settings, WorkerProvider):
        yield Quote(since_s=0.0, price=FREE, version=OWN_WORKER)
        return
    listed = prices.listed_as.get(name) or (listed_as(settings) if settings is not None else "")
    address = address_of(settings) if settings is not None else ""
    provider = table.provider(listed) if listed else table.provider_at(address)
    found = table.find(provider, model) if provider is not None else None
    if found is not None:
        where, entry = found
        for dated in reversed(entry.prices):
            yield _dated(dated, f"{table.version}/{where.id}/{entry.id}")


def _ruled(ruling: Ruling, place: Place) -> Quote:
    return Quote(since_s=0.0, price=ruling.price, version=ruling.version_for(place))


def _dated(dated: DatedPrice, version: str) -> Quote:
    if dated.since is None:
        return Quote(since_s=0.0, price=dated.price, version=version)
    since_s = datetime.combine(dated.since, time(), UTC).timestamp()
    return Quote(since_s=since_s, price=dated.price, version=f"{version}@{dated.since.isoformat()}")
