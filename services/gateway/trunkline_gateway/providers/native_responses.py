"""OpenAI's Responses at an account that speaks them itself: bytes pass through, and are looked at for what they mean.

Source: OpenAI API reference, "Responses" and "Streaming events" (read 2026-11-24).
"""

from collections.abc import Callable, Sequence

import msgspec
from msgspec import Raw

from trunkline_gateway import body as bodies
from trunkline_gateway.chunks import MALFORMED, Chunk, lenient
from trunkline_gateway.dialects.frames import Frame, wire
from trunkline_gateway.plan import FailureKind, Target
from trunkline_gateway.providers.base import Answer, AttemptFailed, Call
from trunkline_gateway.providers.statuses import in_stream
from trunkline_gateway.providers.translation import ErrorObject
from trunkline_gateway.sse import DONE
from trunkline_gateway.usage import CompletionDetails, PromptDetails
from trunkline_gateway.usage import Usage as OpenAIUsage
from trunkline_kit.errors import UpstreamError

_NULL = Raw(b"null")
_SEALED = b'"trunkline.'
"""How a proof begins that is none of this dialect's; see `dialects.proofs`."""
_PREAMBLE = frozenset(
    {
        "response.created",
        "response.queued",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.reasoning_summary_part.added",
    }
)
"""Events that say nothing yet."""
_ENDS = frozenset({"response.completed", "response.incomplete"})
_UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _InputDetails(msgspec.Struct, frozen=True):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _OutputDetails(msgspec.Struct, frozen=True):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct, frozen=True):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None


class _Error(msgspec.Struct, frozen=True):
    message: str | None = None
    code: str | int | None = None
    type: str | None = None


class _Response(msgspec.Struct, frozen=True):
    object: str | None = None
    status: str | None = None
    error: _Error | None = None
    usage: Raw = _NULL


class _Event(msgspec.Struct, frozen=True):
    """Of any type."""

    type: str
    message: str | None = None
    code: str | int | None = None
    error: _Error | None = None
    response: Raw = _NULL


class _Look(msgspec.Struct, frozen=True):
    type: str | None = None
    encrypted_content: str | None = None


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_response = msgspec.json.Decoder(_Response).decode
_decode_usage = msgspec.json.Decoder(_Usage, strict=False).decode
_encode = msgspec.json.Encoder().encode


def body_of(call: Call, target: Target) -> bodies.Body:
    """The caller's own, but for the model's name and for thoughts of other providers' models. Raises InvalidRequest."""
    body = _without_foreign_thoughts(call.body) if _SEALED in call.body else call.body
    return bodies.rebuilt(body, target.provider_model, ask_usage=False)


def _without_foreign_thoughts(body: bytes) -> bytes:
    members = bodies.members_of(body)
    try:
        items = msgspec.json.decode(bytes(members.get("input", _NULL)), type=list[Raw])
        kept = [item for item in items if not _is_foreign(msgspec.json.decode(bytes(item), type=_Look))]
    except _UNDECODABLE:
        # Of a shape that is the provider's to judge.
        return body
    return _encode({**members, "input": kept})


def _is_foreign(item: _Look) -> bool:
    return item.type == "reasoning" and (item.encrypted_content or "").startswith(_SEALED[1:].decode())


def answer_of(provider: str, data: bytes, without_key: Callable[[bytes], bytes]) -> Answer:
    """A whole answer. Raises AttemptFailed for one that is none, though it came with 200."""
    try:
        seen = _decode_response(lenient(data))
    except _UNDECODABLE as error:
        raise _broken(f"provider {provider!r} sent no JSON of OpenAI's Responses") from error
    if seen.error is not None:
        raise in_stream(provider, without_key(_error_object(seen.error)))
    if seen.object != "response" or seen.status == "failed":
        raise _broken(f"provider {provider!r} answered with no response")
    return Answer(body=data, usage=_usage(seen.usage))


def _broken(text: str) -> AttemptFailed:
    return AttemptFailed(FailureKind.BROKEN, UpstreamError(text))


class NativeEvents:
    """Events as they came, looked at for what they mean."""

    def feed(self, datas: Sequence[bytes]) -> list[Chunk]:
        return [_chunk(data) for data in datas if data != DONE]

    def close(self) -> list[Chunk]:
        """There is nothing to add: a stream without its last event is broken."""
        return []


def is_last(data: bytes) -> bool:
    """Whether nothing comes after it."""
    try:
        return data == DONE or _decode_event(data).type in _ENDS
    except _UNDECODABLE:
        return False


def _chunk(data: bytes) -> Chunk:
    try:
        event = _decode_event(lenient(data))
        over = (
            _decode_response(bytes(event.response)) if event.type in _ENDS or event.type == "response.failed" else None
        )
    except _UNDECODABLE:
        return MALFORMED
    if event.type == "error":
        return Chunk(b"", error=_error_object(event.error or _Error(event.message, event.code)))
    frame = wire([Frame(data, event.type)])
    if over is None:
        return Chunk(frame, meaningful=event.type not in _PREAMBLE)
    if event.type == "response.failed":
        return Chunk(b"", error=_error_object(over.error or _Error()))
    return Chunk(frame, finished=(0,), usage=_usage(over.usage), meaningful=True)


def _error_object(error: _Error) -> bytes:
    """As errors are judged here."""
    code = "" if error.code is None else str(error.code)
    return _encode(ErrorObject(error.message or "", error.type or "", code))


def _usage(raw: Raw) -> OpenAIUsage | None:
    """None where nothing was counted, or it is of another shape."""
    try:
        said = _decode_usage(raw) if bytes(raw) != b"null" else _Usage()
    except _UNDECODABLE:
        return None
    if said.input_tokens is None and said.output_tokens is None:
        return None
    read, made = said.input_tokens_details, said.output_tokens_details
    return OpenAIUsage(
        prompt_tokens=said.input_tokens,
        completion_tokens=said.output_tokens,
        total_tokens=(said.input_tokens or 0) + (said.output_tokens or 0),
        prompt_tokens_details=PromptDetails(read.cached_tokens, read.cache_write_tokens) if read else None,
        completion_tokens_details=CompletionDetails(made.reasoning_tokens) if made else None,
    )
