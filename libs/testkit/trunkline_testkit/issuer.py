"""An identity provider over HTTP: publishes keys, signs tokens, rotates, and fails as a test tells it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import msgspec
from aiohttp import web
from joserfc.jwa import JWS_ALGORITHMS
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey
from joserfc.util import urlsafe_b64encode

DISCOVERY_PATH = "/.well-known/openid-configuration"
JWKS_PATH = "/keys"
START_S = 1_700_000_000.0
"""Where a ManualClock starts."""

_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}


class SigningKey(msgspec.Struct, frozen=True):
    """A private key and what is published of it."""

    key: Key
    alg: str
    kid: str | None
    members: dict[str, Any] = {}
    """Over those that the key itself has; None takes one out."""

    def published(self) -> dict[str, Any]:
        """Its JWK, without anything private."""
        named = {} if self.kid is None else {"kid": self.kid}
        jwk = {**self.key.as_dict(private=False), "use": "sig", "alg": self.alg, **named, **self.members}
        return {name: value for name, value in jwk.items() if value is not None}


def make_key(alg: str, kid: str | None = "key-1", *, serial: int = 0, **members: Any) -> SigningKey:
    """The same key for the same algorithm and serial number: making RSA keys takes its time."""
    return SigningKey(_made(alg, serial), alg, kid, members)


@cache
def _made(alg: str, serial: int) -> Key:  # noqa: ARG001 - a key for each
    if alg.startswith("HS"):
        return OctKey.generate_key(256)
    if alg.startswith("ES"):
        return ECKey.generate_key(_CURVES[alg])
    if alg.startswith("Ed"):
        return OKPKey.generate_key("Ed25519")
    return RSAKey.generate_key(2048)


def sign(header: Mapping[str, Any], payload: bytes, key: Key, alg: str) -> str:
    """A token as whoever holds `key` can make it, sensible or not."""
    signed = urlsafe_b64encode(msgspec.json.encode(header)) + b"." + urlsafe_b64encode(payload)
    algorithm = next(found for found in JWS_ALGORITHMS if found.name == alg)
    return (signed + b"." + urlsafe_b64encode(algorithm.sign(signed, key))).decode()


class FakeIssuer:
    """What `open_fake_issuer` yields. What its fields say is what it does from then on."""

    def __init__(self, *keys: SigningKey) -> None:
        self.url = ""
        """Also its name: the claim `iss`."""
        self.keys: list[SigningKey] = list(keys) or [make_key("RS256")]
        self.now_s = START_S
        """Tokens are made for then, and ten minutes more."""
        self.status = 200
        self.body: bytes | None = None
        """Instead of the keys."""
        self.redirect_to = ""
        """Instead of the keys."""
        self.discovery: dict[str, Any] = {}
        """Over what the description says."""
        self.requests: list[str] = []
        """Paths, in order."""
        self.arrived = asyncio.Condition()
        """Notified at each request."""
        self._released = asyncio.Event()
        self._released.set()

    @property
    def fetches(self) -> int:
        """How often the keys were asked for."""
        return self.requests.count(JWKS_PATH)

    def hold(self) -> None:
        """Answer nothing until `release`."""
        self._released.clear()

    def release(self) -> None:
        self._released.set()

    async def wait_for_fetches(self, count: int) -> None:
        """Return when the keys were asked for `count` times in all."""
        async with self.arrived:
            await self.arrived.wait_for(lambda: self.fetches >= count)

    def claims(self, **claims: Any) -> dict[str, Any]:
        """Those of a good token, with `claims` over them; None takes one out."""
        base = {
            "iss": self.url,
            "aud": "trunkline",
            "sub": "ann",
            "iat": self.now_s,
            "exp": self.now_s + 600,
            "team": "search",
        }
        return {name: value for name, value in {**base, **claims}.items() if value is not None}

    def token(self, key: SigningKey | None = None, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
        """Signed by the newest key, unless another one is given; with more in its header, if given."""
        key = key or self.keys[-1]
        head = {"alg": key.alg, "typ": "JWT", **({} if key.kid is None else {"kid": key.kid}), **(header or {})}
        return sign(head, msgspec.json.encode(self.claims(**claims)), key.key, key.alg)

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one request."""
        self.requests.append(request.path)
        async with self.arrived:
            self.arrived.notify_all()
        await self._released.wait()
        if request.path == DISCOVERY_PATH:
            found = {"issuer": self.url, "jwks_uri": self.url + JWKS_PATH, **self.discovery}
            return web.json_response(found, status=self.status)
        if self.redirect_to and request.path == JWKS_PATH:
            return web.Response(status=302, headers={"location": self.redirect_to})
        body = self.body
        if body is None:
            body = msgspec.json.encode({"keys": [key.published() for key in self.keys]})
        return web.Response(status=self.status, body=body, content_type="application/json")


@asynccontextmanager
async def open_fake_issuer(*keys: SigningKey) -> AsyncIterator[FakeIssuer]:
    """Serves on a free port of the loopback."""
    issuer = FakeIssuer(*keys)
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", issuer.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        issuer.url = f"http://{host}:{port}"
        yield issuer
    finally:
        issuer.release()
        await runner.cleanup()
