"""A canonical answer as a chat completion, whole or as chunks."""

import msgspec
from msgspec import UNSET, UnsetType

from trunkline_gateway.dialects import chat_wire as wire
from trunkline_gateway.dialects.assembly import Answer, Choice
from trunkline_gateway.dialects.canonical import Audio, Citation, Reasoning, Text, ToolCall
from trunkline_gateway.dialects.events import FinishReason, TokenLogprob
from trunkline_gateway.dialects.frames import Head
from trunkline_gateway.dialects.openai_usage import openai_usage
from trunkline_gateway.dialects.proofs import sealed
from trunkline_gateway.usage import Usage as OpenAIUsage
from trunkline_kit.error_shapes import openai_body
from trunkline_kit.errors import TrunklineError

FINISHES = {
    FinishReason.STOP: "stop",
    FinishReason.STOP_SEQUENCE: "stop",
    FinishReason.LENGTH: "length",
    FinishReason.CONTEXT_FULL: "length",
    FinishReason.TOOL_CALLS: "tool_calls",
    FinishReason.CONTENT_FILTER: "content_filter",
    FinishReason.REFUSAL: "content_filter",
    FinishReason.PAUSE: "stop",
    FinishReason.ERROR: "stop",
    FinishReason.OTHER: "stop",
}


class _Message(msgspec.Struct, frozen=True, kw_only=True):
    role: str = "assistant"
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[wire.ToolCall] | UnsetType = UNSET
    audio: wire.AudioFragment | UnsetType = UNSET
    annotations: list[wire.Annotation] | UnsetType = UNSET
    thinking_blocks: list[wire.ThinkingBlock] | UnsetType = UNSET


class _Choice(msgspec.Struct, frozen=True, kw_only=True):
    index: int
    message: _Message
    logprobs: wire.Logprobs | None
    finish_reason: str | None


class _Completion(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    object: str = "chat.completion"
    created: int
    model: str
    choices: list[_Choice]
    usage: OpenAIUsage | UnsetType = UNSET


_encode = msgspec.json.Encoder().encode


def encode_answer(answer: Answer, head: Head) -> bytes:
    """The body of a whole answer."""
    return _encode(
        _Completion(
            id=head.id_of(answer.id),
            created=answer.created or head.created,
            model=head.model or answer.model,
            choices=[_choice(choice) for choice in answer.choices],
            usage=UNSET if answer.usage is None else openai_usage(answer.usage),
        )
    )


def encode_error(error: TrunklineError) -> bytes:
    """The body of an error, and the data of one inside a stream."""
    return _encode(openai_body(error))


def _choice(choice: Choice) -> _Choice:
    texts = [part for part in choice.parts if isinstance(part, Text)]
    thoughts = [part for part in choice.parts if isinstance(part, Reasoning)]
    sounds = [part for part in choice.parts if isinstance(part, Audio)]
    blocks = [block for part in thoughts if (block := thinking_block(part)) is not None]
    message = _Message(
        content="".join([text.text for text in texts]) if texts else None,
        refusal=choice.refusal or None,
        reasoning_content="".join([part.text for part in thoughts]) or UNSET,
        tool_calls=[_call(call) for call in choice.tool_calls] or UNSET,
        audio=_sound(sounds[0]) if sounds else UNSET,
        annotations=_annotations(texts) or UNSET,
        thinking_blocks=blocks or UNSET,
    )
    has_logprobs = choice.logprobs or choice.refusal_logprobs
    return _Choice(
        index=choice.index,
        message=message,
        logprobs=logprobs(choice.logprobs, choice.refusal_logprobs) if has_logprobs else None,
        finish_reason=None if choice.finish is None else FINISHES[choice.finish],
    )


def _call(call: ToolCall) -> wire.ToolCall:
    return wire.ToolCall(
        id=call.id,
        function=wire.FunctionCall(name=call.name, arguments=call.arguments),
        extra_content=extra(call.signature),
    )


def extra(signature: str) -> wire.ExtraContent | None:
    return wire.ExtraContent(google=wire.GoogleContent(thought_signature=signature)) if signature else None


def _sound(sound: Audio) -> wire.AudioFragment:
    return wire.AudioFragment(
        id=sound.id or None, data=sound.data, transcript=sound.transcript, expires_at=sound.expires_at
    )


def thinking_block(thought: Reasoning) -> wire.ThinkingBlock | None:
    """What a caller must send back for the model to go on with its thoughts; None where there is no such thing."""
    proof = sealed(thought, "anthropic")
    if thought.encrypted:
        return wire.ThinkingBlock(type="redacted_thinking", data=proof)
    return wire.ThinkingBlock(type="thinking", thinking=thought.text, signature=proof) if proof else None


def _annotations(texts: list[Text]) -> list[wire.Annotation]:
    found: list[wire.Annotation] = []
    offset = 0
    for text in texts:
        end = offset + len(text.text)
        found += [annotation(citation, offset, end) for citation in text.citations if citation.url]
        offset = end
    return found


def annotation(citation: Citation, start: int, end: int) -> wire.Annotation:
    """Of the text block from `start` to `end`; one that does not say which part of it is about all of it."""
    cited = wire.UrlCitation(
        url=citation.url,
        title=citation.title,
        start_index=start + (citation.start or 0),
        end_index=end if citation.end is None else start + citation.end,
    )
    return wire.Annotation(type="url_citation", url_citation=cited)


def logprobs(content: tuple[TokenLogprob, ...], refusal: tuple[TokenLogprob, ...]) -> wire.Logprobs:
    return wire.Logprobs(
        content=[token_out(item) for item in content] if content else None,
        refusal=[token_out(item) for item in refusal] if refusal else None,
    )


def token_out(item: TokenLogprob) -> wire.TokenLogprob:
    top = [wire.TopLogprob(token=t.token, logprob=t.logprob, bytes=_utf8(t.utf8)) for t in item.top]
    return wire.TokenLogprob(token=item.token, logprob=item.logprob, bytes=_utf8(item.utf8), top_logprobs=top)


def _utf8(data: tuple[int, ...] | None) -> list[int] | None:
    return None if data is None else [*data]
