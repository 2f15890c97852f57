"""What a server of OpenAI's chat dialect answers, as events: whole answers by one way, streams by another, same result.

A message has no order of its parts; here it is always thoughts, text, refusal, sound, then tool calls by their index.
"""

from typing import Final

import msgspec
from msgspec import Raw

from trunkline_gateway.chunks import usage_in
from trunkline_gateway.dialects import chat_wire as wire
from trunkline_gateway.dialects.assembly import Answer, assemble
from trunkline_gateway.dialects.canonical import Citation
from trunkline_gateway.dialects.events import (
    MALFORMED,
    AudioDelta,
    Begin,
    CitationEvent,
    ErrorEvent,
    Event,
    Finish,
    FinishReason,
    LogprobsEvent,
    Other,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    TokenLogprob,
    ToolCallBegin,
    ToolCallDelta,
    TopLogprob,
    Usage,
)
from trunkline_gateway.dialects.halves import Halves
from trunkline_gateway.dialects.openai_usage import usage_from
from trunkline_gateway.dialects.reading import NOTHING, UNDECODABLE, answered, present
from trunkline_gateway.sse import DONE
from trunkline_kit.errors import UpstreamError

_REASONING, _TEXT, _REFUSAL, _AUDIO, _CALLS = range(5)
"""Block numbers; call i is `_CALLS + i`."""
CALLS_MAX: Final = 1024
"""More parallel calls in one answer are not an answer any more."""

_FINISHES = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
    "error": FinishReason.ERROR,
    "eos": FinishReason.STOP,
    "eos_token": FinishReason.STOP,
    "end_turn": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "stop_sequence": FinishReason.STOP_SEQUENCE,
    "model_length": FinishReason.CONTEXT_FULL,
}
"""OpenAI's, and the words of servers that are not quite like it."""
_RETRYABLE = frozenset({"server_error", "rate_limit_error", "rate_limit_exceeded", "overloaded_error", "timeout"})


class _ChunkChoice(msgspec.Struct, frozen=True):
    index: int | None = None
    delta: wire.Delta | None = None
    logprobs: wire.Logprobs | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct, frozen=True):
    id: str | None = None
    created: int | float | None = None
    model: str | None = None
    choices: list[_ChunkChoice] | None = None
    usage: Raw = NOTHING
    error: Raw = NOTHING


class _Choice(msgspec.Struct, frozen=True):
    index: int | None = None
    message: wire.Delta | None = None
    logprobs: wire.Logprobs | None = None
    finish_reason: str | None = None


class _Completion(msgspec.Struct, frozen=True):
    id: str | None = None
    created: int | float | None = None
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: Raw = NOTHING
    error: Raw = NOTHING


_decode_chunk = msgspec.json.Decoder(_Chunk).decode
_decode_whole = msgspec.json.Decoder(_Completion)
_decode_error = msgspec.json.Decoder(wire.ProviderError | str).decode


def decode_answer(data: bytes) -> Answer:
    """A whole completion. Raises UpstreamError for one that says nothing."""
    whole = answered(data, _decode_whole)
    error = _error_in(whole.error)
    if not whole.choices:
        raise UpstreamError(f"the provider answered with nothing: {error.message if error else 'no choices'}")
    begun = Begin(id=whole.id or "", model=whole.model or "", created=int(whole.created or 0))
    decoder = StreamDecoder(whole=True)
    events = decoder.begin(begun)
    for place, choice in enumerate(whole.choices):
        index = place if choice.index is None else choice.index
        events += decoder.step(index, choice.message, choice.logprobs, choice.finish_reason)
    events += [usage] if (usage := _usage_in(whole.usage)) is not None else []
    return assemble([*events, error] if error is not None else events)


class StreamDecoder:
    """One stream's events. Feed it the data of each event, in order."""

    def __init__(self, *, whole: bool = False) -> None:
        """`whole` for an answer in one piece, where the place of a tool call in its list is its index."""
        self._whole = whole
        self._begun = Begin()
        self._has_begun = False
        self._finished: set[int] = set()
        self._calls: dict[int, _Calls] = {}
        self._usage: Usage | None = None
        self._closed = False
        self._halves = Halves()

    def feed(self, data: bytes) -> list[Event]:
        """Never raises: what is not of this dialect is an `Other`."""
        if data == DONE:
            return self.close()
        try:
            chunk = _decode_chunk(data)
        except UNDECODABLE:
            try:
                chunk = _decode_chunk(self._halves.mended(data))
            except UNDECODABLE:
                return [Other(MALFORMED, Raw(data))]
        events: list[Event] = [] if self._has_begun else self._begin(chunk)
        for place, choice in enumerate(chunk.choices or ()):
            index = place if choice.index is None else choice.index
            events += self.step(index, choice.delta, choice.logprobs, choice.finish_reason)
        if chunk.usage is not NOTHING:
            self._usage = _usage_in(chunk.usage) or self._usage
        if chunk.error is not NOTHING and (error := _error_in(chunk.error)) is not None:
            events.append(error)
        return events

    def close(self) -> list[Event]:
        """At the end, said or not: the usage, once."""
        if self._closed or self._usage is None:
            return []
        self._closed = True
        return [self._usage]

    def begin(self, begun: Begin) -> list[Event]:
        self._begun, self._has_begun = begun, True
        return [begun]

    def _begin(self, chunk: _Chunk) -> list[Event]:
        if chunk.choices is None and not chunk.id:
            return []
        return self.begin(Begin(id=chunk.id or "", model=chunk.model or "", created=int(chunk.created or 0)))

    def step(
        self, index: int, delta: wire.Delta | None, logprobs: wire.Logprobs | None, finish: str | None
    ) -> list[Event]:
        """What one choice of one chunk, or of a whole answer, means."""
        events: list[Event] = []
        if delta is not None:
            _said(delta, index, events)
            if delta.tool_calls or delta.function_call is not None:
                calls = self._calls.get(index)
                if calls is None:
                    calls = self._calls[index] = _Calls(index, self._begun.id, whole=self._whole)
                events += calls.step(delta)
        if logprobs is not None:
            events += _logprobs(logprobs, index)
        if finish and index not in self._finished:
            self._finished.add(index)
            calls = self._calls.get(index)
            if calls is not None:
                events += calls.ended()
            events.append(Finish(_reason(finish, has_calls=calls is not None), index, finish))
        return events


def _reason(finish: str, *, has_calls: bool) -> FinishReason:
    """With calls, `stop` is how some servers, and OpenAI for a named tool, say that they wait for the results."""
    reason = _FINISHES.get(finish, FinishReason.OTHER)
    return FinishReason.TOOL_CALLS if has_calls and reason is FinishReason.STOP else reason


def _said(delta: wire.Delta, index: int, events: list[Event]) -> None:
    """Everything of a delta but its tool calls."""
    if type(delta.content) is str:
        if delta.content:
            events.append(TextDelta(delta.content, index, _TEXT))
    elif delta.content:
        _said_in_pieces(delta.content, index, events)
    if thought := delta.reasoning_content or delta.reasoning:
        events.append(ReasoningDelta(thought, index, _REASONING))
    if delta.refusal:
        events.append(RefusalDelta(delta.refusal, index, _REFUSAL))
    if (sound := delta.audio) is not None:
        events.append(
            AudioDelta(
                sound.data or "", sound.transcript or "", index, _AUDIO, sound.id or "", expires_at=sound.expires_at
            )
        )
    for annotation in delta.annotations or ():
        if (cited := annotation.url_citation) is not None:
            citation = Citation(url=cited.url, title=cited.title, start=cited.start_index, end=cited.end_index)
            events.append(CitationEvent(citation, index, _TEXT))


def _said_in_pieces(pieces: "str | list[wire.ContentPiece]", index: int, events: list[Event]) -> None:
    for piece in pieces:
        if isinstance(piece, str):
            continue
        if piece.text:
            events.append(TextDelta(piece.text, index, _TEXT))
        thought = piece.thinking
        text = thought if isinstance(thought, str) else "".join([part.text or "" for part in thought or ()])
        if text:
            events.append(ReasoningDelta(text, index, _REASONING))


class _Calls:
    """The tool calls of one choice."""

    def __init__(self, choice: int, answer_id: str, *, whole: bool) -> None:
        self._choice = choice
        self._whole = whole
        self._answer_id = answer_id
        self._known: dict[int, str] = {}
        """Ids by index."""
        self._nameless: dict[int, wire.ToolCallFragment] = {}
        """Announced, but their name is still to come."""
        self._empty: set[int] = set()
        """Begun, and without arguments so far."""

    def step(self, delta: wire.Delta) -> list[Event]:
        events: list[Event] = []
        for place, call in enumerate(delta.tool_calls or ()):
            index = place if self._whole else self._index(call, place)
            if 0 <= index < CALLS_MAX:
                events += self._call(index, call)
        if (old := delta.function_call) is not None:
            events += self._call(0, wire.ToolCallFragment(function=old))
        return events

    def _call(self, index: int, call: wire.ToolCallFragment) -> list[Event]:
        events: list[Event] = []
        function = call.function
        name, arguments = (function.name, function.arguments) if function is not None else (None, None)
        if index not in self._known:
            first = self._nameless.pop(index, call)
            if not name and not arguments:
                self._nameless[index] = first
                return []
            events.append(self._begin(index, first, name or ""))
        if arguments:
            self._empty.discard(index)
            events.append(ToolCallDelta(arguments, self._choice, _CALLS + index))
        return events

    def _index(self, call: wire.ToolCallFragment, place: int) -> int:
        """By number; servers that leave it out mean a new call by each new id, or the place in the list."""
        if call.index is not None:
            return call.index
        if call.id:
            fresh = len(self._known) + len(self._nameless)
            return next((index for index, known in self._known.items() if known == call.id), fresh)
        return place

    def _begin(self, index: int, call: wire.ToolCallFragment, name: str) -> Event:
        call_id = call.id or f"call_{self._answer_id}_{index}"
        self._known[index] = call_id
        self._empty.add(index)
        google = call.extra_content.google if call.extra_content is not None else None
        signature = google.thought_signature if google is not None else None
        return ToolCallBegin(index, call_id, name, self._choice, _CALLS + index, signature or "")

    def ended(self) -> list[Event]:
        """A call without arguments has an empty object of them."""
        empty, self._empty = sorted(self._empty), set()
        return [ToolCallDelta("{}", self._choice, _CALLS + index) for index in empty]


def _logprobs(logprobs: wire.Logprobs, index: int) -> list[Event]:
    events: list[Event] = []
    if logprobs.content:
        events.append(LogprobsEvent(tuple(map(_token, logprobs.content)), index))
    if logprobs.refusal:
        events.append(LogprobsEvent(tuple(map(_token, logprobs.refusal)), index, refusal=True))
    return events


def _token(said: wire.TokenLogprob) -> TokenLogprob:
    top = tuple([TopLogprob(item.token, item.logprob, _utf8(item.bytes)) for item in said.top_logprobs])
    return TokenLogprob(said.token, said.logprob, _utf8(said.bytes), top)


def _utf8(data: list[int] | None) -> tuple[int, ...] | None:
    return None if data is None else tuple(data)


def _usage_in(raw: Raw) -> Usage | None:
    said = None if present(raw) is None else usage_in(raw)
    return None if said is None else usage_from(said)


def _error_in(raw: Raw) -> ErrorEvent | None:
    if present(raw) is None:
        return None
    try:
        said = _decode_error(raw)
    except UNDECODABLE:
        said = bytes(raw)[:500].decode(errors="replace")
    if isinstance(said, str):
        return ErrorEvent(said, retryable=True)
    code = "" if said.code is None else str(said.code)
    retryable = bool({said.type, code} & _RETRYABLE) or code.startswith("5") or code == "429"
    return ErrorEvent(said.message, said.type or "", code, said.param or "", retryable)
