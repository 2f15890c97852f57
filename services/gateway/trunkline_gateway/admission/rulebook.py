"""All limits and budgets of everybody, and which of them a caller meets."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from trunkline_gateway.admission.levels import ALL_ORGS, Bounds, Level, Rule, Shelf
from trunkline_gateway.auth import Principal
from trunkline_gateway.tenancy import Tenants
from trunkline_kit.identity import Oidc
from trunkline_kit.tenants import Budget, KeySpec, Limit, PerEndUser, WhenStoreIsDown


class Rulebook:
    """Built whole, swapped whole. Its constructor reads time zones from files.

    An issuer of tokens counts as a key with its name, and in place of one that has it too.
    """

    def __init__(self, tenants: Tenants) -> None:
        self._orgs = Shelf(_bounds(tenants.orgs), Level.ORG)
        self._teams = Shelf(_bounds(tenants.teams), Level.TEAM)
        self._projects = Shelf(_bounds(tenants.projects), Level.PROJECT)
        keys: dict[str, KeySpec | Oidc] = {**tenants.keys, **tenants.oidc}
        self._keys = Shelf(_bounds(keys), Level.KEY)
        self._tags = Shelf(_bounds(tenants.tags), Level.TAG)
        self._models = Shelf(_bounds(tenants.models), Level.MODEL)
        self._users = (
            Shelf(_bounds_per_user(tenants.teams), Level.TEAM),
            Shelf(_bounds_per_user(tenants.projects), Level.PROJECT),
            Shelf(_bounds_per_user(keys), Level.KEY),
        )
        self._when_down = {name: spec.when_store_is_down for name, spec in keys.items()}

    @property
    def has_limits(self) -> bool:
        """Whether anybody has any."""
        return any(shelf.bounds for shelf in self._shelves())

    @property
    def has_budgets(self) -> bool:
        """Whether prices matter."""
        return any(each.budgets for shelf in self._shelves() for each in shelf.bounds.values())

    def of_caller(self, principal: Principal, end_user: str, tags: tuple[str, ...] = ()) -> tuple[Rule, ...]:
        """From the org down to the end user, then the request's tags."""
        org = principal.org
        teams, projects, keys = self._users
        rules = (
            *self._orgs.rules(org, org),
            *self._teams.rules(org, principal.team),
            *self._projects.rules(org, principal.project),
            *self._keys.rules(org, principal.key_id),
            *teams.rules_per_user(org, principal.team, end_user),
            *projects.rules_per_user(org, principal.project, end_user),
            *keys.rules_per_user(org, principal.key_id, end_user),
        )
        if not tags:
            return rules
        return (*rules, *(rule for tag in tags for rule in self._tags.rules(org, tag)))

    def of_model(self, model: str) -> tuple[Rule, ...]:
        """Over all orgs."""
        return self._models.rules(ALL_ORGS, model)

    def of_owner(self, level: Level, org: str, name: str) -> tuple[Rule, ...]:
        """Of one org, team, project, key, tag (as `org` counts it) or model, for lists of what is used."""
        if level is Level.MODEL:
            return self.of_model(name)
        shelves = {
            Level.ORG: self._orgs,
            Level.TEAM: self._teams,
            Level.PROJECT: self._projects,
            Level.KEY: self._keys,
            Level.TAG: self._tags,
        }
        found = shelves.get(level)
        return () if found is None else found.rules(org, name)

    def when_down(self, principal: Principal) -> WhenStoreIsDown:
        """What this caller's limits do while the store is down."""
        return self._when_down.get(principal.key_id, WhenStoreIsDown.LOCAL_SHARE)

    def _shelves(self) -> Iterator[Shelf]:
        yield from (self._orgs, self._teams, self._projects, self._keys, self._tags, self._models, *self._users)


class _Bounded(Protocol):
    """Orgs, teams, projects, keys, issuers, tags, models and end users have the same two fields."""

    @property
    def limits(self) -> tuple[Limit, ...]: ...
    @property
    def budgets(self) -> tuple[Budget, ...]: ...


class _Peopled(Protocol):
    @property
    def end_user(self) -> PerEndUser: ...


def _bounds(entries: Mapping[str, _Bounded]) -> dict[str, Bounds]:
    """Of those who have any: of many thousand keys few do."""
    return {name: Bounds(one.limits, one.budgets) for name, one in entries.items() if one.limits or one.budgets}


def _bounds_per_user(entries: Mapping[str, _Peopled]) -> dict[str, Bounds]:
    return {
        name: Bounds(one.end_user.limits, one.end_user.budgets)
        for name, one in entries.items()
        if one.end_user.limits or one.end_user.budgets
    }
