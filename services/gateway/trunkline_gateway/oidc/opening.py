"""Puts the checking of tokens together: one connection pool, and a loop for each issuer."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial

import aiohttp
from prometheus_client import CollectorRegistry

from trunkline_gateway.oidc.fetching import fetch_jwks
from trunkline_gateway.oidc.jwks import IssuerKeys
from trunkline_gateway.oidc.meters import TokenMeters
from trunkline_gateway.oidc.tokens import Tokens
from trunkline_kit.clock import Clock
from trunkline_kit.identity import Oidc
from trunkline_kit.lifecycle import background

_CONNECTIONS = 8
_HEADERS = {"accept": "application/json", "accept-encoding": "identity", "user-agent": "trunkline"}


class Issuers:
    """The issuers in use, each with its loop. One whose settings did not change lives on, with its keys."""

    def __init__(self, session: aiohttp.ClientSession, clock: Clock, meters: TokenMeters) -> None:
        self._session = session
        self._clock = clock
        self._meters = meters
        self._in_use: dict[str, IssuerKeys] = {}
        self._changed = asyncio.Event()

    def use(self, oidc: Mapping[str, Oidc]) -> Mapping[str, IssuerKeys]:
        """Take up what is new, end what is gone. Nothing is fetched before a token needs it."""
        for name, source in tuple(self._in_use.items()):
            if oidc.get(name) != source.settings:
                self._in_use.pop(name).end()
                self._meters.forget(name)
        for name, settings in oidc.items():
            if name not in self._in_use:
                fetch = partial(fetch_jwks, self._session, settings)
                self._in_use[name] = IssuerKeys(name, settings, fetch, self._clock, self._meters)
        self._changed.set()
        return {name: self._in_use[name] for name in oidc}

    async def run(self) -> None:
        """Run the loops of those in use. Until cancelled."""
        loops: dict[IssuerKeys, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                self._changed.clear()
                for source in self._in_use.values():
                    if source not in loops:
                        loops[source] = group.create_task(source.run())
                for gone in loops.keys() - set(self._in_use.values()):
                    loops.pop(gone).cancel()
                await self._changed.wait()


@asynccontextmanager
async def open_tokens(clock: Clock, registry: CollectorRegistry) -> AsyncIterator[Tokens]:
    """Tokens of no issuer yet: `apply` says whose. Needs no issuer to be there."""
    meters = TokenMeters(registry)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=_CONNECTIONS),
        headers=_HEADERS,
        timeout=aiohttp.ClientTimeout(total=None),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
    ) as session:
        issuers = Issuers(session, clock, meters)
        async with background(issuers.run()):
            yield Tokens(issuers.use, clock, meters)
