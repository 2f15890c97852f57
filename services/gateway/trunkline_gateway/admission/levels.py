"""Which limits and budgets a request meets: those of its org, team, project, key, end user, tags and model."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import tzinfo
from enum import Enum
from urllib.parse import quote
from zoneinfo import ZoneInfo

import msgspec

from trunkline_gateway.admission.wire import USER_PART, Kind, Shape
from trunkline_kit.tenants import Budget, Limit
from trunkline_policy import budgets, windows
from trunkline_policy.money import nusd_of, usd_plain

ALL_ORGS = "*"
"""In place of the org, for what spans them. No org has this name in a key: names are quoted."""


class Level(Enum):
    """Whose limit it is, as callers are told."""

    ORG = "org"
    TEAM = "team"
    PROJECT = "project"
    KEY = "key"
    END_USER = "end user"
    TAG = "tag"
    MODEL = "model"


class Measure(Enum):
    """What is limited."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    CONCURRENT = "concurrent"
    BUDGET = "budget"


KINDS = {
    Measure.REQUESTS: Kind.WINDOW,
    Measure.TOKENS: Kind.WINDOW,
    Measure.CONCURRENT: Kind.CONCURRENT,
    Measure.BUDGET: Kind.BUDGET,
}


class Calendar:
    """The periods of a budget. Works them out once in a period."""

    def __init__(self, period: budgets.PeriodName, zone: tzinfo) -> None:
        self._period = period
        self._zone = zone
        self._boundaries: tuple[int, ...] = ()

    def boundaries_ms(self, now_ms: int) -> tuple[int, ...]:
        """As in `budgets.boundaries_ms`."""
        known = self._boundaries
        # `total` has one boundary and no end.
        if not known or (len(known) > 1 and not known[1] <= now_ms < known[2]):
            self._boundaries = known = budgets.boundaries_ms(self._period, now_ms, self._zone)
        return known


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One limit or budget of one somebody."""

    level: Level
    name: str
    measure: Measure
    limit: int
    """Requests, tokens, requests at once, or nano-dollars."""
    key: str
    """Its counter in the store."""
    text: str
    """For callers, e.g. `600 requests per 60 s`."""
    width_ms: int = 0
    calendar: Calendar | None = None

    @property
    def kind(self) -> Kind:
        return KINDS[self.measure]

    def shape(self, now_ms: int) -> Shape:
        """What the store needs to know of its time."""
        return self.width_ms if self.calendar is None else self.calendar.boundaries_ms(now_ms)


class Owner(msgspec.Struct, frozen=True):
    """Who has limits."""

    level: Level
    org: str
    name: str
    path: str = ""
    """Of its counters; left out, made of level and name."""

    @property
    def prefix(self) -> str:
        """Of its counters. All of one org are in one slot of a cluster."""
        org = self.org if self.org == ALL_ORGS else quote(self.org, safe="")
        path = self.path or f"{self.level.value}:{quote(self.name, safe='')}"
        return f"tl:{{{org}}}:{path}"


def rules_of(owner: Owner, bounds: "Bounds", zones: Mapping[str, tzinfo]) -> Iterator[Rule]:
    """The rules that these settings stand for."""
    for limit in bounds.limits:
        if limit.concurrent is not None:
            yield _rule(owner, Measure.CONCURRENT, limit.concurrent, "", f"{limit.concurrent} requests at once")
            continue
        measure = Measure.REQUESTS if limit.requests is not None else Measure.TOKENS
        count, per_s = limit.requests or limit.tokens or 0, limit.per_s or 1.0
        rule = _rule(owner, measure, count, f":{per_s:g}", f"{count} {measure.value} per {per_s:g} s")
        yield msgspec.structs.replace(rule, width_ms=windows.width_ms(per_s))
    for budget in bounds.budgets:
        calendar = Calendar(budget.period.value, zones[budget.time_zone])
        text = f"{usd_plain(budget.amount_usd)} USD" + (
            "" if budget.period.value == "total" else f" per {budget.period.value}"
        )
        suffix = f":{budget.period.value}:{quote(budget.time_zone, safe='')}"
        rule = _rule(owner, Measure.BUDGET, nusd_of(budget.amount_usd), suffix, text)
        yield msgspec.structs.replace(rule, calendar=calendar)


def _rule(owner: Owner, measure: Measure, limit: int, suffix: str, text: str) -> Rule:
    key = f"{owner.prefix}:{measure.value}{suffix}"
    return Rule(level=owner.level, name=owner.name, measure=measure, limit=limit, key=key, text=text)


class Bounds(msgspec.Struct, frozen=True):
    """Limits and budgets as they are in the settings."""

    limits: tuple[Limit, ...] = ()
    budgets: tuple[Budget, ...] = ()


class Shelf:
    """The rules of everybody at one level: made when first asked for, forgotten together when there are too many.

    Its constructor reads time zones from files.
    """

    def __init__(self, bounds: Mapping[str, Bounds], level: Level, entries_max: int = 10_000) -> None:
        self.bounds: Mapping[str, Bounds] = {name: each for name, each in bounds.items() if each.limits or each.budgets}
        # Read now, since it takes files: requests must not wait for a disk.
        self._zones = {one.time_zone: ZoneInfo(one.time_zone) for each in self.bounds.values() for one in each.budgets}
        self._level = level
        self._max = entries_max
        self._made: dict[tuple[str, ...], tuple[Rule, ...]] = {}

    def rules(self, org: str, name: str) -> tuple[Rule, ...]:
        """Of `name`, which counts apart in each org."""
        if name not in self.bounds:
            return ()
        return self._cached((org, name), Owner(self._level, org, name), name)

    def rules_per_user(self, org: str, name: str, end_user: str) -> tuple[Rule, ...]:
        """Of one end user of `name`. Only a hash of the user is kept in the store."""
        if not end_user or name not in self.bounds:
            return ()
        user = hashlib.sha256(end_user.encode(errors="surrogateescape")).hexdigest()[:32]
        path = f"{self._level.value}:{quote(name, safe='')}{USER_PART}{user}"
        shown = end_user if len(end_user) <= 64 else f"{end_user[:61]}..."
        return self._cached((org, name, user), Owner(Level.END_USER, org, shown, path), name)

    def _cached(self, index: tuple[str, ...], owner: Owner, name: str) -> tuple[Rule, ...]:
        known = self._made.get(index)
        if known is None:
            if len(self._made) >= self._max:
                self._made.clear()
            known = self._made[index] = _tightest(rules_of(owner, self.bounds[name], self._zones))
        return known


def _tightest(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """One rule per counter: a request must not count twice in one."""
    found: dict[str, Rule] = {}
    for rule in rules:
        known = found.get(rule.key)
        if known is None or rule.limit < known.limit:
            found[rule.key] = rule
    return tuple(found.values())
