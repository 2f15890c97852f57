"""Everybody who may use this gateway: those that the file declares, and those made at run time."""

from collections.abc import Mapping
from typing import TypeVar, cast

import msgspec

from trunkline_gateway.config import GatewayConfig
from trunkline_gateway.directory.objects import Item, Kind
from trunkline_kit.identity import Oidc
from trunkline_kit.oidc_check import is_issuers
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


def tenants_of(config: GatewayConfig, items: Items = NOTHING_STORED) -> Tenants:
    """What the file declares holds where both have a name."""
    declared_keys: dict[str, KeySpec] = {key.id: key for key in config.keys}
    for extra in config.extra_keys:
        declared_keys[extra.id] = KeySpec(team=extra.team, models=extra.models, policy=extra.policy)
    orgs = _both(config.orgs, items, Kind.ORG)
    teams = _both(config.teams, items, Kind.TEAM)
    projects = _both(config.projects, items, Kind.PROJECT)
    known = Known(
        # An org of the file's teams is there without being declared itself.
        orgs=frozenset((DEFAULT, *orgs, *(team.org for team in config.teams.values()))),
        teams=teams,
        projects=frozenset(projects),
        policies=frozenset(config.policies),
    )
    return Tenants(
        orgs=orgs,
        teams=teams,
        projects=projects,
        keys=_stored_keys(items, known, config.identity.oidc) | declared_keys,
        tags=_both(config.tags, items, Kind.TAG),
        models=_model_bounds(config, items),
        oidc=config.identity.oidc,
    )


def _both(declared: Mapping[str, SpecT], items: Items, kind: Kind) -> dict[str, SpecT]:
    return {name: cast("SpecT", item.spec) for name, item in items.get(kind, {}).items()} | dict(declared)


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What keys may belong to."""

    orgs: frozenset[str]
    teams: Mapping[str, Team]
    projects: frozenset[str]
    policies: frozenset[str]

    def has_all_of(self, spec: KeySpec) -> bool:
        """Whether everything that bounds and guards this key is there."""
        team = self.teams.get(spec.team)
        return (
            (spec.team == DEFAULT if team is None else team.org in self.orgs)
            and (spec.project is None or spec.project in self.projects)
            and (spec.policy is None or spec.policy in self.policies)
        )


def _stored_keys(items: Items, known: Known, issuers: Mapping[str, Oidc]) -> dict[str, KeySpec]:
    """A key whose org, team, project or policy went with the file that declared it may do nothing.

    It would meet nobody's limits, or no guard. Nor may one that is called like an issuer's tokens.
    """
    specs = {name: cast("KeySpec", item.spec) for name, item in items.get(Kind.KEY, {}).items()}
    lost = {name: spec for name, spec in specs.items() if not known.has_all_of(spec) or is_issuers(name, issuers)}
    return specs | {name: msgspec.structs.replace(spec, disabled=True) for name, spec in lost.items()}


def _model_bounds(config: GatewayConfig, items: Items) -> dict[str, Tag]:
    """Those of the file and those made at run time hold together: of two for one counter the tighter one."""
    found = {name: Tag(limits=model.limits, budgets=model.budgets) for name, model in config.models.items()}
    for name, item in items.get(Kind.MODEL, {}).items():
        known, more = found.get(name, Tag()), cast("Tag", item.spec)
        found[name] = Tag(limits=known.limits + more.limits, budgets=known.budgets + more.budgets)
    return found
