"""Query parameters of the admin API."""

from datetime import datetime
from enum import Enum
from typing import Annotated

from msgspec import Meta, Struct

from trunkline_gateway.admin.shapes import Limited
from trunkline_gateway.directory.objects import ITEMS_PER_PAGE_MAX, Action, Kind, Query
from trunkline_kit.tenants import Priority

Cursor = Annotated[str, Meta(max_length=512)]


class Page(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which part of a list."""

    limit: Limited = 100
    after: Cursor = ""
    """`next` of the page before."""
    prefix: Annotated[str, Meta(max_length=128)] = ""
    """Of the id."""


class TeamsPage(Page, frozen=True, kw_only=True, forbid_unknown_fields=True):
    org: str = ""


class ProjectsPage(Page, frozen=True, kw_only=True, forbid_unknown_fields=True):
    team: str = ""
    org: str = ""


class KeysPage(Page, frozen=True, kw_only=True, forbid_unknown_fields=True):
    team: str = ""
    project: str = ""
    org: str = ""
    disabled: bool | None = None
    policy: str = ""
    priority: Priority | None = None


class PricesPage(Page, frozen=True, kw_only=True, forbid_unknown_fields=True):
    provider: str = ""
    model: str = ""
    team: str = ""


def objects_of(kind: Kind, page: Page) -> Query:
    """The directory's question. Filters are the fields that the page has besides its own."""
    own = set(Page.__struct_fields__)
    given = {name: getattr(page, name) for name in page.__struct_fields__ if name not in own}
    equal = {name: _text(value) for name, value in given.items() if value not in ("", None)}
    return Query(kind=kind, limit=page.limit, after=page.after, prefix=page.prefix, equal=equal)


def _text(value: object) -> str:
    if isinstance(value, Priority):
        return value.value
    return str(value).lower() if isinstance(value, bool) else str(value)


class Level(Enum):
    """Who has limits and budgets."""

    ORG = "org"
    TEAM = "team"
    PROJECT = "project"
    KEY = "key"
    TAG = "tag"
    MODEL = "model"


class BoundsPage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which limits or budgets."""

    limit: Limited = 100
    after: Cursor = ""
    level: Level | None = None
    owner: Annotated[str, Meta(max_length=256)] = ""
    """An id; needs `level`."""
    org: str = "default"
    """For budgets of tags, which count apart in each org."""


class Window(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which limit of one measure."""

    per_s: Annotated[float, Meta(gt=0)] | None = None
    """Left out: all of them."""


class AuditPage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which changes, the newest first."""

    limit: Annotated[int, Meta(ge=1, le=ITEMS_PER_PAGE_MAX)] = 100
    after: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None
    """`next` of the page before."""
    actor: str = ""
    action: Action | None = None
    kind: Kind | None = None
    object_id: str = ""
    since: Annotated[datetime, Meta(tz=True)] | None = None
    """With its offset: 2027-01-31T00:00:00Z."""
    until: Annotated[datetime, Meta(tz=True)] | None = None


class Format(Enum):
    """Of usage."""

    JSON = "json"
    CSV = "csv"
    FOCUS = "focus"


class UsagePage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to add up. Filters may be given several times: any of them."""

    by: str = "team,model"
    """Dimensions, with commas."""
    bucket: str = ""
    since: str = "7d"
    until: str = ""
    time_zone: str = "UTC"
    format: Format = Format.JSON
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 1000
    after: str = ""
    org: tuple[str, ...] = ()
    team: tuple[str, ...] = ()
    project: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    end_user: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    provider: tuple[str, ...] = ()
    provider_model: tuple[str, ...] = ()
    route: tuple[str, ...] = ()
    surface: tuple[str, ...] = ()
    outcome: tuple[str, ...] = ()
    price: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    cache: tuple[str, ...] = ()
    guardrails: tuple[str, ...] = ()
    tag: tuple[str, ...] = ()
