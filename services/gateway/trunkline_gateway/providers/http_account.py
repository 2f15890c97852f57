"""An account at a provider over HTTP: one session for its whole life, JSON out, JSON or events back."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache

import aiohttp
import msgspec
from aiohttp.abc import AbstractStreamWriter, ResolveResult
from aiohttp.payload import Payload
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from trunkline_gateway.body import Body
from trunkline_gateway.providers.base import AttemptFailed, Terms
from trunkline_gateway.providers.event_stream import EventParser, EventReader, without
from trunkline_gateway.providers.statuses import judge
from trunkline_gateway.sse import SseParser
from trunkline_kit.clock import Clock
from trunkline_kit.errors import UpstreamError, UpstreamUnavailable
from trunkline_kit.secrets import Secret
from trunkline_kit.tracing import TRACEPARENT
from trunkline_policy.faults import FailureKind

ANSWER_BYTES_MAX = 64 * 1024 * 1024
"""Where the settings say nothing else."""
ERROR_BYTES_MAX = 64 * 1024
"""How much of an error's body is read."""
KEEP_ALIVE_S = 60.0
RESOLVE_S = 5.0
"""How long a name may take to be resolved: as long as connecting may, by default."""
EVENT_STREAM = "text/event-stream"
_ID_HEADERS = ("x-request-id", "request-id", "x-amzn-requestid", "apim-request-id")
"""Of OpenAI and most others; of Anthropic; of Amazon; of Azure."""
_SANE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_REMOVED = frozenset({200, 202, 204, 404, 410})
BASE_HEADERS = {"content-type": "application/json", "accept-encoding": "identity", "user-agent": "trunkline"}
HeaderPairs = Iterable[tuple[str, str]]


class Framing(msgspec.Struct, frozen=True):
    """How a stream is cut into events."""

    content_type: str
    open_parser: Callable[[], EventParser]


SSE = Framing(EVENT_STREAM, SseParser)


class JsonBody(Payload):
    """A body that is in memory already."""

    _autoclose = True  # Nothing to close.

    def __init__(self, body: Body, sending: Callable[[], None]) -> None:
        super().__init__(body, content_type="application/json")
        self._body = body
        self._size = len(body) if isinstance(body, bytes) else body.size_bytes
        self._sending = sending

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The whole of it, for the client's own messages."""
        return b"".join(self._slices()).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """A large one is written no faster than the provider takes it."""
        for piece in self._slices():
            await writer.write(piece)

    def _slices(self) -> Iterable[bytes | memoryview]:
        return (self._body,) if isinstance(self._body, bytes) else self._body.slices()

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:  # noqa: ARG002
        """The head goes with the first bytes of the body, so this is when anything is sent at all."""
        self._sending()
        await self.write(writer)


class Account:
    """Raises AttemptFailed, or a TrunklineError the caller must see."""

    def __init__(self, name: str, base_url: str, key: Secret, session: aiohttp.ClientSession, clock: Clock) -> None:
        self.name = name
        self.answer_bytes_max = ANSWER_BYTES_MAX
        """A longer answer is not taken."""
        self.on_refused: Callable[[], None] | None = None
        """Called when our credentials were refused, so that those which change by themselves are not sent again."""
        self._base = base_url.rstrip("/")
        self._urls: dict[str, URL] = {}
        self._key = key
        self._session = session
        self._clock = clock
        self.host = URL(self._base).host or self._base

    async def whole(self, path: str, body: Body, terms: Terms, headers: HeaderPairs = ()) -> bytes:
        """The body of a whole answer."""
        return await self._read(await self._post(path, body, terms, headers))

    async def either(self, path: str, body: Body, terms: Terms, headers: HeaderPairs = ()) -> bytes | EventReader:
        """Events if the provider sends such, else the whole: some servers do not care that a stream was asked for."""
        reply = await self._post(path, body, terms, headers)
        if reply.headers.get("content-type", "").startswith(EVENT_STREAM):
            return EventReader(self.name, reply, self._key, SseParser())
        return await self._read(reply)

    async def stream(
        self, path: str, body: Body, terms: Terms, headers: HeaderPairs = (), framing: Framing = SSE
    ) -> EventReader:
        """Events, once the provider has begun them."""
        reply = await self._post(path, body, terms, headers)
        kind = reply.headers.get("content-type", "")
        if not kind.startswith(framing.content_type):
            reply.close()
            text = f"provider {self.name!r} answered a stream with {kind or 'no content type'} instead of events"
            raise AttemptFailed(FailureKind.UNFIT, UpstreamError(text))
        return EventReader(self.name, reply, self._key, framing.open_parser())

    async def delete(self, path: str, terms: Terms, headers: HeaderPairs = ()) -> None:
        """Have something there removed; what is not there is as good as removed."""
        url = URL(self._base + path, encoded=True)
        timeout = client_timeout(terms.connect_s)
        try:
            async with asyncio.timeout(terms.total_s):
                reply = await self._session.delete(url, headers=dict(headers), timeout=timeout, allow_redirects=False)
        except (aiohttp.ClientError, OSError) as error:
            raise self._broken("cannot be reached", error) from error
        if reply.status in _REMOVED:
            reply.release()
        else:
            raise await self._judged(reply)

    async def _post(self, path: str, body: Body, terms: Terms, headers: HeaderPairs) -> aiohttp.ClientResponse:
        sent = dict(headers)
        if terms.traceparent:
            sent[TRACEPARENT] = terms.traceparent
        terms.witness.connecting()
        try:
            reply = await self._session.post(
                self._url(path),
                data=JsonBody(body, terms.witness.sending),
                headers=sent or None,
                timeout=client_timeout(terms.connect_s),
                allow_redirects=False,
            )
        except (aiohttp.ClientError, OSError) as error:
            raise self._broken("cannot be reached", error) from error
        if said := request_id_in(reply.headers):
            terms.witness.heard(self.without_key(said.encode()).decode())
        if reply.status != 200:
            raise await self._judged(reply)
        return reply

    async def _read(self, reply: aiohttp.ClientResponse) -> bytes:
        try:
            return await read(reply, self.answer_bytes_max)
        except (aiohttp.ClientError, OSError) as error:
            raise self._broken("was cut off in mid-answer", error) from error
        finally:
            reply.release()

    def _url(self, path: str) -> URL:
        """Parsed once: paths are few."""
        known = self._urls.get(path)
        if known is None:
            known = self._urls[path] = URL(self._base + path, encoded=True)
        return known

    def without_key(self, said: bytes) -> bytes:
        """What a provider says of an error, without our key."""
        return without(self._key, said)

    async def _judged(self, reply: aiohttp.ClientResponse) -> Exception:
        try:
            data = await read(reply, ERROR_BYTES_MAX)
        except (aiohttp.ClientError, OSError, AttemptFailed):
            data = b""
        finally:
            reply.release()
        found = judge(self.name, reply.status, reply.headers, without(self._key, data), self._clock.now_s())
        if self.on_refused is not None and isinstance(found, AttemptFailed) and found.kind is FailureKind.ACCOUNT:
            self.on_refused()
        return found

    def _broken(self, what: str, error: Exception) -> AttemptFailed:
        text = f"provider {self.name!r} {what}: {type(error).__name__}"
        kind = FailureKind.SILENT if isinstance(error, TimeoutError) else FailureKind.BROKEN
        return AttemptFailed(kind, UpstreamUnavailable(text))


def request_id_in(headers: Mapping[str, str]) -> str:
    """The provider's own id of a request; empty where it says none that may be repeated in a header of ours."""
    for name in _ID_HEADERS:
        if (said := headers.get(name)) is not None:
            return said if _SANE_ID.fullmatch(said) else ""
    return ""


async def read(reply: aiohttp.ClientResponse, limit_bytes: int) -> bytes:
    """The whole body. Raises AttemptFailed for one over `limit_bytes`."""
    pieces: list[bytes] = []
    size_bytes = 0
    if (reply.content_length or 0) > limit_bytes:
        raise _too_long(reply, limit_bytes)
    while piece := await reply.content.readany():
        pieces.append(piece)
        size_bytes += len(piece)
        if size_bytes > limit_bytes:
            raise _too_long(reply, limit_bytes)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _too_long(reply: aiohttp.ClientResponse, limit_bytes: int) -> AttemptFailed:
    """What to say of it, once it is cut."""
    reply.close()
    return AttemptFailed(FailureKind.UNFIT, UpstreamError(f"the answer is longer than {limit_bytes} bytes"))


@lru_cache(maxsize=64)
def client_timeout(connect_s: float) -> aiohttp.ClientTimeout:
    """Only the connecting clock is aiohttp's; the others are the attempt's."""
    return aiohttp.ClientTimeout(total=None, connect=None, sock_connect=connect_s, sock_read=None)


class BoundedResolver(ThreadedResolver):
    """Asks the system for addresses, and not for ever: aiohttp's connecting clock begins when it has them."""

    def __init__(self, patience_s: float = RESOLVE_S) -> None:
        super().__init__()
        self._patience_s = patience_s

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Raises OSError; TimeoutError among them."""
        async with asyncio.timeout(self._patience_s):
            return await super().resolve(host, port, family)


@asynccontextmanager
async def open_session(headers: Mapping[str, str], connections: int) -> AsyncIterator[aiohttp.ClientSession]:
    """Never follows the environment, keeps no cookies, unpacks nothing."""
    connector = aiohttp.TCPConnector(limit=connections, keepalive_timeout=KEEP_ALIVE_S, resolver=BoundedResolver())
    async with aiohttp.ClientSession(
        connector=connector,
        headers={**BASE_HEADERS, **headers},
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
    ) as session:
        yield session
