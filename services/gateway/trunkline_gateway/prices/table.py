"""List prices of providers with the day each came into force. Read from a file, never from a network."""

import re
from collections.abc import Iterator, Sequence
from datetime import date
from importlib.resources import files
from pathlib import Path

import msgspec

from trunkline_kit.errors import ConfigError
from trunkline_policy.costs import Price

SHIPPED = "table.json"
FORMAT = 2
"""Of the file. 1 has no rates of sound and images, and does not say its format; it can still be read."""


class Match(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Which names mean a model; one field is given. Letters count the same in both cases."""

    equals: str | None = None
    starts_with: str | None = None
    ends_with: str | None = None
    contains: str | None = None
    regex: str | None = None
    any: tuple["Match", ...] = ()
    all: tuple["Match", ...] = ()

    def fits(self, name: str) -> bool:
        """Whether `name`, in lower case, is meant."""
        if self.equals is not None:
            return name == self.equals.lower()
        if self.starts_with is not None:
            return name.startswith(self.starts_with.lower())
        if self.ends_with is not None:
            return name.endswith(self.ends_with.lower())
        if self.contains is not None:
            return self.contains.lower() in name
        if self.regex is not None:
            return re.search(self.regex, name) is not None
        return any(one.fits(name) for one in self.any) or (bool(self.all) and all(one.fits(name) for one in self.all))


class DatedPrice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A price and the day it came into force (UTC); None: from the beginning."""

    since: date | None = None
    price: Price


class TableModel(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    id: str
    match: Match
    prices: tuple[DatedPrice, ...]
    """The oldest first."""


class TableProvider(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    id: str
    url: str
    """A regular expression over base URLs."""
    models: tuple[TableModel, ...]
    fallbacks: tuple[str, ...] = ()
    """Providers whose models it offers at their prices."""


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All list prices of one source in one version."""

    source: str
    source_version: str
    licence: str
    format: int = 1
    """See `FORMAT`."""
    providers: tuple[TableProvider, ...]

    @property
    def version(self) -> str:
        return f"{self.source}-{self.source_version}"

    def provider(self, provider_id: str) -> TableProvider | None:
        return next((one for one in self.providers if one.id == provider_id), None)

    def provider_at(self, base_url: str) -> TableProvider | None:
        """Who serves at `base_url`; None for a place the table does not know, such as one's own server."""
        return next((one for one in self.providers if re.match(one.url, base_url)), None)

    def find(self, provider: TableProvider, model: str) -> tuple[TableProvider, TableModel] | None:
        """The entry for a provider's name of a model: its own, else that of a provider whose models it offers."""
        name = model.lower()
        for place in self._places(provider):
            for entry in place.models:
                if entry.match.fits(name):
                    return place, entry
        return None

    def _places(self, provider: TableProvider) -> Iterator[TableProvider]:
        yield provider
        for other in provider.fallbacks:
            if (found := self.provider(other)) is not None:
                yield found


class _Head(msgspec.Struct, frozen=True):
    """What can be read of any format."""

    format: int = 1


_decode = msgspec.json.Decoder(Table).decode
_decode_head = msgspec.json.Decoder(_Head).decode


def load_table(path: str | None = None) -> Table:
    """The table in `path`, or the shipped one. Raises ConfigError for a file that is not there or not a table."""
    try:
        data = Path(path).read_bytes() if path else (files(__package__) / SHIPPED).read_bytes()
        if (found := _decode_head(data).format) > FORMAT:
            raise ConfigError(
                f"prices.table: {path or SHIPPED} has format {found}, and this version of Trunkline knows formats up to"
                f" {FORMAT}; make it again with this version's `trunkline prices import`"
            )
        return _decode(data)
    except OSError as error:
        raise ConfigError(f"prices.table: cannot read {path or SHIPPED}: {error.strerror or error}") from error
    except msgspec.DecodeError as error:
        text = f"prices.table: {path or SHIPPED} is not a price table: {error}; make one with `trunkline prices import`"
        raise ConfigError(text) from error


def encode_table(table: Table) -> bytes:
    """A file's content: one line for each model, so that two versions can be compared by eye."""
    lines = []
    for provider in table.providers:
        models = ",\n  ".join(msgspec.json.encode(model).decode() for model in provider.models)
        head = msgspec.json.encode(msgspec.structs.replace(provider, models=())).decode()
        lines.append(head.replace('"models":[]', f'"models":[\n  {models}\n ]'))
    head = msgspec.json.encode(msgspec.structs.replace(table, providers=())).decode()
    return head.replace('"providers":[]', '"providers":[\n ' + ",\n ".join(lines) + "\n]").encode() + b"\n"


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One model that differs between two tables."""

    provider: str
    model: str
    before: tuple[DatedPrice, ...]
    """Empty: it is new."""
    after: tuple[DatedPrice, ...]
    """Empty: it is gone."""


def differences(before: Table, after: Table) -> Sequence[Change]:
    """What changed, by provider and model."""
    old, new = _flat(before), _flat(after)
    return [
        Change(provider=key[0], model=key[1], before=old.get(key, ()), after=new.get(key, ()))
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]


def _flat(table: Table) -> dict[tuple[str, str], tuple[DatedPrice, ...]]:
    return {(one.id, model.id): model.prices for one in table.providers for model in one.models}
