"""Who uses the gateway and how much they may: the tenants' part of `trunkline.yaml`.

An org has teams, a team has projects and keys. A request must fit every limit and budget on its way: of its org, team,
project, key and end user, and of the model.
"""

from datetime import datetime
from enum import Enum
from typing import Annotated

from msgspec import Meta, Struct

Seconds = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
Bound = Annotated[int, Meta(ge=1, le=2**53)]
"""Of what limits count: the store counts exactly so far."""
Window = Annotated[float, Meta(gt=0, le=31_622_400)]
"""Up to a leap year."""
Network = Annotated[str, Meta(pattern=r"^[0-9A-Fa-f.:]+(/[0-9]{1,3})?$")]
"""An address or a network, such as `10.0.0.0/8` or `2001:db8::/32`."""
TagName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:/-]{1,64}$")]
Moment = Annotated[datetime, Meta(tz=True)]
"""With its offset, such as `2027-01-31T00:00:00Z`."""


class Limit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of requests, tokens (both with per_s) or concurrent."""

    requests: Bound | None = None
    tokens: Bound | None = None
    concurrent: Bound | None = None
    per_s: Window | None = None


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


class Scope(Enum):
    """What a key may do."""

    INFERENCE = "inference"
    """Ask models."""
    ADMIN_READ = "admin:read"
    """See keys, teams, usage and the audit log."""
    ADMIN_WRITE = "admin:write"
    """Change them; includes admin:read."""
    METRICS = "metrics"
    """Read `/metrics`."""


class WhenStoreIsDown(Enum):
    """What a limit does when Valkey does not answer."""

    OPEN = "open"
    CLOSED = "closed"
    LOCAL_SHARE = "local_share"


class Priority(Enum):
    """Who goes first where requests wait in the queue."""

    INTERACTIVE = "interactive"
    NORMAL = "normal"
    BATCH = "batch"


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
    weight: Annotated[float, Meta(gt=0, le=1000)] = 1.0
    """Its share where requests wait in the queue."""


class Project(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something a team works on."""

    team: str = "default"
    limits: tuple[Limit, ...] = ()
    budgets: tuple[Budget, ...] = ()
    end_user: PerEndUser = PerEndUser()


class Tag(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mark on requests, by its key or by the header `x-trunkline-tags`. Counts apart in each org."""

    limits: tuple[Limit, ...] = ()
    budgets: tuple[Budget, ...] = ()


class KeySpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of a virtual key but its id and its secret: the same in the file and through the admin API."""

    team: str = "default"
    project: str | None = None
    """One of the key's team."""
    models: tuple[str, ...] = ("*",)
    """Globs over model names."""
    scopes: tuple[Scope, ...] = (Scope.INFERENCE,)
    disabled: bool = False
    expires_at: Moment | None = None
    networks: tuple[Network, ...] = ()
    """Where requests may come from; empty for anywhere. See server.trusted_proxies."""
    tags: tuple[TagName, ...] = ()
    """On each of its requests."""
    limits: tuple[Limit, ...] = ()
    budgets: tuple[Budget, ...] = ()
    end_user: PerEndUser = PerEndUser()
    priority: Priority = Priority.NORMAL
    queue_wait_s: Seconds | None = None
    """How long its requests may wait for a limit to have room; left out, they are refused at once."""
    when_store_is_down: WhenStoreIsDown = WhenStoreIsDown.LOCAL_SHARE
    policy: str | None = None
    """Without a policy a key is neither cached nor guarded."""
