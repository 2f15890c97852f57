"""Google's models, at the Gemini API by a key and at Vertex AI by a token. No caller speaks their protocol.

Source: Google, "Gemini API reference" and "Vertex AI: generateContent"; the versions of the API are those that Google's
SDK asks for (google-genai 3.6.1, read 2026-11-25).
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import quote

import msgspec

from trunkline_gateway.dialects.abilities import Abilities
from trunkline_gateway.dialects.gemini_models import abilities_of
from trunkline_gateway.plan import Target
from trunkline_gateway.providers.base import Provider
from trunkline_gateway.providers.foreign import Foreign
from trunkline_gateway.providers.google_tokens import MetadataServer, ServiceAccount, Tokens
from trunkline_gateway.providers.http_account import SSE, Account, Framing, HeaderPairs, open_session
from trunkline_kit.clock import Clock
from trunkline_kit.providers import GeminiProvider, VertexProvider, address_of
from trunkline_kit.secrets import Secret, resolve


class GoogleWire(msgspec.Struct, frozen=True, kw_only=True):
    """generateContent, wherever it is."""

    place: str
    """What models are below: a version, and at Vertex a project and a location."""
    folder: str
    """Of models that are named without one."""
    tokens: Tokens | None = None
    """None where the session has a key."""
    protocol: str = "gemini"
    framing: Framing = SSE

    def path(self, target: Target, *, as_stream: bool) -> str:
        method = "streamGenerateContent?alt=sse" if as_stream else "generateContent"
        name = target.provider_model
        named = name if "/" in name else f"{self.folder}/{name}"
        return f"{self.place}/{quote(named)}:{method}"

    async def headers(self, path: str, body: bytes) -> HeaderPairs:  # noqa: ARG002 - the Protocol's
        return () if self.tokens is None else (("authorization", f"Bearer {await self.tokens.current()}"),)

    def abilities(self, target: Target) -> Abilities:
        return abilities_of(target.provider_model)


@asynccontextmanager
async def open_gemini(
    name: str, settings: GeminiProvider, environment: Mapping[str, str], clock: Clock, connections: int
) -> AsyncIterator[Provider]:
    """Raises ConfigError for a key that is not there."""
    key = Secret("") if settings.api_key is None else resolve(settings.api_key, environment)
    headers = {"x-goog-api-key": key.reveal()} if key.reveal() else {}
    wire = GoogleWire(place="/v1beta", folder="models")
    async with open_session(headers, connections) as session:
        yield Foreign("gemini", Account(name, address_of(settings), key, session, clock), wire, clock)


@asynccontextmanager
async def open_vertex(
    name: str, settings: VertexProvider, environment: Mapping[str, str], clock: Clock, connections: int
) -> AsyncIterator[Provider]:
    """Raises ConfigError for credentials that are not there or none of a service account."""
    if settings.credentials is None:
        source: MetadataServer | ServiceAccount = MetadataServer(environment)
    else:
        source = ServiceAccount(name, resolve(settings.credentials, environment))
    place = f"/v1beta1/projects/{settings.project}/locations/{settings.location}"
    async with open_session({}, connections) as session:
        tokens = Tokens(name, source, session, clock)
        wire = GoogleWire(place=place, folder="publishers/google/models", tokens=tokens)
        account = Account(name, address_of(settings), tokens.latest, session, clock)
        account.on_refused = tokens.forget
        yield Foreign("vertex", account, wire, clock)
