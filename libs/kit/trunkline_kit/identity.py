"""How callers show who they are, and what they may do: the part of `trunkline.yaml` about identity."""

from enum import Enum
from typing import Annotated

from msgspec import Meta, Struct

from trunkline_kit.secrets import Reference
from trunkline_kit.tenants import Budget, Count, Limit, PerEndUser, Priority, Scope, Seconds, WhenStoreIsDown

ClaimValue = str


class OnRevoke(Enum):
    """What becomes of requests that are under way when their key stops."""

    CUT = "cut"
    """They end within a second, with an error."""
    FINISH = "finish"
    """They go on to their end; only new ones are refused."""


class Algorithm(Enum):
    """Signatures of tokens. Nothing symmetric and no `none`: the gateway only ever holds public keys."""

    RS256 = "RS256"
    RS384 = "RS384"
    RS512 = "RS512"
    PS256 = "PS256"
    ES256 = "ES256"
    ES384 = "ES384"
    ES512 = "ES512"
    EDDSA = "EdDSA"


class Oidc(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose tokens are taken as well as keys, and who their bearers are here.

    The name under `oidc:` is the key id of all its tokens; a token's subject is the end user.
    """

    issuer: Annotated[str, Meta(pattern=r"^https?://.+")]
    """As in the claim `iss`, to the letter."""
    audience: Annotated[tuple[str, ...], Meta(min_length=1)]
    """One of these must be in the claim `aud`."""
    jwks_url: Annotated[str, Meta(pattern=r"^https?://.+")] | None = None
    """Left out: found by the issuer's `/.well-known/openid-configuration`."""
    jwks_ttl_s: Seconds = 3600.0
    """Public keys are fetched anew after so long, and when a token names one that is not known."""
    algorithms: Annotated[tuple[Algorithm, ...], Meta(min_length=1)] = (Algorithm.RS256, Algorithm.ES256)
    leeway_s: Annotated[float, Meta(ge=0, le=300)] = 30.0
    """By how much clocks may differ."""
    subject_claim: str = "sub"
    team_claim: str = "team"
    """Dots lead into objects; of a list, the first value with a team counts."""
    teams: dict[ClaimValue, str] = {}
    """Value of the team claim → team here. Left out: values are names of teams that exist here."""
    team: str | None = None
    """Of a token whose claim leads to none; left out, such a token is refused."""
    project: str | None = None
    roles_claim: str = "roles"
    roles: dict[ClaimValue, tuple[Scope, ...]] = {}
    """Value of the roles claim → scopes, on top of `scopes`."""
    scopes: tuple[Scope, ...] = (Scope.INFERENCE,)
    models: tuple[str, ...] = ("*",)
    policy: str | None = None
    limits: tuple[Limit, ...] = ()
    """Of all its tokens together; for each subject, see end_user."""
    budgets: tuple[Budget, ...] = ()
    end_user: PerEndUser = PerEndUser()
    priority: Priority = Priority.NORMAL
    queue_wait_s: Seconds | None = None
    tags: tuple[str, ...] = ()
    when_store_is_down: WhenStoreIsDown = WhenStoreIsDown.LOCAL_SHARE


class Identity(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Keys made at run time, and tokens of others."""

    pepper: Reference | None = None
    """The secret under which keys made at run time are hashed. Without it none can be made."""
    previous_peppers: tuple[Reference, ...] = ()
    """Keys hashed under these are still known; rotate such keys, then take the pepper out."""
    on_revoke: OnRevoke = OnRevoke.CUT
    stale_s: Seconds = 3600.0
    """How long keys made at run time are honoured while the database does not answer."""
    poll_s: Annotated[float, Meta(gt=0, le=1)] = 0.5
    """How often the database is asked for changes that its notifications did not bring."""
    rotation_overlap_s: Annotated[float, Meta(ge=0)] = 24 * 3600.0
    """How long the old secret of a rotated key goes on working, unless the rotation says otherwise."""
    audit_retention_days: Count | None = None
    """Older entries of the audit log are dropped; left out, none ever."""
    oidc: dict[str, Oidc] = {}
