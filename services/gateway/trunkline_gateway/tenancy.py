"""Everybody who may use this gateway: those that the file declares, and those made at run time."""

from collections.abc import Mapping
from typing import TypeVar, cast

import msgspec

from trunkline_gateway.config import GatewayConfig
from trunkline_gateway.directory.objects import Item, Kind
from trunkline_kit.identity import Oidc
from trunkline_kit.tenants import KeySpec, Org, Project, Tag, Team

SpecT = TypeVar("SpecT")
Items = Mapping[Kind, Mapping[str, Item]]
"""What is stored: kind → id → item."""
NOTHING_STORED: Items = {}
DEFAULT = "default"
"""A team that always exists, and its org."""


class Tenants(msgspec.Struct, frozen=True, kw_only=True):
    """By their names. Never changed in place."""

    orgs: Mapping[str, Org] = {}
    teams: Mapping[str, Team] = {}
    projects: Mapping[str, Project] = {}
    keys: Mapping[str, KeySpec] = {}
    tags: Mapping[str, Tag] = {}
    models: Mapping[str, Tag] = {}
    """What models are limited to, over all their callers."""
    oidc: Mapping[str, Oidc] = {}
    """Whose tokens are taken; the name of each is the key id of its tokens."""

    def org_of(self, team: str) -> str:
        """The org that pays for `team`."""
        found = self.teams.get(team)
        return found.org if found is not None else DEFAULT


def tenants_of(config: GatewayConfig, items: Items = NOTHING_STORED) -> Tenants:
    """What the file declares holds where both have a name."""
    declared_keys: dict[str, KeySpec] = {key.id: key for key in config.keys}
    for extra in config.extra_keys:
        declared_keys[extra.id] = KeySpec(team=extra.team, models=extra.models, policy=extra.policy)
    teams = _both(config.teams, items, Kind.TEAM)
    return Tenants(
        orgs=_both(config.orgs, items, Kind.ORG),
        teams=teams,
        projects=_both(config.projects, items, Kind.PROJECT),
        keys=_stored_keys(items, teams) | declared_keys,
        tags=_both(config.tags, items, Kind.TAG),
        models=_model_bounds(config, items),
        oidc=config.identity.oidc,
    )


def _both(declared: Mapping[str, SpecT], items: Items, kind: Kind) -> dict[str, SpecT]:
    return {name: cast("SpecT", item.spec) for name, item in items.get(kind, {}).items()} | dict(declared)


def _stored_keys(items: Items, teams: Mapping[str, Team]) -> dict[str, KeySpec]:
    """A key whose team went with the file that declared it may do nothing: it would meet nobody's limits."""
    specs = {name: cast("KeySpec", item.spec) for name, item in items.get(Kind.KEY, {}).items()}
    lost = {name: spec for name, spec in specs.items() if spec.team not in teams and spec.team != DEFAULT}
    return specs | {name: msgspec.structs.replace(spec, disabled=True) for name, spec in lost.items()}


def _model_bounds(config: GatewayConfig, items: Items) -> dict[str, Tag]:
    """Those of the file and those made at run time hold together: of two for one counter the tighter one."""
    found = {name: Tag(limits=model.limits, budgets=model.budgets) for name, model in config.models.items()}
    for name, item in items.get(Kind.MODEL, {}).items():
        known, more = found.get(name, Tag()), cast("Tag", item.spec)
        found[name] = Tag(limits=known.limits + more.limits, budgets=known.budgets + more.budgets)
    return found
