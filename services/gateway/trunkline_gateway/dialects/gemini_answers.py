"""What Gemini answers, as events: whole answers and streams by the same steps, part by part.

A signature on a call is said twice: on the call, for clients whose dialect has a place for it there, and as a thought
without a text before it, for the others. A signature on a text is an encrypted thought after it. `gemini_turns.py` puts
both back where they were.
"""

from typing import Final

import msgspec
from msgspec import Raw

from trunkline_gateway.dialects import gemini_wire as wire
from trunkline_gateway.dialects.assembly import Answer, assemble
from trunkline_gateway.dialects.events import (
    MALFORMED,
    Begin,
    BlockEnd,
    ErrorEvent,
    Event,
    Finish,
    FinishReason,
    LogprobsEvent,
    Other,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
    ToolCallBegin,
    ToolCallDelta,
    TopLogprob,
    Usage,
)
from trunkline_gateway.dialects.gemini_citations import citations_of
from trunkline_gateway.dialects.gemini_turns import OWN
from trunkline_gateway.dialects.halves import Halves
from trunkline_gateway.dialects.reading import UNDECODABLE, answered, compact, present
from trunkline_gateway.usage import TOKENS_MAX
from trunkline_kit.errors import UpstreamError

_FINISHES: Final = {
    "STOP": FinishReason.STOP,
    "MAX_TOKENS": FinishReason.LENGTH,
    "SAFETY": FinishReason.CONTENT_FILTER,
    "RECITATION": FinishReason.CONTENT_FILTER,
    "BLOCKLIST": FinishReason.CONTENT_FILTER,
    "PROHIBITED_CONTENT": FinishReason.CONTENT_FILTER,
    "SPII": FinishReason.CONTENT_FILTER,
    "MODEL_ARMOR": FinishReason.CONTENT_FILTER,
    "IMAGE_SAFETY": FinishReason.CONTENT_FILTER,
    "IMAGE_PROHIBITED_CONTENT": FinishReason.CONTENT_FILTER,
    "IMAGE_RECITATION": FinishReason.CONTENT_FILTER,
}
_MISHAPS: Final = frozenset(
    {
        "MALFORMED_FUNCTION_CALL",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MALFORMED_RESPONSE",
        "MISSING_THOUGHT_SIGNATURE",
    }
)
"""Ends that are none: the model wrote something unusable, and may do better when it is asked again."""
_RETRYABLE: Final = frozenset({"RESOURCE_EXHAUSTED", "UNAVAILABLE", "INTERNAL", "DEADLINE_EXCEEDED", "ABORTED"})
_TYPES: Final = {"RESOURCE_EXHAUSTED": "rate_limit_error", "INVALID_ARGUMENT": "invalid_request_error"}
"""Google's words for what has one in other dialects."""
_TEXT, _THOUGHT, _CALL, _PROOF, _NONE = "text", "thought", "call", "proof", ""
"""Kinds of blocks."""

_decode = msgspec.json.Decoder(wire.Response).decode
_decode_whole = msgspec.json.Decoder(wire.Response)


def decode_answer(data: bytes) -> Answer:
    """A whole answer; of a prompt that the filter blocked, one with that error. Raises UpstreamError for none."""
    whole = answered(data, _decode_whole)
    if whole.error is not None:
        raise UpstreamError(f"the provider answered with nothing: {whole.error.message or whole.error.status}")
    blocked = _blocked(whole)
    if not whole.candidates and blocked is None:
        raise UpstreamError("the provider answered with nothing: no candidates")
    if any(not candidate.finish_reason for candidate in whole.candidates or ()):
        raise UpstreamError("the provider answered with nothing: no finish reason")
    decoder = StreamDecoder()
    events = decoder.step(whole)
    return assemble([*events, *decoder.close()])


class StreamDecoder:
    """One stream's events. Feed it the data of each event, in order."""

    def __init__(self) -> None:
        self._begun = Begin()
        self._has_begun = False
        self._choices: dict[int, _Choice] = {}
        self._usage: wire.UsageMetadata | None = None
        self._closed = False
        self._halves = Halves()

    def feed(self, data: bytes) -> list[Event]:
        """Never raises: what is not of this protocol is an `Other`."""
        try:
            said = _decode(data)
        except UNDECODABLE:
            try:
                said = _decode(self._halves.mended(data))
            except UNDECODABLE:
                return [Other(MALFORMED, Raw(data))]
        return self.step(said)

    def step(self, said: wire.Response) -> list[Event]:
        """What one event of a stream, or a whole answer, means."""
        if said.error is not None:
            return [_error(said.error)]
        events: list[Event] = []
        if not self._has_begun and (said.candidates is not None or said.response_id):
            self._has_begun = True
            self._begun = Begin(id=said.response_id or "", model=said.model_version or "")
            events.append(self._begun)
        if (blocked := _blocked(said)) is not None:
            events.append(blocked)
        for place, candidate in enumerate(said.candidates or ()):
            index = place if candidate.index is None else candidate.index
            choice = self._choices.get(index)
            if choice is None:
                choice = self._choices[index] = _Choice(index, self._begun.id)
            events += choice.step(candidate)
        self._usage = said.usage_metadata or self._usage
        return events

    def close(self) -> list[Event]:
        """At the end: the usage, once. Each event of a stream repeats it, as far as it has come."""
        if self._closed or self._usage is None:
            return []
        self._closed = True
        return [_usage(self._usage)]


class _Choice:
    """One of the alternatives."""

    def __init__(self, index: int, answer_id: str) -> None:
        self._index = index
        self._answer_id = answer_id
        self._block = -1
        self._kind = _NONE
        """Of the block that is open."""
        self._calls = 0
        self._finished = False
        self._texts: dict[int, list[str]] = {}
        self._sources: list[wire.Source] = []
        self._grounding: wire.GroundingMetadata | None = None
        self._proof_of_text = ""
        """Said when its text is known to be over: citations may still come for that."""

    def step(self, said: wire.Candidate) -> list[Event]:
        """What comes after its end does not count."""
        if self._finished:
            return []
        events: list[Event] = []
        for part in (said.content.parts if said.content is not None else None) or ():
            events += self._part(part)
        if said.citation_metadata is not None:
            self._sources += said.citation_metadata.citation_sources or said.citation_metadata.citations or ()
        self._grounding = said.grounding_metadata or self._grounding
        if said.logprobs_result is not None and (tokens := _logprobs(said.logprobs_result)):
            events.append(LogprobsEvent(tokens, self._index))
        if said.finish_reason and said.finish_reason != "FINISH_REASON_UNSPECIFIED":
            events += self._finish(said.finish_reason, said.finish_message or "")
        return events

    def _part(self, part: wire.PartIn) -> list[Event]:
        signature = part.thought_signature or ""
        if part.function_call is not None:
            return self._call(part.function_call, signature)
        if part.inline_data is not None:
            text = f"this model answered with {part.inline_data.mime_type}, which cannot be translated: ask for text"
            return [ErrorEvent(text, "invalid_request_error", "unsupported_output")]
        for name, raw in (
            ("executable_code", part.executable_code),
            ("code_execution_result", part.code_execution_result),
        ):
            if present(raw) is not None:
                return [Other(name, raw)]
        if part.thought:
            return self._thought(part.text or "", signature)
        events: list[Event] = []
        if part.text:
            events += self._open(_TEXT)
            self._texts.setdefault(self._block, []).append(part.text)
            events.append(TextDelta(part.text, self._index, self._block))
        self._proof_of_text = signature or self._proof_of_text
        return events

    def _proved(self) -> list[Event]:
        encrypted, self._proof_of_text = self._proof_of_text, ""
        return self._proof("", encrypted) if encrypted else []

    def _thought(self, text: str, signature: str) -> list[Event]:
        if not text and not signature:
            return []
        if not text:
            return self._proof("", signature)
        origin = OWN if signature else ""
        events = self._open(_THOUGHT)
        events.append(ReasoningDelta(text, self._index, self._block, signature, origin=origin))
        # A signature is said once in a block.
        return [*events, *self._open(_NONE)] if signature else events

    def _call(self, call: wire.CallIn, signature: str) -> list[Event]:
        events = self._proof(signature, "") if signature else []
        events += self._open(_CALL)
        number, self._calls = self._calls, self._calls + 1
        call_id = call.id or f"call_{self._answer_id}_{number}"
        given = present(call.args)
        arguments = "{}" if given is None else compact(given)
        events.append(ToolCallBegin(number, call_id, call.name or "", self._index, self._block, signature))
        events.append(ToolCallDelta(arguments, self._index, self._block))
        return [*events, *self._open(_NONE)]

    def _proof(self, signature: str, encrypted: str) -> list[Event]:
        """A block of its own that carries only a proof."""
        events = self._open(_PROOF)
        events.append(
            ReasoningDelta("", self._index, self._block, signature=signature, encrypted=encrypted, origin=OWN)
        )
        return [*events, *self._open(_NONE)]

    def _open(self, kind: str) -> list[Event]:
        """Go on with a block of this kind; a new one, if another is open."""
        events = self._proved() if kind not in (_NONE, _PROOF) else []
        if kind == self._kind:
            return events
        if self._kind != _NONE:
            events.append(BlockEnd(self._index, self._block))
        self._kind = kind
        if kind != _NONE:
            self._block += 1
        return events

    def _finish(self, native: str, message: str) -> list[Event]:
        self._finished = True
        if native in _MISHAPS:
            text = f"{native}: {message}" if message else native
            return [ErrorEvent(f"the model's answer cannot be used: {text}", code=native.lower(), retryable=True)]
        reason = _FINISHES.get(native, FinishReason.OTHER)
        if reason is FinishReason.STOP and self._calls:
            reason = FinishReason.TOOL_CALLS
        events: list[Event] = []
        if self._kind == _TEXT:
            # What was said before it has ended for the client too: nothing can be added there any more.
            texts = [(block, "".join(pieces)) for block, pieces in self._texts.items()]
            cited = citations_of(texts, self._sources, self._grounding, self._index)
            events += [event for event in cited if event.block == self._block]
        return [*events, *self._open(_NONE), *self._proved(), Finish(reason, self._index, native)]


def _blocked(said: wire.Response) -> ErrorEvent | None:
    """The filter's verdict on the prompt."""
    feedback = said.prompt_feedback
    if feedback is None or not feedback.block_reason or said.candidates:
        return None
    text = feedback.block_reason_message or f"the provider's filter blocked the prompt: {feedback.block_reason}"
    return ErrorEvent(text, "invalid_request_error", "content_filter")


def _error(said: wire.ErrorIn) -> ErrorEvent:
    status = said.status or ""
    kind = _TYPES.get(status, status.lower())
    code = "rate_limit_exceeded" if status == "RESOURCE_EXHAUSTED" else str(said.code or "")
    return ErrorEvent(said.message or status, kind, code, retryable=status in _RETRYABLE or not status)


def _logprobs(said: wire.LogprobsResult) -> tuple[TokenLogprob, ...]:
    tops = said.top_candidates or []
    found = []
    for place, chosen in enumerate(said.chosen_candidates or ()):
        others = tops[place].candidates if place < len(tops) else None
        top = tuple([TopLogprob(one.token or "", one.log_probability or 0.0) for one in others or ()])
        found.append(TokenLogprob(chosen.token or "", chosen.log_probability or 0.0, top=top))
    return tuple(found)


def _usage(said: wire.UsageMetadata) -> Usage:
    cached, thoughts = _count(said.cached_content_token_count), _count(said.thoughts_token_count)
    prompt = _count(said.prompt_token_count)
    return Usage(
        input_tokens=max(0, prompt - cached) + _count(said.tool_use_prompt_token_count),
        cache_read_tokens=min(cached, prompt) if prompt else cached,
        output_tokens=_count(said.candidates_token_count) + thoughts,
        reasoning_tokens=thoughts,
        audio_input_tokens=_of(said.prompt_tokens_details, "AUDIO"),
        image_input_tokens=_of(said.prompt_tokens_details, "IMAGE"),
        audio_output_tokens=_of(said.candidates_tokens_details, "AUDIO"),
        image_output_tokens=_of(said.candidates_tokens_details, "IMAGE"),
    )


def _of(counts: list[wire.ModalityCount] | None, modality: str) -> int:
    return sum([_count(one.token_count) for one in counts or () if one.modality == modality])


def _count(tokens: int | None) -> int:
    return min(max(tokens or 0, 0), TOKENS_MAX)
