"""OpenAI, and every server that speaks its dialect: the caller's bytes go out, the provider's bytes come back."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import quote

import msgspec
from msgspec import structs

from trunkline_gateway.chunks import Chunk, chunk_of, look, usage_in
from trunkline_gateway.openai_types import ChatControl, CompletionControl, MessagesControl, ResponsesControl
from trunkline_gateway.plan import Target
from trunkline_gateway.providers import native_responses
from trunkline_gateway.providers.accents import PLAIN, Accent, accent_of
from trunkline_gateway.providers.base import Answer, AttemptFailed, Call, ChunkStream, Provider, Terms
from trunkline_gateway.providers.event_stream import EventReader
from trunkline_gateway.providers.foreign import ReadEvents
from trunkline_gateway.providers.http_account import Account, open_session
from trunkline_gateway.providers.native_responses import NativeEvents
from trunkline_gateway.providers.reranking import Reranking, compatible_endpoint
from trunkline_gateway.providers.statuses import in_stream
from trunkline_gateway.sse import DONE
from trunkline_gateway.surface import Surface
from trunkline_kit.clock import Clock
from trunkline_kit.errors import Unsupported, UpstreamError, UpstreamRefused
from trunkline_kit.providers import Assemble, OpenAIProvider, address_of, settled
from trunkline_kit.secrets import Secret, resolve
from trunkline_policy.faults import FailureKind

_STREAM_FIELDS = frozenset({"stream", "stream_options", "stream_options.include_usage"})
_NOT_GIVEN = frozenset({b"null", b"[]"})
_ENDS = (b"data: [DONE]", b"data:[DONE]")


class OpenAICompatible:
    """One account. The caller's headers are never passed on."""

    kind = "openai"

    def __init__(self, account: Account, assemble: Assemble, accent: Accent = PLAIN) -> None:
        self.name = account.name
        self._accent = accent
        self._account = account
        self._assemble = assemble
        self._unstreamable: set[str] = set()
        """Models that refuse to be streamed, or answer whole all the same."""

    async def whole(self, call: Call, target: Target, terms: Terms) -> "Answer | EventStream":
        if call.surface is Surface.RERANK:
            text = f"provider {self.name!r} has nothing that reranks"
            raise AttemptFailed(FailureKind.UNFIT, Unsupported(text, param="model"))
        path, headers = self._accent.path(call.surface, target), await self._accent.headers()
        if call.surface is Surface.RESPONSES:
            data = await self._account.whole(path, native_responses.body_of(call, target), terms, headers)
            return native_responses.answer_of(self.name, data, self._account.without_key)
        if self.streams_whole(call, target):
            body = self._accent.body(call, target, as_stream=True)
            try:
                found = await self._account.either(path, body, terms, headers)
            except UpstreamRefused as error:
                if error.param not in _STREAM_FIELDS:
                    raise
                # Some models may only be streamed by accounts that have proved who they are.
                self._unstreamable.add(target.provider_model)
            else:
                if isinstance(found, EventReader):
                    return EventStream(found)
                self._unstreamable.add(target.provider_model)
                return self._answer(found)
        return self._answer(await self._account.whole(path, self._accent.body(call, target), terms, headers))

    async def stream(self, call: Call, target: Target, terms: Terms) -> ChunkStream:
        path, headers = self._accent.path(call.surface, target), await self._accent.headers()
        if call.surface is Surface.RESPONSES:
            body = native_responses.body_of(call, target)
            reader = await self._account.stream(path, body, terms, headers)
            return ReadEvents(reader, NativeEvents(), native_responses.is_last)
        body = self._accent.body(call, target, as_stream=True)
        return EventStream(await self._account.stream(path, body, terms, headers))

    async def forget(self, response_id: str, terms: Terms) -> None:
        """Have a response removed that the account keeps. Raises AttemptFailed, InvalidRequest."""
        # No model has a place of its own here.
        place, mark, query = self._accent.path(Surface.RESPONSES, Target("", self.name, "")).partition("?")
        path = f"{place}/{quote(response_id, safe='')}{mark}{query}"
        await self._account.delete(path, terms, await self._accent.headers())

    def streams_whole(self, call: Call, target: Target) -> bool:
        if self._assemble is Assemble.NEVER or target.provider_model in self._unstreamable:
            return False
        return can_assemble(call, always=self._assemble is Assemble.ALWAYS)

    async def check(self, provider_model: str) -> str | None:  # noqa: ARG002 - the Protocol's
        """Always fit: only a request shows whether a foreign provider answers, and asking costs its rate."""
        return f"{self._account.host}, not probed"

    def _answer(self, data: bytes) -> Answer:
        """Raises AttemptFailed for a whole answer that is not one, though it came with 200."""
        try:
            seen = look(data)
        except UpstreamError as error:
            raise AttemptFailed(FailureKind.BROKEN, error) from error
        if not seen.choices and not seen.data:
            if bytes(seen.error) != b"null":
                raise in_stream(self.name, self._account.without_key(bytes(seen.error)))
            text = f"provider {self.name!r} answered with nothing"
            raise AttemptFailed(FailureKind.BROKEN, UpstreamError(text))
        return Answer(body=data, usage=usage_in(seen.usage))


class EventStream:
    """A provider's stream: whatever has arrived is looked at together."""

    __slots__ = ("_done", "_reader")

    def __init__(self, reader: EventReader) -> None:
        self._reader = reader
        self._done = False

    async def next(self) -> list[Chunk] | None:
        while not self._done:
            found = await self._reader.next()
            if found is None:
                self._done = True
            elif chunks := self._chunks(found):
                return chunks
        return None

    def _chunks(self, found: list[bytes]) -> list[Chunk]:
        if found[-1] == DONE or DONE in found:
            self._done = True
            found = found[: found.index(DONE)]
        return [self._chunk(data) for data in found]

    def _chunk(self, data: bytes) -> Chunk:
        chunk = chunk_of(data)
        return structs.replace(chunk, error=self._reader.without_key(chunk.error)) if chunk.error else chunk

    async def more(self, pause_s: float) -> int | None:
        return None if self._done else await self._reader.more(pause_s, _ENDS)

    def rest(self) -> list[bytes]:
        found = self._reader.rest()
        return found[: found.index(DONE)] if DONE in found else found

    def ending(self) -> list[Chunk]:
        return []

    def translated(self, answer: Answer) -> Answer:
        return answer

    async def release(self) -> None:
        await self._reader.release()

    def cut(self) -> None:
        self._reader.cut()


def can_assemble(call: Call, *, always: bool) -> bool:
    """Whether a whole answer can be put together from a stream so that nobody sees a difference.

    Embeddings cannot be streamed, and sound is streamed in another format. Servers that parse tool calls out of text
    do so worse in streams, and several choices are asked for too rarely to be trusted: those only `always`.
    """
    control = call.control
    if isinstance(control, CompletionControl):
        return always and call.choices == 1
    if isinstance(control, (MessagesControl, ResponsesControl)):
        return always or not _given(control.tools)
    if not isinstance(control, ChatControl) or _given(control.audio):
        return False
    return always or not (call.choices > 1 or _given(control.tools) or _given(control.functions))


def _given(member: msgspec.Raw) -> bool:
    return bytes(member) not in _NOT_GIVEN


@asynccontextmanager
async def open_openai(
    name: str, settings: OpenAIProvider, environment: Mapping[str, str], clock: Clock, connections: int
) -> AsyncIterator[Provider]:
    """Raises ConfigError for a key that is not there."""
    settings = settled(settings)
    key = Secret("") if settings.api_key is None else resolve(settings.api_key, environment)
    headers = {"authorization": f"Bearer {key.reveal()}"} if key.reveal() else {}
    async with open_session(headers, connections) as session:
        account = Account(name, address_of(settings), key, session, clock)
        account.answer_bytes_max = settings.response_limit_bytes
        provider = OpenAICompatible(account, settings.assemble_streams, accent_of(settings.preset))
        yield Reranking(provider, compatible_endpoint(account, settings.rerank))
