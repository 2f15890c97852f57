"""Overrides of list prices: those of the configuration file, and those made at run time, in the order they hold."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from fnmatch import fnmatchcase

import msgspec

from trunkline_gateway.directory.objects import Item
from trunkline_kit.accounts import PriceOverride, Prices
from trunkline_policy.costs import Price, Rates
from trunkline_policy.money import nusd_of

FILE = "config"
"""Where an override of the configuration file is from, as price versions say it."""
DIRECTORY = "directory"
"""The same of one that was made through the admin API; its id follows."""
_DIGEST_CHARS = 8
_GLOB = re.compile(r"[*?\[]")
"""A model without any of these is a name."""
_LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)


class Ruling(msgspec.Struct, frozen=True, kw_only=True):
    """An override, ready for use."""

    provider: str
    model: str
    """A glob over the provider's names of models."""
    team: str
    """Empty: for all."""
    source: str
    price: Price
    place: str = ""
    """Where it stands, for people: `prices.overrides[3]`, or `directory/` and its id."""

    def fits(self, place: tuple[str, str]) -> bool:
        """Whether it is about a provider's model."""
        provider, model = place
        return self.provider == provider and fnmatchcase(model, self.model)

    @property
    def rank(self) -> tuple[bool, int, int]:
        """The lower goes first: names, then globs, those with the longer beginning and then with more letters first."""
        beginning = _GLOB.split(self.model, maxsplit=1)[0]
        return beginning != self.model, -len(beginning), -len(_GLOB.sub("", self.model))

    def version_for(self, place: tuple[str, str]) -> str:
        """As rows keep it: who said so, for whom, and a digest of the price itself."""
        digest = hashlib.sha256(msgspec.json.encode(self.price)).hexdigest()[:_DIGEST_CHARS]
        team = f"/team={self.team}" if self.team else ""
        return f"{self.source}{team}/{'/'.join(place)}#{digest}"


def declared_rulings(prices: Prices) -> tuple[Ruling, ...]:
    """Those of the file, in its order."""
    return tuple(
        _ruling(override, FILE, f"prices.overrides[{index}]") for index, override in enumerate(prices.overrides)
    )


def stored_rulings(items: Iterable[Item]) -> tuple[Ruling, ...]:
    """Those of the directory, the last made first. Other objects are passed over."""
    found = [(item, item.spec) for item in items if isinstance(item.spec, PriceOverride)]
    found.sort(key=lambda pair: (pair[0].created_at or _LONG_AGO, pair[0].id), reverse=True)
    return tuple(_ruling(spec, f"{DIRECTORY}/{item.id}", f"{DIRECTORY}/{item.id}") for item, spec in found)


def in_order(stored: Iterable[Ruling], declared: Iterable[Ruling]) -> tuple[Ruling, ...]:
    """As they hold: the first that fits, among those for a team before those for all.

    By `Ruling.rank`; where that is the same, those made at run time before the file's, and each in the order given.
    """
    return tuple(sorted((*stored, *declared), key=lambda ruling: ruling.rank))


def team_rulings(rulings: Sequence[Ruling], place: tuple[str, str]) -> Iterator[Ruling]:
    """The first for each team that has one of its own there."""
    seen = set()
    for ruling in rulings:
        if ruling.team and ruling.team not in seen and ruling.fits(place):
            seen.add(ruling.team)
            yield ruling


def idle_rulings(rulings: Sequence[Ruling], places: Iterable[tuple[str, str]]) -> list[tuple[Ruling, str]]:
    """Those that never hold at any of the places, and why: nobody writes an override to have no effect.

    `rulings` are as `in_order` gives them.
    """
    known = tuple(places)
    taken: dict[str, set[tuple[str, str]]] = {}
    found = []
    for ruling in rulings:
        fits = {place for place in known if ruling.fits(place)}
        before = taken.setdefault(ruling.team, set())
        if not fits:
            found.append((ruling, "no model under models: is served by it"))
        elif fits <= before:
            found.append((ruling, f"{_holders(ruling, rulings, fits)} holds wherever it fits"))
        before |= fits
    return found


def _holders(idle: Ruling, rulings: Sequence[Ruling], fits: AbstractSet[tuple[str, str]]) -> str:
    """Who holds in its stead."""
    same = [one for one in rulings if one.team == idle.team]
    first = (next(one for one in same if one.fits(place)) for place in sorted(fits))
    return " or ".join(dict.fromkeys(one.place or one.source for one in first))


def price_of(override: PriceOverride) -> Price:
    """The configuration's dollars per million tokens, and per second of a GPU, as our integers."""
    return Price(
        rates=Rates(
            input=nusd_of(override.input_usd or 0),
            output=nusd_of(override.output_usd or 0),
            cache_read=_optional(override.cache_read_usd),
            cache_write=_optional(override.cache_write_usd),
            reasoning=_optional(override.reasoning_usd),
            audio_input=_optional(override.audio_input_usd),
            image_input=_optional(override.image_input_usd),
            audio_output=_optional(override.audio_output_usd),
            image_output=_optional(override.image_output_usd),
            request_nusd=nusd_of(override.request_usd or 0),
        ),
        gpu_second_nusd=nusd_of(override.gpu_second_usd or 0),
        gpu_requests=override.gpu_requests if override.gpu_second_usd else 1,
    )


def _ruling(override: PriceOverride, source: str, place: str) -> Ruling:
    return Ruling(
        provider=override.provider,
        model=override.model,
        team=override.team or "",
        source=source,
        price=price_of(override),
        place=place,
    )


def _optional(amount_usd: float | None) -> int | None:
    return None if amount_usd is None else nusd_of(amount_usd)
