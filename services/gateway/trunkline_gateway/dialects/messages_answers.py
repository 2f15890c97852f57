"""A canonical answer as an Anthropic message, and errors in Anthropic's shape."""

import re

import msgspec
from msgspec import Raw

from trunkline_gateway.dialects import messages_wire as wire
from trunkline_gateway.dialects.assembly import Answer, Choice
from trunkline_gateway.dialects.canonical import Audio, Citation, Reasoning, Refusal, Text, ToolCall
from trunkline_gateway.dialects.events import FinishReason, Usage
from trunkline_gateway.dialects.frames import Head
from trunkline_gateway.dialects.messages_requests import OWN
from trunkline_gateway.dialects.proofs import sealed
from trunkline_gateway.dialects.reading import UNDECODABLE
from trunkline_kit.errors import Overloaded, TrunklineError, Unsupported, UpstreamError

STOP_REASONS = {
    FinishReason.STOP: "end_turn",
    FinishReason.STOP_SEQUENCE: "stop_sequence",
    FinishReason.LENGTH: "max_tokens",
    FinishReason.CONTEXT_FULL: "model_context_window_exceeded",
    FinishReason.TOOL_CALLS: "tool_use",
    FinishReason.CONTENT_FILTER: "refusal",
    FinishReason.REFUSAL: "refusal",
    FinishReason.PAUSE: "pause_turn",
    FinishReason.ERROR: "end_turn",
    FinishReason.OTHER: "end_turn",
}
OVERLOADED = 529
"""Anthropic's status for what others answer 503 to."""
_ERROR_TYPES = {
    **dict.fromkeys((400, 405, 422, 431), "invalid_request_error"),
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    **dict.fromkeys((409, 412), "conflict_error"),
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    OVERLOADED: "overloaded_error",
}
"""By status; others are `api_error`. Source: Anthropic API reference, "Errors" (read 2026-11-24)."""
_CUT_OFF = frozenset({FinishReason.LENGTH, FinishReason.CONTEXT_FULL, FinishReason.CONTENT_FILTER, None})
_NOTHING = Raw(b"{}")
_INDEX = re.compile(r"\[(\d+)\]", re.ASCII)
"""Anthropic writes `messages.0.content`."""


class TextOut(msgspec.Struct, frozen=True, tag_field="type", tag="text"):
    text: str
    citations: list[Raw] | None = None


class ThinkingOut(msgspec.Struct, frozen=True, tag_field="type", tag="thinking"):
    thinking: str
    signature: str


class RedactedOut(msgspec.Struct, frozen=True, tag_field="type", tag="redacted_thinking"):
    data: str


class ToolUseOut(msgspec.Struct, frozen=True, tag_field="type", tag="tool_use"):
    id: str
    name: str
    input: Raw


BlockOut = TextOut | ThinkingOut | RedactedOut | ToolUseOut


class MessageOut(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    type: str = "message"
    role: str = "assistant"
    model: str
    content: list[BlockOut] = []
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: wire.UsageOut


class _Unsupported(msgspec.Struct, frozen=True, kw_only=True):
    """Tells Anthropic's SDK that a conversation cannot be kept for it, so that it sends all of it each time."""

    unsupported: list[str]
    error_code: str = "thread_unsupported_request"


class _Error(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    type: str
    message: str
    details: _Unsupported | None = None


class _ErrorBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    error: _Error
    request_id: str = ""


class _WebCitation(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="web_search_result_location"):
    url: str
    title: str
    cited_text: str
    encrypted_index: str = ""


_encode = msgspec.json.Encoder().encode
_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode


def encode_answer(answer: Answer, head: Head) -> bytes:
    """The body of a whole answer. Raises UpstreamError for tool calls whose arguments are no JSON object."""
    choice = answer.choices[0] if answer.choices else Choice()
    return _encode(
        MessageOut(
            id=head.id_of(answer.id),
            model=head.model or answer.model,
            content=[block for part in choice.parts if (block := _block(part, choice.finish)) is not None],
            stop_reason=stop_reason(choice.finish, refused=bool(choice.refusal)),
            stop_sequence=choice.stop_sequence or None,
            usage=usage_out(answer.usage or Usage()),
        )
    )


def encode_error(error: TrunklineError, request_id: str = "") -> bytes:
    """The body of an error, and the data of one inside a stream."""
    kind = _ERROR_TYPES.get(error_status(error), "api_error")
    threaded = isinstance(error, Unsupported) and error.param == "thread"
    details = _Unsupported(unsupported=["thread"]) if threaded else None
    body = _ErrorBody(error=_Error(type=kind, message=_placed(error), details=details), request_id=request_id)
    return b'{"type":"error",' + _encode(body)[1:]


def _placed(error: TrunklineError) -> str:
    """The message, with the field to blame: this shape has no place of its own for it."""
    param = error.param or ""
    if not param or param in error.message or (path := _INDEX.sub(r".\1", param)) in error.message:
        return error.message
    return f"{path}: {error.message}"


def error_status(error: TrunklineError) -> int:
    """The HTTP status Anthropic would answer with."""
    return OVERLOADED if isinstance(error, Overloaded) and error.http_status == 503 else error.http_status


def stop_reason(finish: FinishReason | None, *, refused: bool) -> str | None:
    if finish is FinishReason.STOP and refused:
        return "refusal"
    return None if finish is None else STOP_REASONS[finish]


def usage_out(usage: Usage) -> wire.UsageOut:
    return wire.UsageOut(
        input_tokens=usage.input_tokens,
        cache_creation_input_tokens=usage.cache_write_tokens,
        cache_read_input_tokens=usage.cache_read_tokens,
        output_tokens=usage.output_tokens,
    )


def _block(part: Text | Reasoning | Refusal | ToolCall | Audio, finish: FinishReason | None) -> BlockOut | None:
    match part:
        case Text():
            cited = [raw for citation in part.citations if (raw := citation_out(citation)) is not None]
            return TextOut(part.text, cited or None)
        case Refusal():
            return TextOut(part.text)
        case Reasoning():
            if part.encrypted:
                return RedactedOut(sealed(part, OWN))
            return ThinkingOut(part.text, sealed(part, OWN))
        case ToolCall():
            return ToolUseOut(part.id, part.name, _input(part, finish))
        case Audio():
            return TextOut(part.transcript) if part.transcript else None


def _input(call: ToolCall, finish: FinishReason | None) -> Raw:
    """Of a call that was cut off there is nothing: the stop reason says that it is not to be made."""
    text = call.arguments.strip() or "{}"
    try:
        _decode_object(text)
    except UNDECODABLE as error:
        if finish in _CUT_OFF:
            return _NOTHING
        raise UpstreamError(f"the model called {call.name!r} with arguments that are no JSON object") from error
    return Raw(text.encode())


def citation_out(citation: Citation) -> Raw | None:
    """None for one that this dialect has no words for."""
    if citation.native is not None and citation.origin == OWN:
        return citation.native
    if not citation.url:
        return None
    return Raw(_encode(_WebCitation(url=citation.url, title=citation.title, cited_text=citation.quote)))
