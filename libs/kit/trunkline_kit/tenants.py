"""Who uses the gateway and how much they may: the tenants' part of `trunkline.yaml`.

An org has teams, a team has projects and keys. A request must fit every limit and budget on its way: of its org, team,
project, key and end user, and of the model.
"""

from enum import Enum
from typing import Annotated

from msgspec import Meta, Struct

Seconds = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]


class Limit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of requests, tokens (both with per_s) or concurrent."""

    requests: Count | None = None
    tokens: Count | None = None
    concurrent: Count | None = None
    per_s: Seconds | None = None


class Period(Enum):
    """When a budget starts anew."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    TOTAL = "total"


class Budget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Money that may be spent in a period."""

    amount_usd: Annotated[float, Meta(ge=0, le=9_000_000)]
    period: Period
    time_zone: str = "UTC"
    """A name from the IANA database. Days, weeks (from Monday) and months begin at midnight there."""


class PerEndUser(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For each value of `user` in requests by itself; requests without one have none of these."""

    limits: tuple[Limit, ...] = ()
    budgets: tuple[Budget, ...] = ()


class Org(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A company, or a part of one that shares nothing with the others. Every team belongs to one."""

    limits: tuple[Limit, ...] = ()
    budgets: tuple[Budget, ...] = ()


class Team(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who pays."""

    org: str = "default"
    limits: tuple[Limit, ...] = ()
    budgets: tuple[Budget, ...] = ()
    end_user: PerEndUser = PerEndUser()


class Project(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something a team works on."""

    team: str = "default"
    limits: tuple[Limit, ...] = ()
    budgets: tuple[Budget, ...] = ()
    end_user: PerEndUser = PerEndUser()
