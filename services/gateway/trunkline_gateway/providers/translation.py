"""One call between two dialects: what goes out, and what comes back piece by piece. Pure."""

from collections.abc import Callable, Sequence

import msgspec

from trunkline_gateway import body as bodies
from trunkline_gateway.chunks import MALFORMED as NONSENSE
from trunkline_gateway.chunks import Chunk
from trunkline_gateway.dialects.abilities import Abilities, narrowed
from trunkline_gateway.dialects.canonical import Request
from trunkline_gateway.dialects.events import MALFORMED, ErrorEvent, Event, Finish, Other, Usage, is_meaningful
from trunkline_gateway.dialects.frames import Frame, Head, wire
from trunkline_gateway.dialects.matrix import PAIRS, Pair
from trunkline_gateway.dialects.openai_usage import openai_usage
from trunkline_gateway.plan import FailureKind, Target
from trunkline_gateway.providers.base import Answer, AttemptFailed, Call
from trunkline_gateway.providers.statuses import in_stream
from trunkline_gateway.sse import DONE
from trunkline_gateway.surface import Surface
from trunkline_kit.errors import UpstreamError

CLIENTS = {Surface.CHAT: "chat", Surface.MESSAGES: "messages", Surface.RESPONSES: "responses"}
"""Surfaces that can be translated, and their names in the matrix."""
_ID_PREFIXES = {Surface.CHAT: "chatcmpl-", Surface.MESSAGES: "msg_", Surface.RESPONSES: "resp_"}

EncodeRequest = Callable[[Request, Abilities, str], bytes]
"""Of the request, the target's abilities and the provider's name for the model."""

_encode_error = msgspec.json.Encoder().encode


class ErrorObject(msgspec.Struct, frozen=True):
    """An error inside a stream as OpenAI writes it, which is how errors are judged here."""

    message: str
    type: str = ""
    code: str = ""


def error_object(event: ErrorEvent) -> bytes:
    """The error of a stream, for `statuses.in_stream`."""
    return _encode_error(ErrorObject(event.message, event.type, event.code))


def _asked(call: Call) -> bytes:
    """The request as its answer repeats it: as it was sent, and what it continued by name."""
    if not call.continues:
        return call.body
    named = msgspec.Raw(msgspec.json.encode(call.continues))
    return msgspec.json.encode({**bodies.members_of(call.body), "previous_response_id": named})


class Translation:
    """Of one call to one provider."""

    def __init__(self, call: Call, provider: str, created_s: int) -> None:
        self._pair: Pair = PAIRS[CLIENTS[call.surface], provider]
        self._call = call
        spare = f"{_ID_PREFIXES[call.surface]}{call.request_id}"
        self._head = Head(
            id=call.answer_id, spare_id=spare, model=call.control.model, created=created_s, usage_in_stream=True
        )

    @property
    def spare_id(self) -> str:
        """The answer's id where the provider has none of its own, spelt as the caller's dialect spells them."""
        return self._head.spare_id

    def request(self, target: Target, abilities: Abilities | None = None, encode: EncodeRequest | None = None) -> bytes:
        """The body for the provider. Raises InvalidRequest, Unsupported for what cannot be said in its dialect.

        `encode`, where a server wants it otherwise than its protocol has it.
        """
        provider = self._pair.provider
        request = self._pair.client.decode_request(self._call.body)
        able = narrowed(abilities or provider.abilities, target.profile)
        return (encode or provider.encode_request)(request, able, target.provider_model)

    def answer(self, data: bytes, provider_name: str) -> Answer:
        """A whole answer in the caller's dialect. Raises AttemptFailed for one that is none."""
        try:
            found = self._pair.provider.decode_answer(data)
        except UpstreamError as error:
            text = f"provider {provider_name!r} answered with something unusable: {error.message}"
            raise AttemptFailed(FailureKind.BROKEN, UpstreamError(text)) from error
        if found.error is not None:
            raise in_stream(provider_name, error_object(found.error))
        body = self._pair.client.encode_answer(found, self._head, _asked(self._call))
        return Answer(body=body, usage=openai_usage(found.usage) if found.usage is not None else None)

    def stream(self) -> "StreamTranslation":
        """A stream, from its beginning."""
        return StreamTranslation(self._pair, self._head, self._call)


class StreamTranslation:
    """Feed it the data of the provider's events; out come chunks in the caller's dialect, the same for every cutting.

    Data of dialects that name their events are whole events, as they go over the wire.
    """

    def __init__(self, pair: Pair, head: Head, call: Call) -> None:
        self._decoder = pair.provider.open_stream()
        self._encoder = pair.client.open_stream(head, _asked(call))
        self._named = call.surface is not Surface.CHAT
        self._open = call.choices
        self.malformed = 0
        """Events that nobody could read."""

    def feed(self, datas: Sequence[bytes]) -> list[Chunk]:
        """What these events of the provider come to."""
        return [chunk for data in datas for event in self._decoder.feed(data) for chunk in self._chunks(event)]

    def close(self) -> list[Chunk]:
        """What is left at the end of the provider's stream; the end of the answer itself only if it is complete."""
        chunks = [chunk for event in self._decoder.close() for chunk in self._chunks(event)]
        if self._open <= 0:
            chunks += self._framed(self._encoder.end())
        return chunks

    def _chunks(self, event: Event) -> list[Chunk]:
        if isinstance(event, ErrorEvent):
            return [Chunk(b"", error=error_object(event))]
        if isinstance(event, Other) and event.type == MALFORMED:
            self.malformed += 1
            return [NONSENSE]
        frames = self._encoder.encode([event])
        finished = (event.choice,) if isinstance(event, Finish) else ()
        self._open -= len(finished)
        usage = openai_usage(event) if isinstance(event, Usage) else None
        chunks = self._framed(frames, meaningful=is_meaningful(event))
        if usage is not None and chunks and not self._named:
            # As OpenAI has it: a chunk of its own, which callers get who asked for it.
            return [*chunks[:-1], Chunk(chunks[-1].data, usage=usage, bare_usage=True)]
        if not finished and usage is None:
            return chunks
        mark = Chunk(b"", finished, usage, bare_usage=usage is not None, meaningful=bool(finished))
        return [*chunks, mark]

    def _framed(self, frames: Sequence[Frame], *, meaningful: bool = True) -> list[Chunk]:
        """`[DONE]` is the sink's to say."""
        found = [frame for frame in frames if frame.data != DONE]
        if self._named:
            return [Chunk(wire(found), meaningful=meaningful)] if found else []
        return [Chunk(frame.data, meaningful=meaningful) for frame in found]
