"""A canonical answer as OpenAI's Response object: every part an item of its own."""

import msgspec
from msgspec import UNSET

from trunkline_gateway.dialects import responses_wire as wire
from trunkline_gateway.dialects.assembly import Answer, AnswerPart, Choice
from trunkline_gateway.dialects.canonical import Audio, Citation, Reasoning, Refusal, Text, ToolCall
from trunkline_gateway.dialects.chat_answers import token_out
from trunkline_gateway.dialects.chat_wire import TokenLogprob
from trunkline_gateway.dialects.events import FinishReason, Usage
from trunkline_gateway.dialects.frames import Head
from trunkline_gateway.dialects.proofs import sealed
from trunkline_gateway.dialects.responses_requests import OWN
from trunkline_kit.error_shapes import openai_body
from trunkline_kit.errors import Overloaded, TrunklineError

COMPLETED, INCOMPLETE, IN_PROGRESS, FAILED = "completed", "incomplete", "in_progress", "failed"
INCOMPLETE_REASONS = {
    FinishReason.LENGTH: "max_output_tokens",
    FinishReason.CONTEXT_FULL: "max_output_tokens",
    FinishReason.CONTENT_FILTER: "content_filter",
    FinishReason.REFUSAL: "content_filter",
}
"""Ends that leave a response incomplete."""

_encode = msgspec.json.Encoder().encode
_NO_ECHO = wire.Echoed()


def encode_answer(answer: Answer, head: Head, echo: wire.Echoed = _NO_ECHO) -> bytes:
    """The body of a whole answer."""
    choice = answer.choices[0] if answer.choices else Choice()
    response_id = head.id_of(answer.id)
    status = status_of(choice.finish)
    last = len(choice.parts) - 1
    logprobs = [token_out(token) for token in choice.logprobs]
    items = []
    for index, part in enumerate(choice.parts):
        item = item_of(part, item_id(part, response_id, index), status if index == last else COMPLETED, logprobs)
        if isinstance(part, Text):
            logprobs = []
        items.append(item)
    response = wire.Response(
        id=response_id,
        created_at=answer.created or head.created,
        status=status,
        incomplete_details=incomplete(choice.finish),
        model=head.model or answer.model,
        output=items,
        usage=None if answer.usage is None else usage_out(answer.usage),
    )
    return with_echo(response, _encode(echo))


def with_echo(response: wire.Response, echo: bytes) -> bytes:
    """The object as one; `echo` is encoded already."""
    return _encode(response)[:-1] + b"," + echo[1:]


def encode_error(error: TrunklineError) -> bytes:
    """The body of an error that comes instead of a response."""
    return _encode(openai_body(error))


def failure_of(error: TrunklineError) -> wire.Failure:
    """Of a response that broke off: OpenAI knows few codes here, so the message says what it was."""
    code = "rate_limit_exceeded" if isinstance(error, Overloaded) else "server_error"
    return wire.Failure(code=code, message=error.message)


def status_of(finish: FinishReason | None) -> str:
    return INCOMPLETE if finish is None or finish in INCOMPLETE_REASONS else COMPLETED


def incomplete(finish: FinishReason | None) -> wire.Incomplete | None:
    reason = None if finish is None else INCOMPLETE_REASONS.get(finish)
    return None if reason is None else wire.Incomplete(reason=reason)


def item_id(part: AnswerPart, response_id: str, index: int) -> str:
    """The same for the same answer, whole or streamed."""
    prefix = "rs" if isinstance(part, Reasoning) else "fc" if isinstance(part, ToolCall) else "msg"
    return f"{prefix}_{response_id.removeprefix('resp_')}_{index}"


def item_of(part: AnswerPart, name: str, status: str, logprobs: list[TokenLogprob]) -> wire.OutputItem:
    """One part as an item."""
    match part:
        case Reasoning():
            return wire.OutputReasoning(
                id=name,
                summary=[wire.SummaryText(text=part.text)] if part.text else [],
                encrypted_content=sealed(part, OWN) or UNSET,
            )
        case ToolCall():
            return wire.OutputCall(id=name, call_id=part.id, name=part.name, arguments=part.arguments, status=status)
        case Refusal():
            return wire.OutputMessage(id=name, status=status, content=[wire.OutputRefusal(refusal=part.text)])
        case Text():
            cited = [citation_out(citation, len(part.text)) for citation in part.citations if citation.url]
            said = wire.OutputText(text=part.text, annotations=cited, logprobs=logprobs)
            return wire.OutputMessage(id=name, status=status, content=[said])
        case Audio():
            return wire.OutputMessage(id=name, status=status, content=[wire.OutputText(text=part.transcript)])


def citation_out(citation: Citation, length: int) -> wire.UrlCitation:
    """Of a text of `length` characters."""
    return wire.UrlCitation(
        url=citation.url,
        title=citation.title,
        start_index=citation.start or 0,
        end_index=length if citation.end is None else citation.end,
    )


def usage_out(usage: Usage) -> wire.Usage:
    return wire.Usage(
        input_tokens=usage.prompt_tokens,
        input_tokens_details=wire.InputDetails(
            cached_tokens=usage.cache_read_tokens, cache_write_tokens=usage.cache_write_tokens
        ),
        output_tokens=usage.output_tokens,
        output_tokens_details=wire.OutputDetails(reasoning_tokens=usage.reasoning_tokens),
        total_tokens=usage.prompt_tokens + usage.output_tokens,
    )
