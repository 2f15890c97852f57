"""What a verified token says, and what of it is believed. Pure."""

from collections.abc import Iterator, Mapping

import msgspec

from trunkline_gateway.oidc.refusals import Fault, Refused
from trunkline_kit.identity import Oidc
from trunkline_kit.tenants import Scope

SUBJECT_CHARS_MAX = 255
"""Source: OpenID Connect Core 1.0, §2, `sub`."""
_SPACED = frozenset({"scope", "scp"})
"""Lists with spaces between, by OAuth's own rule (RFC 8693, §4.2). In other claims a space is part of a name."""

Claims = Mapping[str, object]


class Registered(msgspec.Struct, frozen=True):
    """The claims that say whether a token counts (RFC 7519, §4.1)."""

    iss: str
    exp: float
    aud: str | tuple[str, ...] = ()
    nbf: float | None = None
    iat: float | None = None
    cnf: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET

    @property
    def audiences(self) -> tuple[str, ...]:
        return (self.aud,) if isinstance(self.aud, str) else self.aud


class Bearer(msgspec.Struct, frozen=True, kw_only=True):
    """Who sent a good token, in terms of the configuration."""

    provider: str
    """The name under identity.oidc."""
    subject: str
    teams: tuple[str, ...]
    """Teams here that its claim leads to, whether they exist or not. The first that does counts."""
    scopes: frozenset[Scope]
    expires_s: float
    """Seconds since the epoch from which on the token is refused, the leeway included."""


def registered(payload: bytes) -> Registered:
    """Raises Refused for a payload without what every token must have."""
    try:
        return _decode_registered(payload)
    except (ValueError, RecursionError) as error:
        raise Refused(Fault.CLAIMS, "its claims are no JSON object with `iss` and `exp`, each of its type") from error


def check(claims: Registered, settings: Oidc, now_s: float) -> None:
    """Raises Refused for a token of another issuer, for somebody else, or of another time."""
    leeway_s = settings.leeway_s
    if claims.iss != settings.issuer:
        raise Refused(Fault.ISSUER, "its issuer is not known here")
    if not any(audience in settings.audience for audience in claims.audiences):
        raise Refused(Fault.AUDIENCE, "it is for somebody else: none of its audiences (`aud`) is this gateway")
    if now_s >= claims.exp + leeway_s:
        raise Refused(Fault.EXPIRED, "it has expired; get a new one")
    if claims.nbf is not None and now_s + leeway_s < claims.nbf:
        raise Refused(Fault.NOT_YET_VALID, "it is not valid yet (`nbf`); wait, or look at the clocks")
    if claims.iat is not None and now_s + leeway_s < claims.iat:
        raise Refused(Fault.NOT_YET_VALID, "it was issued in the future (`iat`); look at the clocks")
    if claims.exp <= max(claims.nbf or 0.0, claims.iat or 0.0):
        raise Refused(Fault.CLAIMS, "it expires before it begins")
    if claims.cnf is not msgspec.UNSET:
        # RFC 9449, §7.2: as a mere bearer token it would be good in a thief's hands too.
        raise Refused(Fault.BOUND, "it is bound to a key of its owner (`cnf`), which this gateway cannot check")


def bearer(name: str, settings: Oidc, payload: bytes, expires_s: float) -> Bearer:
    """Raises Refused for a token without a subject that could be told from others."""
    try:
        claims = _decode_claims(payload)
    except (ValueError, RecursionError) as error:
        raise Refused(Fault.CLAIMS, "its claims cannot be read") from error
    teams = _texts(claims, settings.team_claim)
    if settings.teams:
        teams = [settings.teams[value] for value in teams if value in settings.teams]
    roles = _texts(claims, settings.roles_claim)
    granted = (scope for role in roles for scope in settings.roles.get(role, ()))
    return Bearer(
        provider=name,
        subject=_subject(claims, settings.subject_claim),
        teams=tuple(dict.fromkeys(teams)),
        scopes=frozenset((*settings.scopes, *granted)),
        expires_s=expires_s,
    )


def values_at(claims: Claims, path: str) -> Iterator[object]:
    """What `path` leads to; of lists, each member.

    Names may have dots themselves (`https://example.com/team`), so the longest name that is there goes first.
    """
    if path in claims:
        found = claims[path]
        yield from found if isinstance(found, list) else (found,)
        return
    cut = path.rfind(".")
    while cut > 0:
        inner = claims.get(path[:cut])
        if isinstance(inner, dict):
            yield from values_at(inner, path[cut + 1 :])
            return
        cut = path.rfind(".", 0, cut)


def _texts(claims: Claims, path: str) -> list[str]:
    found = [value for value in values_at(claims, path) if isinstance(value, str)]
    if path.rpartition(".")[2] in _SPACED:
        return [word for text in found for word in text.split()]
    return found


def _subject(claims: Claims, path: str) -> str:
    found = next(values_at(claims, path), None)
    if isinstance(found, int) and not isinstance(found, bool):
        found = str(found)
    if not isinstance(found, str) or not found:
        raise Refused(Fault.CLAIMS, f"it does not say who bears it: the claim {path!r} is missing or no text")
    if len(found) > SUBJECT_CHARS_MAX or not found.isprintable():
        raise Refused(
            Fault.CLAIMS, f"its claim {path!r} is longer than {SUBJECT_CHARS_MAX} characters, or not plain text"
        )
    return found


_decode_registered = msgspec.json.Decoder(Registered).decode
_decode_claims = msgspec.json.Decoder(dict[str, object]).decode
