"""An issuer's keys over HTTP: found, bounded in size and time, and never over a worse way than was asked for."""

import asyncio

import aiohttp
import msgspec
from yarl import URL

from trunkline_kit.errors import Unavailable
from trunkline_kit.identity import Oidc

FETCH_TIMEOUT_S = 5.0
"""For the whole of it: discovery, redirects and keys."""
BODY_BYTES_MAX = 1024 * 1024
HOPS_MAX = 3
DISCOVERY_PATH = "/.well-known/openid-configuration"
"""Source: OpenID Connect Discovery 1.0, §4."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Discovery(msgspec.Struct, frozen=True):
    """What of the issuer's own description matters."""

    issuer: str
    jwks_uri: str


async def fetch_jwks(session: aiohttp.ClientSession, settings: Oidc, timeout_s: float = FETCH_TIMEOUT_S) -> bytes:
    """The issuer's JWK Set as it is published. Raises Unavailable, with what was wrong for whoever runs the gateway."""
    try:
        async with asyncio.timeout(timeout_s):
            url = settings.jwks_url or await _discover(session, settings.issuer)
            return await _get(session, url)
    except TimeoutError as error:
        raise Unavailable(f"no answer within {timeout_s:g} s") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # A ValueError is an address that makes no sense, such as one of a redirect.
        raise Unavailable(f"it cannot be reached: {type(error).__name__}") from error


async def _discover(session: aiohttp.ClientSession, issuer: str) -> str:
    data = await _get(session, issuer.rstrip("/") + DISCOVERY_PATH)
    try:
        found = msgspec.json.decode(data, type=Discovery)
    except (ValueError, RecursionError) as error:
        raise Unavailable("its openid-configuration is no JSON object with `issuer` and `jwks_uri`") from error
    if found.issuer != issuer:
        # Discovery 1.0, §4.3. Else whoever serves one tenant's document could speak for another's tokens.
        raise Unavailable("its openid-configuration is of another issuer; the setting must be the same to the letter")
    require_no_worse(URL(issuer), URL(found.jwks_uri))
    return found.jwks_uri


async def _get(session: aiohttp.ClientSession, url: str) -> bytes:
    here = URL(url)
    for _ in range(HOPS_MAX + 1):
        async with session.get(here, allow_redirects=False) as reply:
            if reply.status in _REDIRECTS:
                there = here.join(URL(reply.headers.get("location", "")))
                require_no_worse(here, there)
                here = there
                continue
            if reply.status != 200:
                raise Unavailable(f"{here.path} answered {reply.status}")
            return await _body(reply)
    raise Unavailable(f"more than {HOPS_MAX} redirects")


def require_no_worse(here: URL, there: URL) -> None:
    """Raises Unavailable where the way from `here` to `there` leaves HTTPS, or HTTP altogether."""
    if there.scheme not in {"http", "https"} or (here.scheme == "https" and there.scheme != "https"):
        raise Unavailable(f"it leads from {here.scheme} to {there.scheme or 'nowhere'}, which is not followed")


async def _body(reply: aiohttp.ClientResponse) -> bytes:
    pieces = bytearray()
    async for piece in reply.content.iter_any():
        pieces += piece
        if len(pieces) > BODY_BYTES_MAX:
            raise Unavailable(f"the answer is longer than {BODY_BYTES_MAX} bytes")
    return bytes(pieces)
