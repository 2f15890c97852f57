"""Whose a token is: the one thing that the rest of the gateway asks.

A token that was verified is known by its SHA-256 for a minute at most, so that the second request with it costs no
signature. All of them are forgotten when the configuration, the directory or an issuer's keys change.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping

import msgspec

from trunkline_gateway.auth import Principal
from trunkline_gateway.oidc.binding import Tenancy, principal_of
from trunkline_gateway.oidc.claims import Registered, bearer, check, registered
from trunkline_gateway.oidc.jwks import IssuerKeys
from trunkline_gateway.oidc.jwt import looks_like_token, parse, verify
from trunkline_gateway.oidc.meters import TokenMeters
from trunkline_gateway.oidc.refusals import Fault, Refused
from trunkline_kit.clock import Clock
from trunkline_kit.errors import PermissionDenied, Unavailable
from trunkline_kit.health import Check
from trunkline_kit.identity import Oidc

KNOWN_S = 60.0
KNOWN_MAX = 10_000

Sources = Callable[[Mapping[str, Oidc]], Mapping[str, IssuerKeys]]
"""Makes the keys of all issuers of a configuration available, and those of no others."""


class Known(msgspec.Struct, frozen=True):
    """A token that was verified."""

    principal: Principal
    until_s: float
    """Monotonic."""


class Tokens:
    """All tokens of all issuers. Empty until the first `apply`."""

    def __init__(self, sources: Sources, clock: Clock, meters: TokenMeters) -> None:
        self._sources = sources
        self._clock = clock
        self._meters = meters
        self._by_issuer: dict[str, list[IssuerKeys]] = {}
        self._tenancy = Tenancy()
        self._known: OrderedDict[bytes, Known] = OrderedDict()
        self._generation = 0

    def apply(self, oidc: Mapping[str, Oidc], tenancy: Tenancy) -> None:
        """From now on these count. Keys of issuers whose settings did not change stay known."""
        self._tenancy = tenancy
        self._by_issuer = {}
        for source in self._sources(oidc).values():
            source.on_change = self.forget
            self._by_issuer.setdefault(source.settings.issuer, []).append(source)
        self.forget()

    def forget(self) -> None:
        """Verify every token anew."""
        self._generation += 1
        self._known.clear()

    def checks(self) -> dict[str, Check]:
        """For `/readyz`: one for each issuer; keys of this gateway's own do without all of them."""
        return {f"oidc {source.name}": source.check for sources in self._by_issuer.values() for source in sources}

    def looks_like_token(self, text: str) -> bool:
        """Whether `text` has the form of one, and anybody's are taken here."""
        return bool(self._by_issuer) and looks_like_token(text)

    async def principal(self, token: str) -> Principal:
        """Whose it is.

        Raises Unauthenticated saying what is wrong with it, PermissionDenied for a good one that leads to no team, and
        Unavailable while nobody can tell, since its issuer's keys cannot be fetched. None holds any of the token.
        """
        digest = hashlib.sha256(token.encode(errors="surrogateescape")).digest()
        known = self._known.get(digest)
        if known is not None and self._clock.monotonic_s() < known.until_s:
            self._known.move_to_end(digest)
            self._meters.cached.inc()
            return known.principal
        try:
            principal = await self._verified(token, digest)
        except Refused as refused:
            self._meters.checked(refused.fault.value)
            raise refused.error() from refused
        except PermissionDenied:
            self._meters.checked("no_team")
            raise
        except Unavailable:
            self._meters.checked("unavailable")
            raise
        self._meters.checked("ok")
        return principal

    async def _verified(self, token: str, digest: bytes) -> Principal:
        generation = self._generation
        unverified = parse(token)
        claims = registered(unverified.payload)
        source = self._source(claims)
        verify(unverified, await source.key_for(unverified.header))
        # Only from here on it is known who wrote the claims.
        settings = source.settings
        now_s = self._clock.now_s()
        check(claims, settings, now_s)
        expires_s = claims.exp + settings.leeway_s
        principal = principal_of(bearer(source.name, settings, unverified.payload, expires_s), settings, self._tenancy)
        if generation == self._generation:
            self._remember(digest, principal, claims.exp - now_s)
        return principal

    def _source(self, claims: Registered) -> IssuerKeys:
        """Several entries may share an issuer: the audience tells them apart. Raises Refused for an unknown issuer."""
        sources = self._by_issuer.get(claims.iss)
        if not sources:
            raise Refused(Fault.ISSUER, "its issuer is not known here")
        for source in sources:
            if any(audience in source.settings.audience for audience in claims.audiences):
                return source
        return sources[0]

    def _remember(self, digest: bytes, principal: Principal, left_s: float) -> None:
        if left_s <= 0:
            return
        self._known[digest] = Known(principal, self._clock.monotonic_s() + min(KNOWN_S, left_s))
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)
