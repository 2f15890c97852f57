"""Anthropic's Messages API: its own dialect passes through byte for byte, chat completions are translated.

Source: Anthropic API reference, "Messages" and "Streaming messages" (read 2026-11-24).
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import msgspec
from msgspec import Raw

from trunkline_gateway import body as bodies
from trunkline_gateway.chunks import MALFORMED as NONSENSE
from trunkline_gateway.chunks import Chunk
from trunkline_gateway.dialects import anthropic_answers
from trunkline_gateway.dialects.events import MALFORMED, ErrorEvent, Finish, Other, Usage, is_meaningful
from trunkline_gateway.dialects.frames import Frame, wire
from trunkline_gateway.dialects.openai_usage import openai_usage
from trunkline_gateway.plan import FailureKind, Target
from trunkline_gateway.providers.base import Answer, AttemptFailed, Call, ChunkStream, Provider, Terms
from trunkline_gateway.providers.foreign import ReadEvents
from trunkline_gateway.providers.http_account import Account, open_session
from trunkline_gateway.providers.statuses import in_stream
from trunkline_gateway.providers.translation import CLIENTS, Translation, error_object
from trunkline_gateway.surface import Surface
from trunkline_kit.clock import Clock
from trunkline_kit.errors import Unsupported, UpstreamError
from trunkline_kit.providers import AnthropicProvider
from trunkline_kit.secrets import Secret, resolve

VERSION = "2023-06-01"
_PATH = "/v1/messages"
_COUNT_PATH = "/v1/messages/count_tokens"
_LAST = "message_stop"
LAST_WORD = Chunk(wire([Frame(b'{"type":"message_stop"}', _LAST)]))


class _Named(msgspec.Struct, frozen=True):
    type: str = ""


class _Whole(msgspec.Struct, frozen=True):
    """Of a whole answer: what decides what we do."""

    type: str = ""
    error: Raw = Raw(b"null")


class _Count(msgspec.Struct, frozen=True):
    input_tokens: int


_decode_count = msgspec.json.Decoder(_Count).decode
_decode_name = msgspec.json.Decoder(_Named).decode
_decode_whole = msgspec.json.Decoder(_Whole).decode


class Anthropic:
    """One account."""

    kind = "anthropic"

    def __init__(self, account: Account, clock: Clock) -> None:
        self.name = account.name
        self._account = account
        self._clock = clock

    async def whole(self, call: Call, target: Target, terms: Terms) -> Answer:
        translation = self._translation(call)
        data = await self._account.whole(_PATH, self._body(call, target, translation), terms, call.passed_on)
        _check(self.name, data)
        if translation is not None:
            return translation.answer(data, self.name)
        usage = anthropic_answers.decode_answer(data).usage
        return Answer(body=data, usage=None if usage is None else openai_usage(usage))

    async def stream(self, call: Call, target: Target, terms: Terms) -> ChunkStream:
        translation = self._translation(call)
        body = self._body(call, target, translation)
        reader = await self._account.stream(_PATH, body, terms, call.passed_on)
        return ReadEvents(reader, NativeStream() if translation is None else translation.stream(), _is_last)

    async def count_tokens(self, call: Call, target: Target, terms: Terms) -> bytes:
        """Free there, at a rate of its own. Raises what `whole` raises."""
        body = bodies.rebuilt(call.body, target.provider_model, ask_usage=False)
        data = await self._account.whole(_COUNT_PATH, body, terms, call.passed_on)
        try:
            _decode_count(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            text = f"provider {self.name!r} answered with no count"
            raise AttemptFailed(FailureKind.BROKEN, UpstreamError(text)) from error
        return data

    def streams_whole(self, call: Call, target: Target) -> bool:  # noqa: ARG002 - the Protocol's
        """Not yet: its events come together in another way."""
        return False

    async def check(self, provider_model: str) -> str | None:  # noqa: ARG002 - the Protocol's
        """Always fit: only a request shows whether a foreign provider answers, and asking costs its rate."""
        return f"{self._account.host}, not probed"

    def _translation(self, call: Call) -> Translation | None:
        """None for a call in Anthropic's own dialect. Raises AttemptFailed for what it has no words for."""
        if call.surface is Surface.MESSAGES:
            return None
        if call.surface not in CLIENTS:
            text = f"provider {self.name!r} answers conversations only, no {call.surface.value}s"
            raise AttemptFailed(FailureKind.UNFIT, Unsupported(text, param="model"))
        return Translation(call, "anthropic", int(self._clock.now_s()))

    def _body(self, call: Call, target: Target, translation: Translation | None) -> bodies.Body:
        if translation is not None:
            return translation.request(target)
        return bodies.rebuilt(call.body, target.provider_model, ask_usage=False)


class NativeStream:
    """Events as they came, looked at for what they mean."""

    def __init__(self) -> None:
        self._decoder = anthropic_answers.StreamDecoder()
        self._lacks_last = False
        """It is complete, but has not said so."""

    def feed(self, datas: Sequence[bytes]) -> list[Chunk]:
        return [self._chunk(data) for data in datas]

    def close(self) -> list[Chunk]:
        """Usage is known when all has been said; the last word of a complete answer is added where it never came."""
        used = [event for event in self._decoder.close() if isinstance(event, Usage)]
        chunks = [Chunk(b"", usage=openai_usage(event), bare_usage=True) for event in used]
        return [*chunks, LAST_WORD] if self._lacks_last else chunks

    def _chunk(self, data: bytes) -> Chunk:
        events = self._decoder.feed(data)
        if any(isinstance(event, Other) and event.type == MALFORMED for event in events):
            return NONSENSE
        errors = [event for event in events if isinstance(event, ErrorEvent)]
        if errors:
            return Chunk(b"", error=error_object(errors[0]))
        used = [event for event in events if isinstance(event, Usage)]
        finished = tuple(event.choice for event in events if isinstance(event, Finish))
        name = name_of(data)
        self._lacks_last = bool(finished) or (self._lacks_last and name != _LAST)
        return Chunk(
            wire([Frame(data, name)]),
            finished=finished,
            usage=openai_usage(used[-1]) if used else None,
            meaningful=any(is_meaningful(event) for event in events),
        )


def _is_last(data: bytes) -> bool:
    return name_of(data) == _LAST


def name_of(data: bytes) -> str:
    """An event's name, which its data say too; empty for data that are none of this dialect."""
    try:
        return _decode_name(data).type
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def _check(provider: str, data: bytes) -> None:
    """Raises AttemptFailed for a whole answer that is not one, though it came with 200."""
    try:
        seen = _decode_whole(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise AttemptFailed(FailureKind.BROKEN, UpstreamError(f"provider {provider!r} sent no JSON")) from error
    if seen.type == "error":
        raise in_stream(provider, bytes(seen.error))
    if seen.type != "message":
        raise AttemptFailed(FailureKind.BROKEN, UpstreamError(f"provider {provider!r} answered with no message"))


@asynccontextmanager
async def open_anthropic(
    name: str, settings: AnthropicProvider, environment: Mapping[str, str], clock: Clock, connections: int
) -> AsyncIterator[Provider]:
    """Raises ConfigError for a key that is not there."""
    key = Secret("") if settings.api_key is None else resolve(settings.api_key, environment)
    headers = {"anthropic-version": VERSION}
    if key.reveal():
        headers["x-api-key"] = key.reveal()
    async with open_session(headers, connections) as session:
        yield Anthropic(Account(name, settings.base_url, key, session, clock), clock)
