"""Budgets with what is left of them, read from the store of limits."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Protocol
from zoneinfo import ZoneInfo

import msgspec

from trunkline_gateway.admin.bounds import Bound
from trunkline_gateway.admin.shapes import BudgetRow
from trunkline_gateway.admission.levels import ALL_ORGS, Bounds, Level, Owner, Rule, rules_of
from trunkline_gateway.directory.objects import Item, Kind
from trunkline_gateway.directory.registry import Registry
from trunkline_kit.clock import Clock
from trunkline_kit.errors import ObjectNotFound, StoreUnavailable
from trunkline_kit.tenants import Budget, KeySpec, Project, Team
from trunkline_policy import budgets
from trunkline_policy.money import NUSD_PER_USD, nusd_of

_LEVELS = {
    Kind.ORG: Level.ORG,
    Kind.TEAM: Level.TEAM,
    Kind.PROJECT: Level.PROJECT,
    Kind.KEY: Level.KEY,
    Kind.TAG: Level.TAG,
    Kind.MODEL: Level.MODEL,
}


class Spending(Protocol):
    """What reads counters without changing them: the store that all gateways share, or this process's own."""

    async def spent(self, rules: Sequence[Rule]) -> list[tuple[int, int]]:
        """Of each rule: what is used, in the rule's unit, and in how many ms that is over. Raises StoreUnavailable."""


class Till:
    """Fills in what was spent."""

    def __init__(self, registry: Registry, spending: Spending, clock: Clock) -> None:
        self._registry = registry
        self._spending = spending
        self._clock = clock

    async def rows(self, found: "Sequence[Bound[Budget]]", org: str) -> list[BudgetRow]:
        """One for each. `org` is whose spending is shown of tags. A store that is away makes them `unknown`."""
        orgs = [await self._org(bound.item, org) for bound in found]
        zones = await asyncio.to_thread(_zones, [bound.terms.time_zone for bound in found])
        rules = [_rule(bound, owner_org, zones) for bound, owner_org in zip(found, orgs, strict=True)]
        used = await self._used([rule for rule in rules if rule is not None])
        now_ms = round(self._clock.now_s() * 1000)
        return [
            _row(bound, owner_org, rule, used, now_ms)
            for bound, owner_org, rule in zip(found, orgs, rules, strict=True)
        ]

    async def _used(self, rules: Sequence[Rule]) -> Mapping[str, int]:
        """By the rule's key; empty where nobody knows."""
        if not rules:
            return {}
        try:
            spent = await self._spending.spent(rules)
        except StoreUnavailable:
            # Said in every row; the list itself is no less true.
            return {}
        return {rule.key: used for rule, (used, _) in zip(rules, spent, strict=True)}

    async def _org(self, item: Item, asked: str) -> str:
        if item.kind is Kind.MODEL:
            return ALL_ORGS
        if item.kind is Kind.ORG:
            return item.id
        if item.kind is Kind.TAG:
            return asked
        if isinstance(item.spec, Team):
            return item.spec.org
        return await self._org_of_team(item.spec.team if isinstance(item.spec, Project | KeySpec) else "default")

    async def _org_of_team(self, team: str) -> str:
        try:
            spec = (await self._registry.get(Kind.TEAM, team)).spec
        except ObjectNotFound:
            return "default"
        return spec.org if isinstance(spec, Team) else "default"


def _zones(names: Sequence[str]) -> dict[str, tzinfo]:
    """Reads files."""
    return {name: ZoneInfo(name) for name in names}


def _rule(bound: "Bound[Budget]", org: str, zones: Mapping[str, tzinfo]) -> Rule | None:
    """The counter that the gateway keeps for it; None where every end user has one."""
    if bound.each_end_user:
        return None
    owner = Owner(_LEVELS[bound.item.kind], org, bound.item.id)
    return next(iter(rules_of(owner, Bounds(budgets=(bound.terms,)), zones)))


def _row(bound: "Bound[Budget]", org: str, rule: Rule | None, used: Mapping[str, int], now_ms: int) -> BudgetRow:
    terms = bound.terms
    row = BudgetRow(
        level=bound.item.kind.value,
        owner=bound.item.id,
        org=org,
        amount_usd=terms.amount_usd,
        period=terms.period,
        time_zone=terms.time_zone,
        each_end_user=bound.each_end_user,
        declared=bound.item.declared,
        state="unknown",
    )
    if rule is None:
        return row
    row = msgspec.structs.replace(row, period_ends_at=_end(rule, now_ms))
    if rule.key not in used:
        return row
    used_nusd = used[rule.key]
    return msgspec.structs.replace(
        row,
        state="known",
        used_usd=used_nusd / NUSD_PER_USD,
        remaining_usd=max(0, nusd_of(terms.amount_usd) - used_nusd) / NUSD_PER_USD,
    )


def _end(rule: Rule, now_ms: int) -> datetime | None:
    boundaries = rule.calendar.boundaries_ms(now_ms) if rule.calendar is not None else (0,)
    _, end_ms = budgets.current(boundaries, now_ms)
    return None if end_ms is None else datetime.fromtimestamp(end_ms / 1000, UTC)
