"""What the directory holds: managed objects, who changed them, and what is known of keys' secrets."""

from datetime import datetime
from enum import Enum
from typing import Generic, TypeVar

from msgspec import Raw, Struct

from trunkline_kit.accounts import PriceOverride
from trunkline_kit.tenants import KeySpec, Org, Project, Tag, Team

ITEMS_PER_PAGE_MAX = 500
ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:@/+-]{0,127}$"
"""Of everything that is made at run time. Names of models have slashes, subjects of tokens have an @."""
ID_RULE = "1 to 128 letters, digits and . _ : @ / + -, the first a letter or a digit"
"""The same in words."""

T = TypeVar("T")


class Kind(Enum):
    """What can be managed."""

    ORG = "org"
    TEAM = "team"
    PROJECT = "project"
    KEY = "key"
    TAG = "tag"
    MODEL = "model"
    """Limits and budgets of a model of the configuration, over all its callers."""
    PRICE = "price"
    """An override. Which of several holds: see `prices.rulings.in_order`."""


Spec = Org | Team | Project | KeySpec | Tag | PriceOverride

SPECS: dict[Kind, type[Spec]] = {
    Kind.ORG: Org,
    Kind.TEAM: Team,
    Kind.PROJECT: Project,
    Kind.KEY: KeySpec,
    Kind.TAG: Tag,
    Kind.MODEL: Tag,
    Kind.PRICE: PriceOverride,
}


class SecretMark(Struct, frozen=True, kw_only=True):
    """What may be shown of a secret."""

    last_four: str
    created_at: datetime
    expires_at: datetime | None = None
    """Of an old secret of a rotated key: from then on it is unknown."""


class NewSecret(Struct, frozen=True, kw_only=True):
    """What is kept of a secret when it is made."""

    digest: bytes
    """HMAC under the pepper; 32 bytes."""
    pepper_id: str
    """Tells peppers apart without saying anything of them."""
    last_four: str


class Item(Struct, frozen=True, kw_only=True):
    """One managed object."""

    kind: Kind
    id: str
    spec: Spec
    version: int
    """The revision of the directory that wrote it; 0 for what was not written there."""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    secrets: tuple[SecretMark, ...] = ()
    """Of a key, the newest first."""
    implied: bool = False
    """Whether it is there without anybody having made it: its first change makes it."""

    @property
    def declared(self) -> bool:
        """Whether the file declares it: then it is read-only here."""
        return self.version == 0 and not self.implied


class Draft(Struct, frozen=True, kw_only=True):
    """What an object is to be."""

    kind: Kind
    id: str
    spec: Spec


class KnownSecret(Struct, frozen=True, kw_only=True):
    """A secret as every gateway knows it."""

    key_id: str
    digest: bytes
    expires_at: datetime | None = None


class Changes(Struct, frozen=True, kw_only=True):
    """What happened after a revision."""

    revision: int
    mark: str = ""
    """Of the database at this revision: one that was restored from a copy has others from there on."""
    whole: bool = False
    """These are all there are: whatever is not among them is gone."""
    items: tuple[Item, ...] = ()
    """New and changed, as they are now."""
    gone: tuple[tuple[Kind, str], ...] = ()
    secrets: tuple[KnownSecret, ...] = ()
    """All of those keys that are among `items`, and of no others."""


class Action(Enum):
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    ROTATE = "rotate"


class Actor(Struct, frozen=True, kw_only=True):
    """Who does it, for the audit log."""

    id: str
    """The key's id; of a token, `<name under oidc>/<subject>`."""
    request_id: str
    source: str = ""
    """The address that the request came from."""


class AuditEntry(Struct, frozen=True, kw_only=True):
    """One change. Never altered."""

    id: int
    """The revision that the change made."""
    at: datetime
    actor: str
    source: str
    request_id: str
    action: Action
    kind: Kind
    object_id: str
    before: Raw | None
    """The spec as JSON; None for what was not there. A key has `secrets` besides, as marks."""
    after: Raw | None


class Page(Struct, Generic[T], frozen=True, kw_only=True):
    """A part of a list."""

    items: tuple[T, ...]
    next: str = ""
    """Where the next page begins; empty at the end."""


class Query(Struct, frozen=True, kw_only=True):
    """Which objects, in order of id."""

    kind: Kind
    limit: int = 100
    after: str = ""
    """The last id of the page before."""
    prefix: str = ""
    """Of the id."""
    equal: dict[str, str] = {}
    """Fields of the spec that must have this value, such as team, org, project, provider, disabled (`true` or `false`).

    See `selection.FILTERS`. The registry also finds projects and keys by the org of their team.
    """
    any_of: dict[str, tuple[str, ...]] = {}
    """Fields of the spec that must have one of these values."""


class AuditQuery(Struct, frozen=True, kw_only=True):
    """Which changes, the newest first. What is empty does not filter."""

    limit: int = 100
    before: int | None = None
    """Entries with lower ids only: the last id of the page before."""
    actor: str = ""
    action: Action | None = None
    kind: Kind | None = None
    object_id: str = ""
    since: datetime | None = None
    until: datetime | None = None
