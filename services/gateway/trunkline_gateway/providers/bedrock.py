"""AWS Bedrock's Converse API: by Bedrock's own API key, or signed with an access key.

Source: AWS, Bedrock API reference, "Converse" and "ConverseStream" (read 2026-11-25).
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import quote

from trunkline_gateway.dialects.abilities import Abilities
from trunkline_gateway.dialects.bedrock_models import abilities_of
from trunkline_gateway.plan import Target
from trunkline_gateway.providers.aws_signing import EVENT_STREAM, Credentials, EventStreamParser, Library, Signer
from trunkline_gateway.providers.base import Provider
from trunkline_gateway.providers.foreign import Foreign
from trunkline_gateway.providers.http_account import Account, Framing, HeaderPairs, open_session
from trunkline_kit.clock import Clock
from trunkline_kit.errors import ConfigError
from trunkline_kit.providers import BedrockProvider, address_of
from trunkline_kit.secrets import Secret, resolve


class Converse:
    """The wire. Without a signer the session's own key is enough."""

    protocol = "bedrock"

    def __init__(self, base_url: str, library: Library, signer: Signer | None) -> None:
        self._base = base_url.rstrip("/")
        self._signer = signer
        self.framing = Framing(EVENT_STREAM, lambda: EventStreamParser(library))

    def path(self, target: Target, *, as_stream: bool) -> str:
        """Ids may be ARNs: their colons and slashes are part of the id."""
        return f"/model/{quote(target.provider_model, safe='')}/{'converse-stream' if as_stream else 'converse'}"

    async def headers(self, path: str, body: bytes) -> HeaderPairs:
        return () if self._signer is None else self._signer.headers(self._base + path, body)

    def abilities(self, target: Target) -> Abilities | None:
        return abilities_of(target.provider_model)


@asynccontextmanager
async def open_bedrock(
    name: str, settings: BedrockProvider, environment: Mapping[str, str], clock: Clock, connections: int
) -> AsyncIterator[Provider]:
    """Raises ConfigError for a key that is not there, for half an access key, and where botocore is not installed."""
    library = Library()
    address = address_of(settings)
    if settings.api_key is not None:
        key = resolve(settings.api_key, environment)
        signer, headers = None, {"authorization": f"Bearer {key.reveal()}"}
    else:
        credentials = _credentials(name, settings, environment)
        key = credentials.session_token or credentials.access_key_id
        signer, headers = Signer(library, credentials, settings.region, clock), {}
    async with open_session(headers, connections) as session:
        account = Account(name, address, key, session, clock)
        yield Foreign("bedrock", account, Converse(address, library, signer), clock)


def _credentials(name: str, settings: BedrockProvider, environment: Mapping[str, str]) -> Credentials:
    if settings.access_key_id is None or settings.secret_access_key is None:
        text = f"providers.{name} needs either api_key, or access_key_id and secret_access_key"
        raise ConfigError(text)
    token: Secret | None = None
    if settings.session_token is not None:
        token = resolve(settings.session_token, environment)
    return Credentials(
        resolve(settings.access_key_id, environment), resolve(settings.secret_access_key, environment), token
    )
