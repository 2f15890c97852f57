"""Who sends a request: from headers and an address to a principal that may be served now."""

from typing import Protocol

import msgspec

from trunkline_gateway.addresses import Network, caller_address
from trunkline_gateway.auth import KeyRing, Principal, credential_of
from trunkline_kit.clock import Clock
from trunkline_kit.errors import StoreUnavailable, Unauthenticated

_RETRY_S = 1.0


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """What a request shows. Empty: not sent."""

    authorization: str = ""
    api_key: str = ""
    peer: str = ""
    """The address of the connection's other end."""
    forwarded: str = ""
    """`x-forwarded-for`."""

    def __repr__(self) -> str:
        return f"Credentials(…, peer={self.peer!r}, forwarded={self.forwarded!r})"


class Caller(msgspec.Struct, frozen=True):
    """A principal and what it was known by."""

    principal: Principal
    digest: bytes = b""
    """Of its key; empty for a token."""


class Bearers(Protocol):
    """Tokens of identity providers."""

    def looks_like_token(self, text: str) -> bool:
        """Whether `text` has the form of one."""

    async def principal(self, token: str) -> Principal:
        """Whose it is. Raises Unauthenticated, PermissionDenied, Unavailable."""


class StoredKeys(Protocol):
    """How well this gateway knows the keys that are made at run time."""

    def missing(self) -> str:
        """Why a key that it does not know may be a good one; empty where it cannot be."""

    def outdated(self) -> str:
        """Why those that it knows are not to be honoured any more; empty where they are."""


class NoStoredKeys:
    """Of a gateway without a database: none were made, so none are missing."""

    def missing(self) -> str:
        return ""

    def outdated(self) -> str:
        return ""


class Callers:
    """Of one configuration and directory; replaced as a whole."""

    def __init__(
        self,
        ring: KeyRing,
        stored: StoredKeys,
        clock: Clock,
        trusted_proxies: tuple[Network, ...] = (),
        bearers: Bearers | None = None,
    ) -> None:
        self.ring = ring
        self._stored = stored
        self._clock = clock
        self._proxies = trusted_proxies
        self._bearers = bearers

    async def identify(self, credentials: Credentials) -> Caller:
        """Raises Unauthenticated, PermissionDenied (by address), StoreUnavailable where nobody can tell now."""
        text = credential_of(credentials.authorization, credentials.api_key)
        now_s = self._clock.now_s()
        found = self.ring.find(text, now_s)
        if found is not None:
            digest, entry = found
            if entry.stored and (why := self._stored.outdated()):
                raise StoreUnavailable(why, retry_after_s=_RETRY_S)
            caller = Caller(entry.principal, digest)
        else:
            caller = Caller(await self._of_unknown(text))
        caller.principal.check(now_s)
        if caller.principal.networks:
            caller.principal.check_address(self.address(credentials))
        return caller

    def address(self, credentials: Credentials) -> str:
        """Where the request comes from, as far as proxies are trusted."""
        return caller_address(credentials.peer, credentials.forwarded, self._proxies)

    async def _of_unknown(self, text: str) -> Principal:
        if self._bearers is not None and self._bearers.looks_like_token(text):
            return await self._bearers.principal(text)
        if why := self._stored.missing():
            # It may well be a good key: a 401 would have people replace it.
            raise StoreUnavailable(why, retry_after_s=_RETRY_S)
        raise Unauthenticated("incorrect API key; check the key, or ask whoever runs this gateway for one")

    def why_stopped(self, caller: Caller) -> str:
        """Why a request that is under way may not go on; empty where it may.

        Tokens are looked at when a request begins: their issuers make them short.
        """
        if not caller.digest:
            return ""
        now_s = self._clock.now_s()
        entry = self.ring.entry(caller.digest, now_s)
        if entry is None:
            return "this request's API key was revoked while it ran; ask whoever runs this gateway"
        try:
            entry.principal.check(now_s)
        except Unauthenticated as error:
            return error.message
        return ""
