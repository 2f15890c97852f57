"""What the admin API takes and answers, in JSON."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from trunkline_gateway.directory.objects import (
    ID_PATTERN,
    ITEMS_PER_PAGE_MAX,
    SPECS,
    Item,
    Kind,
    SecretMark,
)
from trunkline_kit.tenants import Period

T = TypeVar("T")

Limited = Annotated[int, Meta(ge=1, le=ITEMS_PER_PAGE_MAX)]
NewId = Annotated[str, Meta(pattern=ID_PATTERN)]


class Listing(Struct, Generic[T], frozen=True, kw_only=True):
    """One page of a list."""

    data: tuple[T, ...]
    next: str | None = None
    """Give it as `after` for the next page; null at the end."""
    object: Literal["list"] = "list"


_SHOWN: list[tuple[str, Any, Any]] = [
    ("id", str, msgspec.NODEFAULT),
    ("object", str, msgspec.NODEFAULT),
    ("version", int, msgspec.NODEFAULT),
    ("declared", bool, msgspec.NODEFAULT),
    ("created_at", datetime | None, None),
    ("updated_at", datetime | None, None),
]
"""Besides the spec, of every managed object. `declared`: the configuration file has it, so it is read-only here.

`version` is 0 for what was not written through the admin API."""


def _made(kind: Kind, suffix: str, fields: "Sequence[tuple[str, Any, Any]]", *, strict: bool) -> type[Struct]:
    name = f"{kind.value.capitalize()}{suffix}"
    return msgspec.defstruct(
        name, list(fields), bases=(SPECS[kind],), frozen=True, kw_only=True, forbid_unknown_fields=strict
    )


def _views() -> dict[Kind, type[Struct]]:
    marks = ("secrets", tuple[SecretMark, ...], ())
    found = {kind: _made(kind, "", _SHOWN, strict=False) for kind in Kind}
    return {**found, Kind.KEY: _made(Kind.KEY, "", [*_SHOWN, marks], strict=False)}


def _news() -> dict[Kind, type[Struct]]:
    required, generated = ("id", NewId, msgspec.NODEFAULT), ("id", NewId | None, None)
    return {kind: _made(kind, "New", [generated if kind in GENERATED_IDS else required], strict=True) for kind in Kind}


GENERATED_IDS = frozenset({Kind.KEY, Kind.PRICE})
"""What gets an id when it is made without one."""
VIEWS: dict[Kind, type[Struct]] = _views()
"""How objects are shown: their spec, and what is known besides."""
NEWS: dict[Kind, type[Struct]] = _news()
"""What is sent to make one: its spec and its id."""
KEY_MADE: type[Struct] = msgspec.defstruct(
    "KeyMade", [("secret", str)], bases=(VIEWS[Kind.KEY],), frozen=True, kw_only=True
)
"""A key whose secret was just made: shown this once."""


def view_of(item: Item, secret: str | None = None) -> Struct:
    """An object as callers see it. `secret` of a key only where it was just made."""
    fields = {name: getattr(item.spec, name) for name in item.spec.__struct_fields__}
    fields |= {"id": item.id, "object": item.kind.value, "version": item.version, "declared": item.declared}
    fields |= {"created_at": item.created_at, "updated_at": item.updated_at}
    if item.kind is Kind.KEY:
        fields["secrets"] = item.secrets
    if secret is not None:
        return KEY_MADE(**fields, secret=secret)
    return VIEWS[item.kind](**fields)


class Rotation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to rotate a key."""

    overlap_s: Annotated[float, Meta(ge=0, le=366 * 86400)] | None = None
    """How long the old secret goes on working; left out: identity.rotation_overlap_s."""


class BudgetTerms(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A budget; its period is in the URL."""

    amount_usd: Annotated[float, Meta(ge=0, le=9_000_000)]
    time_zone: str = "UTC"


class LimitRow(Struct, frozen=True, kw_only=True):
    """One limit of somebody."""

    level: str
    """A kind of object: org, team, project, key, tag or model."""
    owner: str
    """The object's id."""
    measure: Literal["requests", "tokens", "concurrent"]
    """As in the URL of this limit; which of the next three is not null."""
    requests: int | None
    tokens: int | None
    concurrent: int | None
    per_s: float | None
    """The window; null for concurrent requests."""
    each_end_user: bool
    """Whether it holds for every end user of the owner by itself."""
    declared: bool
    """Whether the configuration file has it."""
    object: Literal["limit"] = "limit"


class BudgetRow(Struct, frozen=True, kw_only=True):
    """One budget of somebody, and where it stands."""

    level: str
    owner: str
    org: str
    """Whose spending is shown: budgets of tags count apart in each org. `*` for models, which span orgs."""
    amount_usd: float
    period: Period
    time_zone: str
    each_end_user: bool
    """Then every end user has one, and nothing is shown of what is spent."""
    declared: bool
    state: Literal["known", "unknown"]
    """`unknown` while the store of limits does not answer, and for budgets of end users."""
    used_usd: float | None = None
    """Spent, and reserved by requests that are under way."""
    remaining_usd: float | None = None
    period_ends_at: datetime | None = None
    """Null for `total`, which does not end."""
    object: Literal["budget"] = "budget"


class Whoami(Struct, frozen=True, kw_only=True):
    """Who asks."""

    id: str
    team: str
    org: str
    project: str | None
    scopes: tuple[str, ...]
    models: tuple[str, ...]
    expires_at: datetime | None
    """Null for one that does not expire."""
    object: Literal["principal"] = "principal"
