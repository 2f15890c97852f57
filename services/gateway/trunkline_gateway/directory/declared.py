"""What the configuration file declares, as objects that cannot be changed at run time."""

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from trunkline_gateway.config import GatewayConfig
from trunkline_gateway.directory.needs import DEFAULT
from trunkline_gateway.directory.objects import Item, Kind, Spec
from trunkline_kit.tenants import KeySpec, Org, Tag, Team


class Declared(Struct, frozen=True, kw_only=True):
    """Of one configuration."""

    items: Mapping[Kind, Mapping[str, Item]] = {}
    providers: frozenset[str] = frozenset()
    policies: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()
    issuers: frozenset[str] = frozenset()
    """Names under `identity.oidc`: they are the key ids of their tokens."""

    def of(self, kind: Kind) -> Mapping[str, Item]:
        """By id."""
        return self.items.get(kind, {})

    def implied(self, kind: Kind) -> dict[str, Item]:
        """What is there without being declared or made: `default`, and the orgs of the file's teams. Limits nobody."""
        specs: dict[str, Spec] = {}
        if kind is Kind.TEAM:
            specs = {DEFAULT: Team()}
        elif kind is Kind.ORG:
            teams = (item.spec for item in self.of(Kind.TEAM).values())
            specs = dict.fromkeys([DEFAULT, *(team.org for team in teams if isinstance(team, Team))], Org())
        known = self.of(kind)
        return {
            name: Item(kind=kind, id=name, spec=spec, version=0, implied=True)
            for name, spec in specs.items()
            if name not in known
        }


def declared_of(config: GatewayConfig) -> Declared:
    """Everything with version 0. Models are there where they have limits or budgets, prices as `file:0` and so on."""
    keys = {key.id: msgspec.convert(key, KeySpec, from_attributes=True) for key in config.keys}
    for extra in config.extra_keys:
        keys[extra.id] = KeySpec(team=extra.team, models=extra.models, policy=extra.policy)
    specs: dict[Kind, Mapping[str, Spec]] = {
        Kind.ORG: config.orgs,
        Kind.TEAM: config.teams,
        Kind.PROJECT: config.projects,
        Kind.KEY: keys,
        Kind.TAG: config.tags,
        Kind.MODEL: {
            name: Tag(limits=model.limits, budgets=model.budgets)
            for name, model in config.models.items()
            if model.limits or model.budgets
        },
        Kind.PRICE: {f"file:{at}": override for at, override in enumerate(config.prices.overrides)},
    }
    return Declared(
        items={
            kind: {name: Item(kind=kind, id=name, spec=spec, version=0) for name, spec in named.items()}
            for kind, named in specs.items()
        },
        providers=frozenset(config.providers),
        policies=frozenset(config.policies),
        models=frozenset(config.models),
        issuers=frozenset(config.identity.oidc),
    )
