"""All limits and budgets of one configuration, and which of them a caller meets."""

from collections.abc import Mapping

import msgspec

from trunkline_gateway.admission.levels import ALL_ORGS, Bounds, Level, Rule, Shelf
from trunkline_gateway.auth import Principal
from trunkline_gateway.config import GatewayConfig
from trunkline_kit.settings import WhenStoreIsDown
from trunkline_kit.tenants import Budget, Limit


class Rulebook:
    """Built whole from a configuration, swapped whole. Its constructor reads time zones from files."""

    def __init__(self, config: GatewayConfig) -> None:
        keys = {key.id: key for key in config.keys}
        self._orgs = Shelf(_bounds(config.orgs), Level.ORG)
        self._teams = Shelf(_bounds(config.teams), Level.TEAM)
        self._projects = Shelf(_bounds(config.projects), Level.PROJECT)
        self._keys = Shelf(_bounds(keys), Level.KEY)
        self._models = Shelf(_bounds(config.models), Level.MODEL)
        self._users = (
            Shelf({name: _of(team.end_user) for name, team in config.teams.items()}, Level.TEAM),
            Shelf({name: _of(project.end_user) for name, project in config.projects.items()}, Level.PROJECT),
            Shelf({name: _of(key.end_user) for name, key in keys.items()}, Level.KEY),
        )
        self._when_down = {key.id: key.when_store_is_down for key in config.keys}

        self._shelves = (self._orgs, self._teams, self._projects, self._keys, self._models, *self._users)

    @property
    def has_limits(self) -> bool:
        """Whether anybody has any."""
        return any(shelf.bounds for shelf in self._shelves)

    @property
    def has_budgets(self) -> bool:
        """Whether prices matter."""
        return any(each.budgets for shelf in self._shelves for each in shelf.bounds.values())

    def of_caller(self, principal: Principal, end_user: str) -> tuple[Rule, ...]:
        """From the org down to the end user."""
        org = principal.org
        teams, projects, keys = self._users
        return (
            *self._orgs.rules(org, org),
            *self._teams.rules(org, principal.team),
            *self._projects.rules(org, principal.project),
            *self._keys.rules(org, principal.key_id),
            *teams.rules_per_user(org, principal.team, end_user),
            *projects.rules_per_user(org, principal.project, end_user),
            *keys.rules_per_user(org, principal.key_id, end_user),
        )

    def of_model(self, model: str) -> tuple[Rule, ...]:
        """Over all orgs."""
        return self._models.rules(ALL_ORGS, model)

    def when_down(self, principal: Principal) -> WhenStoreIsDown:
        """What this caller's limits do while the store is down."""
        return self._when_down.get(principal.key_id, WhenStoreIsDown.LOCAL_SHARE)


class _Bounded(msgspec.Struct):
    limits: tuple[Limit, ...]
    budgets: tuple[Budget, ...]


def _bounds(entries: Mapping[str, object]) -> dict[str, Bounds]:
    return {name: _of(entry) for name, entry in entries.items()}


def _of(entry: object) -> Bounds:
    """Orgs, teams, projects, keys, models and end users have the same two fields."""
    bounded = msgspec.convert(entry, _Bounded, from_attributes=True)
    return Bounds(bounded.limits, bounded.budgets)
