"""Access tokens of Google Cloud: for a service account by a signed statement, else from the machine's metadata server.

Sources: RFC 7523; Google, "Using OAuth 2.0 for Server to Server Applications", "About VM metadata" (read 2026-11-25).
"""

import asyncio
import re
from collections.abc import Mapping
from typing import Final, Protocol

import aiohttp
import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from trunkline_gateway.providers.base import AttemptFailed
from trunkline_gateway.providers.http_account import client_timeout, read
from trunkline_kit.clock import Clock
from trunkline_kit.errors import ConfigError, UpstreamError, UpstreamUnavailable
from trunkline_kit.secrets import Secret
from trunkline_policy.faults import FailureKind

SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
STATEMENT_LIFE_S: Final = 3600
"""The longest that Google takes."""
FETCH_S: Final = 10.0
"""How long getting a token may take."""
RENEWED_BEFORE_S: Final = 225.0
"""A token is renewed when this much is left of it. The metadata server has a new one when 300 s are left; google-auth,
Google's own library, waits as long as we do."""
GOOD_UNTIL_S: Final = 15.0
"""A token with less left is not sent: it could expire on its way."""
AGAIN_AFTER_S: Final = 10.0
"""A renewal that failed is not tried sooner, as long as the old token is good."""
_ANSWER_BYTES_MAX: Final = 64 * 1024
_FORM: Final = {"content-type": "application/x-www-form-urlencoded"}
_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_REFUSALS: Final = frozenset({400, 401, 403, 404})
_WORD: Final = re.compile(r"[a-z_]{1,40}", re.ASCII)


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One request for a token."""

    method: str
    url: str
    headers: Mapping[str, str]
    form: Mapping[str, str] = {}


class Source(Protocol):
    """Who gives tokens out."""

    def ask(self, now_s: float) -> Ask:
        """`now_s` is since the epoch."""


class _KeyFile(msgspec.Struct, frozen=True):
    """What Google's console gives for a service account."""

    type: str = ""
    client_email: str = ""
    private_key: str = ""
    private_key_id: str = ""
    token_uri: str = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address


class ServiceAccount:
    """States who it is, signed with its key."""

    def __init__(self, name: str, credentials: Secret) -> None:
        """Raises ConfigError, which shows nothing of the credentials; `name` is the provider's."""
        place = f"providers.{name}.credentials"
        try:
            file = _decode_file(credentials.reveal())
        except (msgspec.DecodeError, UnicodeError) as error:
            raise ConfigError(f"{place} is no JSON; give it a service account's key file") from error
        if file.type != "service_account" or not file.client_email:
            text = f"{place} is of type {file.type!r}; only key files of a service_account can be used"
            raise ConfigError(text)
        try:
            self._key = RSAKey.import_key(file.private_key)
        except (JoseError, ValueError, TypeError) as error:
            raise ConfigError(f"{place} has no RSA key in private_key; make a new key file") from error
        self._file = file

    def ask(self, now_s: float) -> Ask:
        file, issued_s = self._file, int(now_s)
        claims = {
            "iss": file.client_email,
            "scope": SCOPE,
            "aud": file.token_uri,
            "iat": issued_s,
            "exp": issued_s + STATEMENT_LIFE_S,
        }
        header = {"alg": "RS256", "typ": "JWT"} | ({"kid": file.private_key_id} if file.private_key_id else {})
        statement = jwt.encode(header, claims, self._key)
        return Ask(
            method="POST", url=file.token_uri, headers=_FORM, form={"grant_type": _GRANT, "assertion": statement}
        )


class MetadataServer:
    """The machine's own account, on Google Cloud."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """`GCE_METADATA_HOST` is another place for it, as for Google's own libraries."""
        host = environment.get("GCE_METADATA_HOST") or "metadata.google.internal"
        self._url = f"http://{host}/computeMetadata/v1/instance/service-accounts/default/token"

    def ask(self, now_s: float) -> Ask:  # noqa: ARG002 - the Protocol's
        return Ask(method="GET", url=self._url, headers={"metadata-flavor": "Google"})


class Latest(Secret):
    """The token that was given out last: what must not be seen in what the provider says."""

    __slots__ = ()

    def renew(self, value: str) -> None:
        self._value = value


class _Granted(msgspec.Struct, frozen=True):
    access_token: str
    expires_in: float = 3600.0


class _Refused(msgspec.Struct, frozen=True):
    error: str = ""


_decode_file = msgspec.json.Decoder(_KeyFile).decode
_decode_granted = msgspec.json.Decoder(_Granted).decode
_decode_refused = msgspec.json.Decoder(_Refused).decode


class Tokens:
    """One token at a time, got by whoever needs it first while the others wait for it."""

    def __init__(
        self, name: str, source: Source, session: aiohttp.ClientSession, clock: Clock, issuer: str = "Google"
    ) -> None:
        self.latest = Latest("")
        self._name = name
        self._issuer = issuer
        """What errors call whoever gives tokens out."""
        self._source = source
        self._session = session
        self._clock = clock
        self._renew_at_s = self._bad_at_s = self._again_at_s = 0.0
        self._lock = asyncio.Lock()
        self._tries = 0
        self._failure: AttemptFailed | None = None
        """Of the last try."""

    async def current(self) -> str:
        """A token that is good for some seconds at least. Raises AttemptFailed."""
        now_s = self._clock.monotonic_s()
        if now_s < self._renew_at_s:
            return self.latest.reveal()
        is_good = now_s < self._bad_at_s
        if is_good and (self._lock.locked() or now_s < self._again_at_s):
            return self.latest.reveal()
        seen = self._tries
        async with self._lock:
            if self._tries == seen:
                await self._try()
            failure = self._failure
        if failure is not None and not is_good:
            raise AttemptFailed(failure.kind, failure.error) from failure
        return self.latest.reveal()

    def forget(self) -> None:
        """The provider did not take the token, whatever its time says."""
        self._renew_at_s = self._bad_at_s = 0.0

    async def _try(self) -> None:
        failure = None
        try:
            granted = await self._fetch()
            now_s = self._clock.monotonic_s()
            self.latest.renew(granted.access_token)
            self._renew_at_s = now_s + granted.expires_in - RENEWED_BEFORE_S
            self._bad_at_s = now_s + granted.expires_in - GOOD_UNTIL_S
        except AttemptFailed as failed:
            failure = failed
            self._again_at_s = self._clock.monotonic_s() + AGAIN_AFTER_S
        self._failure = failure
        self._tries += 1

    async def _fetch(self) -> _Granted:
        ask = self._source.ask(self._clock.now_s())
        try:
            async with (
                asyncio.timeout(FETCH_S),
                self._session.request(
                    ask.method,
                    ask.url,
                    headers=ask.headers,
                    data=ask.form or None,
                    allow_redirects=False,
                    timeout=client_timeout(FETCH_S),
                ) as reply,
            ):
                data = await read(reply, _ANSWER_BYTES_MAX)
        except (aiohttp.ClientError, OSError) as error:
            text = f"provider {self._name!r}: {self._issuer}'s token endpoint cannot be reached: {type(error).__name__}"
            raise AttemptFailed(FailureKind.BROKEN, UpstreamUnavailable(text)) from error
        if reply.status != 200:
            raise self._refused(reply.status, data)
        try:
            return _decode_granted(data)
        except (msgspec.DecodeError, UnicodeError) as error:
            text = f"provider {self._name!r}: {self._issuer}'s token endpoint answered with no token"
            raise AttemptFailed(FailureKind.BROKEN, UpstreamUnavailable(text)) from error

    def _refused(self, status: int, data: bytes) -> AttemptFailed:
        """What it says may be about our account, which is nobody else's business; its word for it is not."""
        if status not in _REFUSALS:
            text = f"provider {self._name!r}: {self._issuer}'s token endpoint answered with HTTP {status}"
            return AttemptFailed(FailureKind.BROKEN, UpstreamUnavailable(text))
        try:
            said = _decode_refused(data).error
        except (msgspec.DecodeError, UnicodeError):
            said = ""
        word = said if _WORD.fullmatch(said) else f"HTTP {status}"
        what = f"{self._issuer} did not accept the gateway's credentials for provider {self._name!r} ({word})"
        text = f"{what}; tell who runs it"
        return AttemptFailed(FailureKind.ACCOUNT, UpstreamError(text))
