"""The keys of one issuer, kept fresh by a loop of their own.

Only the loop fetches: callers ask for a round and wait for its end, so that any number of them cost one fetch, and one
that leaves does not take it away from the others.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from math import inf

from joserfc.jwk import Key

from trunkline_gateway.oidc.jwt import Header
from trunkline_gateway.oidc.keys import KeyBook, UnknownKey, read_jwks
from trunkline_gateway.oidc.meters import TokenMeters
from trunkline_kit.clock import Clock
from trunkline_kit.errors import Internal, Unavailable
from trunkline_kit.identity import Oidc

log = logging.getLogger(__name__)

ASK_AGAIN_S = 10.0
"""At most one fetch in so long on behalf of callers, whatever tokens they send."""
KEEP_S = 24 * 3600.0
"""How long keys are used while their issuer cannot be reached."""
MISSING_S = 30.0
"""A key id that was not found is not looked for again before: a client with a wrong token must not use up the fetches
that a new key needs."""
MISSING_MAX = 256
FRESH_PART = 0.8
"""Of the time that keys are good for; then they are fetched anew."""
FRESH_S_MIN = 1.0

Fetch = Callable[[], Awaitable[bytes]]


def next_fetch_s(ttl_s: float, fetched_s: float | None, tried_s: float | None) -> float:
    """When the loop fetches by itself, on the clock that the others are on; `inf` before anybody has asked."""
    if tried_s is None:
        return inf
    if fetched_s is None:
        return tried_s + ASK_AGAIN_S
    due_s = fetched_s + max(FRESH_S_MIN, FRESH_PART * ttl_s)
    return due_s if tried_s <= fetched_s else max(due_s, tried_s + ASK_AGAIN_S)


class IssuerKeys:
    """What is known of one issuer's keys. `run` must be running for anybody to get any."""

    def __init__(self, name: str, settings: Oidc, fetch: Fetch, clock: Clock, meters: TokenMeters) -> None:
        self.name = name
        self.settings = settings
        self.on_change: Callable[[], None] = _nothing
        """Called when other keys are published than those that tokens were verified with."""
        self._fetch = fetch
        self._clock = clock
        self._meters = meters
        self._book: KeyBook | None = None
        self._published = b""
        self._fetched_s: float | None = None
        self._tried_s: float | None = None
        self._why_failed = ""
        self._missing: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._wanted = asyncio.Event()
        self._round_over = asyncio.Event()
        self._is_fetching = False
        self._has_ended = False

    def age_s(self) -> float:
        """Seconds since the keys were last fetched; `inf` if never."""
        return inf if self._fetched_s is None else self._clock.monotonic_s() - self._fetched_s

    async def check(self) -> str | None:
        """For `/readyz`. Raises Unavailable while its keys cannot be fetched, also where old ones are still used."""
        if self._why_failed:
            raise Unavailable(self._why_failed)
        return "not asked yet" if self._book is None else f"{len(self._book)} keys, {self.age_s():.0f} s old"

    async def key_for(self, header: Header) -> Key:
        """The key that must have signed a token with this header.

        Raises Refused, and Unavailable where the keys were never fetched, or so long ago that they are not used.
        """
        book = self._usable() or await self._first()
        try:
            return book.find(header)
        except UnknownKey:
            if not self._is_worth_asking(header):
                raise
            await self._round()
        try:
            return (self._usable() or book).find(header)
        except UnknownKey:
            self._remember_missing(header)
            raise

    async def run(self) -> None:
        """Fetch when somebody asks, and before what is known is too old. Until cancelled."""
        try:
            while True:
                await self._due()
                self._is_fetching = True
                await self._fetch_once()
                self._end_round()
        finally:
            self.end()

    def end(self) -> None:
        """Nobody fetches any more: whoever waits goes on with what is known."""
        self._has_ended = True
        self._end_round()

    def _end_round(self) -> None:
        self._is_fetching = False
        # Whoever asked meanwhile has joined this round.
        self._wanted.clear()
        self._round_over.set()
        self._round_over = asyncio.Event()

    async def _due(self) -> None:
        due_s = next_fetch_s(self.settings.jwks_ttl_s, self._fetched_s, self._tried_s)
        try:
            async with asyncio.timeout(None if due_s == inf else max(0.0, due_s - self._clock.monotonic_s())):
                await self._wanted.wait()
        except TimeoutError:
            return

    async def _fetch_once(self) -> None:
        self._tried_s = self._clock.monotonic_s()
        try:
            self._take(await self._fetch())
        except Unavailable as error:
            self._failed(error)
        except Exception as error:
            # An edge: without this loop no token could ever be checked again.
            log.exception("fetching the keys of identity.oidc.%s failed", self.name)
            self._failed(Internal(f"{type(error).__name__} while they were fetched"))

    def _take(self, published: bytes) -> None:
        """Raises Unavailable for what is no JWK Set; then the keys that are known stay in use."""
        had = self._book
        is_new = published != self._published or had is None
        if is_new:
            self._book = KeyBook(read_jwks(published), self.settings.algorithms)
        self._published, self._fetched_s = published, self._tried_s
        self._meters.fetched(self.name, good=True)
        self._meters.watch_age(self.name, self.age_s)
        if is_new or self._why_failed:
            level = logging.INFO if self._book else logging.WARNING
            log.log(level, "keys of identity.oidc.%s fetched", self.name, extra={"usable": len(self._book or ())})
        self._why_failed = ""
        if is_new:
            self._missing.clear()
        if is_new and had is not None:
            self.on_change()

    def _failed(self, error: Unavailable | Internal) -> None:
        self._meters.fetched(self.name, good=False)
        if not self._why_failed:
            log.warning("the keys of identity.oidc.%s cannot be fetched: %s", self.name, error)
        self._why_failed = str(error)

    def _usable(self) -> KeyBook | None:
        return self._book if self.age_s() <= max(KEEP_S, self.settings.jwks_ttl_s) else None

    async def _first(self) -> KeyBook:
        if self._may_ask():
            await self._round()
        book = self._usable()
        if book is None:
            text = f"the keys of identity.oidc.{self.name} cannot be fetched now, so its tokens cannot be checked"
            raise Unavailable(f"{text}; try again later", retry_after_s=self._pause_s() or ASK_AGAIN_S)
        return book

    async def _round(self) -> None:
        """Return at the end of the fetch that is under way, or of the next one."""
        if self._has_ended:
            return
        over = self._round_over
        self._wanted.set()
        await over.wait()

    def _may_ask(self) -> bool:
        return self._is_fetching or not self._pause_s()

    def _pause_s(self) -> float:
        """How long until callers may have the keys fetched again."""
        return 0.0 if self._tried_s is None else max(0.0, self._tried_s + ASK_AGAIN_S - self._clock.monotonic_s())

    def _is_worth_asking(self, header: Header) -> bool:
        known_s = self._missing.get(_id_of(header), -inf)
        return self._clock.monotonic_s() >= known_s + MISSING_S and self._may_ask()

    def _remember_missing(self, header: Header) -> None:
        self._missing[_id_of(header)] = self._clock.monotonic_s()
        self._missing.move_to_end(_id_of(header))
        if len(self._missing) > MISSING_MAX:
            self._missing.popitem(last=False)


def _id_of(header: Header) -> tuple[str, str]:
    return header.kid or "", header.alg


def _nothing() -> None:
    return
