"""OpenAI, and every server that speaks its dialect: the caller's bytes go out, the provider's bytes come back."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache

import aiohttp
from aiohttp.payload import BytesPayload, Payload
from msgspec import structs
from yarl import URL

from trunkline_gateway import body as bodies
from trunkline_gateway.chunks import Chunk, chunk_of, look, usage_in
from trunkline_gateway.plan import FailureKind, Target
from trunkline_gateway.providers.base import Answer, AttemptFailed, Call, Provider, Terms
from trunkline_gateway.providers.statuses import in_stream, judge
from trunkline_gateway.sse import DONE, SseParser
from trunkline_gateway.surface import PATHS
from trunkline_kit.clock import Clock
from trunkline_kit.errors import UpstreamError, UpstreamUnavailable
from trunkline_kit.redaction import REDACTED
from trunkline_kit.secrets import Secret, resolve
from trunkline_kit.settings import OpenAIProvider
from trunkline_kit.tracing import TRACEPARENT

ANSWER_BYTES_MAX = 64 * 1024 * 1024
"""A longer answer is not taken."""
ERROR_BYTES_MAX = 64 * 1024
"""How much of an error's body is read."""
KEEP_ALIVE_S = 60.0
END_OF_BODY_S = 1.0
"""How long a provider may take to end a body after `[DONE]`, while the caller has all of it already."""
_EVENT_STREAM = "text/event-stream"
_BASE_HEADERS = {"content-type": "application/json", "accept-encoding": "identity", "user-agent": "trunkline"}


class OpenAICompatible:
    """One account. Holds one session for its whole life; the caller's headers are never passed on."""

    kind = "openai"

    def __init__(
        self, name: str, settings: OpenAIProvider, key: Secret, session: aiohttp.ClientSession, clock: Clock
    ) -> None:
        self.name = name
        self._key = key
        self._session = session
        self._clock = clock
        base = settings.base_url.rstrip("/")
        self._urls = {surface: URL(base + path, encoded=True) for surface, path in PATHS.items()}
        self._host = URL(base).host or base

    async def whole(self, call: Call, target: Target, terms: Terms) -> Answer:
        reply = await self._post(call, target, terms)
        try:
            data = await _read(reply, ANSWER_BYTES_MAX)
        except (aiohttp.ClientError, OSError) as error:
            raise self._broken("was cut off in mid-answer", error) from error
        finally:
            reply.release()
        return _answer_of(self.name, data, self._key)

    async def stream(self, call: Call, target: Target, terms: Terms) -> "EventStream":
        reply = await self._post(call, target, terms)
        kind = reply.headers.get("content-type", "")
        if not kind.startswith(_EVENT_STREAM):
            reply.close()
            text = f"provider {self.name!r} answered a stream with {kind or 'no content type'} instead of events"
            raise AttemptFailed(FailureKind.UNFIT, UpstreamError(text))
        return EventStream(self.name, reply, self._key)

    async def check(self, provider_model: str) -> str | None:  # noqa: ARG002 - the Protocol's
        """Always fit: only a request shows whether a foreign provider answers, and asking costs its rate."""
        return f"{self._host}, not probed"

    async def _post(self, call: Call, target: Target, terms: Terms) -> aiohttp.ClientResponse:
        ask_usage = call.wants_stream and not call.wants_usage
        body = bodies.rebuilt(call.body, target.provider_model, ask_usage=ask_usage)
        headers = {TRACEPARENT: terms.traceparent} if terms.traceparent else None
        try:
            reply = await self._session.post(
                self._urls[call.surface],
                data=JsonBody(body),
                headers=headers,
                timeout=_client_timeout(terms.connect_s),
                allow_redirects=False,
            )
        except (aiohttp.ClientError, OSError) as error:
            raise self._broken("cannot be reached", error) from error
        if reply.status != 200:
            raise await self._judged(reply)
        return reply

    async def _judged(self, reply: aiohttp.ClientResponse) -> Exception:
        try:
            data = await _read(reply, ERROR_BYTES_MAX)
        except (aiohttp.ClientError, OSError, AttemptFailed):
            data = b""
        finally:
            reply.release()
        return judge(self.name, reply.status, reply.headers, without(self._key, data), self._clock.now_s())

    def _broken(self, what: str, error: Exception) -> AttemptFailed:
        text = f"provider {self.name!r} {what}: {type(error).__name__}"
        kind = FailureKind.SILENT if isinstance(error, TimeoutError) else FailureKind.BROKEN
        return AttemptFailed(kind, UpstreamUnavailable(text))


class JsonBody(BytesPayload):
    """A body that is in memory already. aiohttp's own warns of a large one, which for us is every agent's."""

    def __init__(self, body: bytes) -> None:
        Payload.__init__(self, body, content_type="application/json")
        self._size = len(body)


class EventStream:
    """A provider's stream: whatever has arrived is looked at together."""

    __slots__ = ("_done", "_key", "_parser", "_provider", "_reply")

    def __init__(self, provider: str, reply: aiohttp.ClientResponse, key: Secret) -> None:
        self._provider = provider
        self._key = key
        self._reply = reply
        self._parser = SseParser()
        self._done = False

    async def next(self) -> list[Chunk] | None:
        while not self._done:
            try:
                piece = await self._reply.content.readany()
            except (aiohttp.ClientError, OSError) as error:
                raise UpstreamError(f"provider {self._provider!r} was cut off in mid-stream") from error
            if piece:
                found = self._parser.feed(piece)
            else:
                self._done = True
                found = self._parser.close()
            if found:
                return self._chunks(found)
        return None

    def _chunks(self, found: list[bytes]) -> list[Chunk]:
        if found[-1] == DONE or DONE in found:
            self._done = True
            found = found[: found.index(DONE)]
        return [self._chunk(data) for data in found]

    def _chunk(self, data: bytes) -> Chunk:
        chunk = chunk_of(data)
        return structs.replace(chunk, error=without(self._key, chunk.error)) if chunk.error else chunk

    async def release(self) -> None:
        """After `[DONE]` only the body's end is left to read, and the connection can serve the next request."""
        content = self._reply.content
        try:
            async with asyncio.timeout(END_OF_BODY_S):
                while not content.at_eof():
                    await content.readany()
        except (TimeoutError, aiohttp.ClientError, OSError):
            self._reply.close()

    def cut(self) -> None:
        self._reply.close()


def without(key: Secret, said: bytes) -> bytes:
    """What a provider says of an error, without our key: some repeat it, and the caller may get to read it."""
    value = key.reveal().encode()
    return said.replace(value, REDACTED.encode()) if value else said


def _answer_of(provider: str, data: bytes, key: Secret) -> Answer:
    """Raises AttemptFailed for a whole answer that is not one, though it came with 200."""
    try:
        seen = look(data)
    except UpstreamError as error:
        raise AttemptFailed(FailureKind.BROKEN, error) from error
    if not seen.choices and not seen.data:
        if bytes(seen.error) != b"null":
            raise in_stream(provider, without(key, bytes(seen.error)))
        raise AttemptFailed(FailureKind.BROKEN, UpstreamError(f"provider {provider!r} answered with nothing"))
    return Answer(body=data, usage=usage_in(seen.usage))


async def _read(reply: aiohttp.ClientResponse, limit_bytes: int) -> bytes:
    """The whole body. Raises AttemptFailed for one over `limit_bytes`."""
    pieces: list[bytes] = []
    size_bytes = 0
    while piece := await reply.content.readany():
        pieces.append(piece)
        size_bytes += len(piece)
        if size_bytes > limit_bytes:
            reply.close()
            raise AttemptFailed(FailureKind.UNFIT, UpstreamError(f"the answer is longer than {limit_bytes} bytes"))
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


@lru_cache(maxsize=64)
def _client_timeout(connect_s: float) -> aiohttp.ClientTimeout:
    """Only the connecting clock is aiohttp's; the others are the attempt's."""
    return aiohttp.ClientTimeout(total=None, connect=None, sock_connect=connect_s, sock_read=None)


@asynccontextmanager
async def open_openai(
    name: str, settings: OpenAIProvider, environment: Mapping[str, str], clock: Clock, connections: int
) -> AsyncIterator[Provider]:
    """Raises ConfigError for a key that is not there."""
    key = Secret("") if settings.api_key is None else resolve(settings.api_key, environment)
    headers = dict(_BASE_HEADERS)
    if key.reveal():
        headers["authorization"] = f"Bearer {key.reveal()}"
    connector = aiohttp.TCPConnector(limit=connections, keepalive_timeout=KEEP_ALIVE_S)
    async with aiohttp.ClientSession(
        connector=connector,
        headers=headers,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
    ) as session:
        yield OpenAICompatible(name, settings, key, session, clock)
