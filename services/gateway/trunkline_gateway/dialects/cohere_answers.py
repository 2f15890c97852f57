"""What Cohere's Chat API, version 2, answers, as events: whole answers and streams, same result.

Contents keep their numbers; then comes the plan of tool calls, as text, then the calls.
"""

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Raw

from trunkline_gateway.dialects import cohere_wire as wire
from trunkline_gateway.dialects.assembly import Answer, assemble
from trunkline_gateway.dialects.canonical import Citation
from trunkline_gateway.dialects.events import (
    MALFORMED,
    Begin,
    BlockEnd,
    CitationEvent,
    ErrorEvent,
    Event,
    Finish,
    FinishReason,
    Other,
    ReasoningDelta,
    TextDelta,
    ToolCallBegin,
    ToolCallDelta,
    Usage,
)
from trunkline_gateway.dialects.halves import Halves
from trunkline_gateway.dialects.reading import UNDECODABLE, answered
from trunkline_gateway.sse import DONE
from trunkline_gateway.usage import TOKENS_MAX
from trunkline_kit.errors import UpstreamError

OWN: Final = "cohere"
PARTS_MAX: Final = 1024
"""More contents or calls in one answer are not an answer any more."""
_PLAN: Final = PARTS_MAX
_CALLS: Final = PARTS_MAX + 1
"""Block numbers; call i is `_CALLS + i`."""

_FINISHES = {
    "COMPLETE": FinishReason.STOP,
    "STOP_SEQUENCE": FinishReason.STOP_SEQUENCE,
    "MAX_TOKENS": FinishReason.LENGTH,
    "TOOL_CALL": FinishReason.TOOL_CALLS,
    "ERROR_LIMIT": FinishReason.CONTEXT_FULL,
    "ERROR_TOXIC": FinishReason.CONTENT_FILTER,
}
_BROKEN = frozenset({"ERROR", "TIMEOUT"})
"""Reasons that say the answer is not one."""
_decode = msgspec.json.Decoder(wire.Event).decode
_decode_whole = msgspec.json.Decoder(wire.Answer)
_decode_citation = msgspec.json.Decoder(wire.CitationIn).decode


def decode_answer(data: bytes) -> Answer:
    """A whole answer. Raises UpstreamError for one that is none, or broke off."""
    whole = answered(data, _decode_whole)
    message, reason = whole.message, whole.finish_reason
    if not isinstance(message, wire.MessageIn) or reason is None or reason in _BROKEN:
        why = message if isinstance(message, str) else reason
        raise UpstreamError(f"the provider answered with nothing: {why or 'no finish reason'}")
    decoder = StreamDecoder(whole.id or "")
    events: list[Event] = [Begin(id=whole.id or "")]
    for index, piece in enumerate(message.content or ()):
        events += decoder.content(piece, index)
    if message.tool_plan:
        events.append(TextDelta(message.tool_plan, 0, _PLAN))
    for index, call in enumerate(message.tool_calls or ()):
        events += decoder.call_begun(call, index)
    for cited in message.citations or ():
        events += decoder.cited(cited, cited)
    decoder.count(whole.usage)
    return assemble([*events, *decoder.ended(reason), *decoder.close()])


class StreamDecoder:
    """One stream's events. Feed it the data of each event, in order."""

    def __init__(self, answer_id: str = "") -> None:
        self._id = answer_id
        """Of the answer, for calls that have none."""
        self._usage: wire.UsageIn | None = None
        self._closed = False
        self._finished = False
        self._text: int | None = None
        """The first content that is text: what citations without a number belong to."""
        self._thoughts: set[int] = set()
        self._empty: set[int] = set()
        """Calls without arguments so far."""
        self._known: set[int] = set()
        self._halves = Halves()
        self._steps: dict[str, Callable[[wire.Event, wire.DeltaMessage, bytes], list[Event]]] = {
            "content-delta": self._content,
            "content-start": self._content,
            "content-end": lambda event, _said, _data: [BlockEnd(0, event.index)],
            "tool-plan-delta": self._plan,
            "tool-call-start": self._call_start,
            "tool-call-delta": self._call_delta,
            "tool-call-end": self._call_end,
            "citation-start": lambda _event, said, data: self.cited(said.citations, Raw(data)),
            "citation-end": lambda _event, _said, _data: [],
            "message-start": self._begin,
            "message-end": self._message_end,
        }

    def feed(self, data: bytes) -> list[Event]:
        """Never raises: what is not of this dialect is an `Other`."""
        if data == DONE:
            return self.close()
        try:
            event = _decode(data)
        except UNDECODABLE:
            try:
                event = _decode(self._halves.mended(data))
            except UNDECODABLE:
                return [Other(MALFORMED, Raw(data))]
        step = self._steps.get(event.type)
        if step is None or not 0 <= event.index < PARTS_MAX:
            return [Other(event.type, Raw(data))]
        message = event.delta.message if event.delta is not None else None
        return step(event, message or wire.DeltaMessage(), data)

    def close(self) -> list[Event]:
        """At the end, said or not: the usage, once."""
        if self._closed or self._usage is None:
            return []
        self._closed = True
        return [_usage(self._usage)]

    def count(self, usage: wire.UsageIn | None) -> None:
        self._usage = usage or self._usage

    def content(self, piece: wire.ContentIn, index: int) -> list[Event]:
        """A piece of a content, or the whole of it."""
        if piece.type == "thinking" or piece.thinking is not None:
            self._thoughts.add(index)
        elif piece.type == "text" or piece.text is not None:
            self._text = index if self._text is None else self._text
        events: list[Event] = [ReasoningDelta(piece.thinking, 0, index)] if piece.thinking else []
        return [*events, TextDelta(piece.text, 0, index)] if piece.text else events

    def call_begun(self, call: wire.ToolCallIn, index: int) -> list[Event]:
        """With the arguments that are there already."""
        said = call.function or wire.FunctionIn()
        events: list[Event] = []
        if index not in self._known:
            self._known.add(index)
            self._empty.add(index)
            name = call.id or f"call_{self._id}_{index}"
            events.append(ToolCallBegin(index, name, said.name or "", 0, _CALLS + index))
        return events + self._arguments(said.arguments, index)

    def cited(self, raw: Raw, whole: Raw) -> list[Event]:
        """Where a text, or the plan of tool calls, comes from."""
        try:
            said = _decode_citation(raw)
        except UNDECODABLE:
            return [Other("citation", whole)]
        block = _PLAN if said.type == "PLAN" else said.content_index
        if block is None:
            block = self._text or 0
        if said.type == "THINKING_CONTENT" or block in self._thoughts or not 0 <= block <= _PLAN:
            return [Other("citation", whole)]
        sources = [source.document for source in said.sources or () if source.document is not None]
        document = sources[0] if sources else wire.DocumentIn()
        citation = Citation(
            url=document.url or "",
            title=document.title or "",
            quote=said.text or "",
            start=said.start,
            end=said.end,
            native=raw,
            origin=OWN,
        )
        return [CitationEvent(citation, 0, block)]

    def ended(self, reason: str) -> list[Event]:
        """With the arguments of calls that have none."""
        if self._finished:
            return []
        self._finished = True
        events: list[Event] = [ToolCallDelta("{}", 0, _CALLS + index) for index in sorted(self._empty)]
        self._empty.clear()
        return [*events, Finish(_FINISHES.get(reason, FinishReason.OTHER), 0, reason)]

    def _begin(self, event: wire.Event, _said: wire.DeltaMessage, _data: bytes) -> list[Event]:
        self._id = event.id or ""
        return [Begin(id=self._id)]

    def _content(self, event: wire.Event, said: wire.DeltaMessage, data: bytes) -> list[Event]:
        if not isinstance(said.content, wire.ContentIn):
            return [Other(event.type, Raw(data))]
        return self.content(said.content, event.index)

    def _plan(self, _event: wire.Event, said: wire.DeltaMessage, _data: bytes) -> list[Event]:
        return [TextDelta(said.tool_plan, 0, _PLAN)] if said.tool_plan else []

    def _call_start(self, event: wire.Event, said: wire.DeltaMessage, data: bytes) -> list[Event]:
        if not isinstance(said.tool_calls, wire.ToolCallIn):
            return [Other(event.type, Raw(data))]
        return self.call_begun(said.tool_calls, event.index)

    def _call_delta(self, event: wire.Event, said: wire.DeltaMessage, data: bytes) -> list[Event]:
        call = said.tool_calls
        if not isinstance(call, wire.ToolCallIn) or event.index not in self._known:
            return [Other(event.type, Raw(data))]
        return self._arguments(call.function.arguments if call.function is not None else None, event.index)

    def _arguments(self, text: str | None, index: int) -> list[Event]:
        if not text:
            return []
        self._empty.discard(index)
        return [ToolCallDelta(text, 0, _CALLS + index)]

    def _call_end(self, event: wire.Event, _said: wire.DeltaMessage, data: bytes) -> list[Event]:
        index = event.index
        if index not in self._known:
            return [Other(event.type, Raw(data))]
        empty: list[Event] = [ToolCallDelta("{}", 0, _CALLS + index)] if index in self._empty else []
        self._empty.discard(index)
        return [*empty, BlockEnd(0, _CALLS + index)]

    def _message_end(self, event: wire.Event, _said: wire.DeltaMessage, _data: bytes) -> list[Event]:
        delta = event.delta or wire.Delta()
        self.count(delta.usage)
        if delta.error or delta.finish_reason in _BROKEN:
            text = delta.error or f"the answer ended with {delta.finish_reason}"
            return [ErrorEvent(text, "server_error", delta.finish_reason or "", retryable=True)]
        return self.ended(delta.finish_reason) if delta.finish_reason is not None else []


def _usage(said: wire.UsageIn) -> Usage:
    """What is billed, where that is said: Cohere's own instructions around a prompt are not. Cached is part of it."""
    tokens = said.billed_units or said.tokens or wire.TokensIn()
    if tokens == wire.TokensIn():
        tokens = said.tokens or tokens
    prompt = _count(tokens.input_tokens)
    cached = min(_count(said.cached_tokens), prompt)
    return Usage(input_tokens=prompt - cached, cache_read_tokens=cached, output_tokens=_count(tokens.output_tokens))


def _count(tokens: float | None) -> int:
    return int(min(max(tokens or 0, 0), TOKENS_MAX))
