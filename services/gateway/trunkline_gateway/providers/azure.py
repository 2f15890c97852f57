"""Azure OpenAI: OpenAI's dialect at an address of one's own, by a key or by a token of Microsoft Entra ID.

Sources: Microsoft, "Azure OpenAI in Microsoft Foundry Models v1 API", "Azure OpenAI REST API reference", "Content
filtering", "Microsoft identity platform and the OAuth 2.0 client credentials flow" (read 2026-11-25).
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final, Protocol
from urllib.parse import quote

from trunkline_gateway.plan import Target
from trunkline_gateway.providers.accents import Plain
from trunkline_gateway.providers.base import AttemptFailed, Provider
from trunkline_gateway.providers.google_tokens import Ask, Latest, Tokens
from trunkline_gateway.providers.http_account import Account, HeaderPairs, open_session
from trunkline_gateway.providers.openai import OpenAICompatible
from trunkline_gateway.surface import PATHS, Surface
from trunkline_kit.clock import Clock
from trunkline_kit.errors import ConfigError, UpstreamError
from trunkline_kit.providers import AzureProvider, ClientCredentials
from trunkline_kit.secrets import Secret, resolve
from trunkline_policy.faults import FailureKind

REREAD_AFTER_S: Final = 10.0
"""How old what was read of a token's file may be."""


class TokenSource(Protocol):
    """Who has the token of the moment."""

    latest: Latest

    async def current(self) -> str:
        """Raises AttemptFailed."""

    def forget(self) -> None:
        """Azure did not take it."""


class HeldToken:
    """A token that somebody else keeps fresh, read again every few seconds."""

    def __init__(self, name: str, reference: str, environment: Mapping[str, str], clock: Clock) -> None:
        """Raises ConfigError for one that is not there."""
        self.latest = Latest(resolve(reference, environment).reveal())
        self._name = name
        self._reference = reference
        self._environment = environment
        self._clock = clock
        self._read_at_s = clock.monotonic_s()

    async def current(self) -> str:
        now_s = self._clock.monotonic_s()
        if now_s - self._read_at_s >= REREAD_AFTER_S:
            self._read_at_s = now_s
            self.latest.renew(await self._read())
        return self.latest.reveal()

    def forget(self) -> None:
        self._read_at_s = -REREAD_AFTER_S

    async def _read(self) -> str:
        try:
            found = await asyncio.to_thread(resolve, self._reference, self._environment)
        except ConfigError as error:
            self.forget()
            text = f"the gateway's token for provider {self._name!r} cannot be read; tell who runs it"
            raise AttemptFailed(FailureKind.ACCOUNT, UpstreamError(text)) from error
        return found.reveal()


class Application:
    """Where an application of Entra ID gets its tokens."""

    def __init__(self, settings: ClientCredentials, secret: Secret) -> None:
        self._settings = settings
        self._secret = secret

    def ask(self, now_s: float) -> Ask:  # noqa: ARG002 - the Protocol's
        settings = self._settings
        form = {
            "grant_type": "client_credentials",
            "client_id": settings.client_id,
            "client_secret": self._secret.reveal(),
            "scope": settings.scope,
        }
        url = f"{settings.authority.rstrip('/')}/{settings.tenant}/oauth2/v2.0/token"
        headers = {"content-type": "application/x-www-form-urlencoded"}
        return Ask(method="POST", url=url, headers=headers, form=form)


class AzureAccent(Plain):
    """Of the v1 API, or of a version of the classic one, which has models in its addresses."""

    def __init__(self, api_version: str | None, tokens: TokenSource | None) -> None:
        self._api_version = api_version
        self._tokens = tokens

    def path(self, surface: Surface, target: Target) -> str:
        if self._api_version is None:
            return f"/openai/v1{PATHS[surface]}"
        version = f"?api-version={self._api_version}"
        if surface is Surface.RESPONSES:
            return f"/openai{PATHS[surface]}{version}"
        return f"/openai/deployments/{quote(target.provider_model, safe='')}{PATHS[surface]}{version}"

    async def headers(self) -> HeaderPairs:
        return () if self._tokens is None else (("authorization", f"Bearer {await self._tokens.current()}"),)


class Azure(OpenAICompatible):
    """One resource."""

    kind = "azure"


@asynccontextmanager
async def open_azure(
    name: str, settings: AzureProvider, environment: Mapping[str, str], clock: Clock, connections: int
) -> AsyncIterator[Provider]:
    """Raises ConfigError for a key, token or secret that is not there."""
    key = Secret("") if settings.api_key is None else resolve(settings.api_key, environment)
    async with open_session({"api-key": key.reveal()} if key.reveal() else {}, connections) as session:
        tokens: TokenSource | None = None
        if settings.entra is not None:
            application = Application(settings.entra, resolve(settings.entra.client_secret, environment))
            tokens = Tokens(name, application, session, clock, "Microsoft Entra ID")
        elif settings.token is not None:
            tokens = HeldToken(name, settings.token, environment, clock)
        secret = key if tokens is None else tokens.latest
        account = Account(name, settings.base_url, secret, session, clock)
        account.on_refused = None if tokens is None else tokens.forget
        yield Azure(account, settings.assemble_streams, AzureAccent(settings.api_version, tokens))
