"""What Anthropic answers, as events: whole messages and streams by the same steps, block by block."""

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Raw

from trunkline_gateway.dialects import messages_wire as wire
from trunkline_gateway.dialects.assembly import Answer, assemble
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
from trunkline_gateway.dialects.messages_requests import OWN, citation_of
from trunkline_gateway.dialects.reading import NOTHING, UNDECODABLE, answered, compact, present
from trunkline_gateway.usage import TOKENS_MAX
from trunkline_kit.errors import UpstreamError

_FINISHES = {
    "end_turn": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "stop_sequence": FinishReason.STOP_SEQUENCE,
    "tool_use": FinishReason.TOOL_CALLS,
    "pause_turn": FinishReason.PAUSE,
    "refusal": FinishReason.REFUSAL,
    "model_context_window_exceeded": FinishReason.CONTEXT_FULL,
}
_RETRYABLE = frozenset({"overloaded_error", "api_error", "rate_limit_error", "timeout_error"})
_OURS: Final = frozenset({"text", "thinking", "redacted_thinking", "tool_use"})
"""Blocks with a counterpart."""


class _Block(msgspec.Struct, frozen=True):
    type: str = ""
    text: str = ""
    thinking: str = ""
    signature: str = ""
    data: str = ""
    id: str = ""
    name: str = ""
    input: Raw = NOTHING
    citations: list[Raw] | None = None


class _Message(msgspec.Struct, frozen=True):
    id: str = ""
    model: str = ""
    content: list[Raw] = []
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: wire.UsageIn | None = None
    type: str = ""
    error: wire.ErrorIn | None = None


class _Delta(msgspec.Struct, frozen=True):
    """Of a block by its `type`, or of the message."""

    type: str = ""
    text: str = ""
    partial_json: str = ""
    thinking: str = ""
    signature: str = ""
    citation: Raw = NOTHING
    stop_reason: str | None = None
    stop_sequence: str | None = None


class _Event(msgspec.Struct, frozen=True):
    type: str
    index: int = 0
    delta: _Delta | None = None
    content_block: _Block | None = None
    message: _Message | None = None
    usage: wire.UsageIn | None = None
    error: wire.ErrorIn | None = None


_decode = msgspec.json.Decoder(_Event).decode
_decode_message = msgspec.json.Decoder(_Message)
_decode_block = msgspec.json.Decoder(_Block)


def decode_answer(data: bytes) -> Answer:
    """A whole message. Raises UpstreamError for one that is none."""
    message = answered(data, _decode_message)
    if message.type == "error" or message.stop_reason is None:
        text = message.error.message if message.error is not None else "no stop reason"
        raise UpstreamError(f"the provider answered with nothing: {text}")
    decoder = StreamDecoder()
    events: list[Event] = [Begin(id=message.id, model=message.model)]
    for index, raw in enumerate(message.content):
        block = answered(bytes(raw), _decode_block)
        if block.type not in _OURS:
            events.append(Other(block.type, raw))
            continue
        events += decoder.block_begun(block, index)
        events += decoder.block_ended(index)
    events.append(_finish(message.stop_reason, message.stop_sequence))
    decoder.count(message.usage)
    return assemble([*events, *decoder.close()])


class StreamDecoder:
    """One stream's events. Feed it the data of each event, in order."""

    def __init__(self) -> None:
        self._usage = wire.UsageIn()
        self._counted = False
        """Whether the output was counted: what comes at the start is a placeholder."""
        self._closed = False
        self._finished = False
        self._calls = 0
        self._inputs: dict[int, str] = {}
        """Of tool calls without a fragment so far: what their block began with."""
        self._foreign: set[int] = set()
        """Blocks without a counterpart."""
        self._halves = Halves()
        self._steps: dict[str, Callable[[_Event, bytes], list[Event] | None]] = {
            "content_block_delta": self._delta,
            "content_block_start": self._block_start,
            "content_block_stop": self._block_stop,
            "message_start": self._begin,
            "message_delta": self._message_delta,
            "message_stop": lambda _event, _data: self.close(),
            "error": lambda event, _data: [_error(event.error or wire.ErrorIn())],
            "ping": lambda _event, _data: [],
        }
        """None for an event that is not of the shape its type says."""

    def feed(self, data: bytes) -> list[Event]:
        """Never raises: what is not of this dialect is an `Other`."""
        try:
            event = _decode(data)
        except UNDECODABLE:
            try:
                event = _decode(self._halves.mended(data))
            except UNDECODABLE:
                return [Other(MALFORMED, Raw(data))]
        step = self._steps.get(event.type)
        found = step(event, data) if step is not None else None
        return [Other(event.type, Raw(data))] if found is None else found

    def close(self) -> list[Event]:
        """At the end, said or not: the usage, once."""
        if self._closed or not self._counted:
            return []
        self._closed = True
        return [_usage(self._usage)]

    def count(self, usage: wire.UsageIn | None) -> None:
        """Counts are cumulative; what is left out stays."""
        if usage is None:
            return
        self._counted = self._counted or usage.output_tokens is not None
        self._take(usage)

    def _take(self, usage: wire.UsageIn) -> None:
        said = {name: value for name in usage.__struct_fields__ if (value := getattr(usage, name)) is not None}
        self._usage = msgspec.structs.replace(self._usage, **said)

    def _begin(self, event: _Event, _data: bytes) -> list[Event] | None:
        message = event.message
        if message is None:
            return None
        usage = None
        if message.usage is not None:
            self._take(message.usage)
            usage = _usage(msgspec.structs.replace(self._usage, output_tokens=0))
        return [Begin(id=message.id, model=message.model, usage=usage)]

    def _block_start(self, event: _Event, data: bytes) -> list[Event] | None:
        block = event.content_block
        if block is None:
            return None
        if block.type not in _OURS:
            self._foreign.add(event.index)
            return [Other(block.type, Raw(data))]
        return self.block_begun(block, event.index)

    def _block_stop(self, event: _Event, _data: bytes) -> list[Event]:
        return [] if event.index in self._foreign else self.block_ended(event.index)

    def block_begun(self, block: _Block, index: int) -> list[Event]:
        """What a block says when it begins: nothing in streams, everything in whole answers."""
        events: list[Event] = []
        if block.type == "tool_use":
            events.append(ToolCallBegin(self._calls, block.id, block.name, 0, index))
            self._calls += 1
            given = present(block.input)
            self._inputs[index] = "{}" if given is None else compact(given)
        elif block.type == "text":
            if block.text:
                events.append(TextDelta(block.text, 0, index))
            events += [CitationEvent(citation_of(raw), 0, index) for raw in block.citations or ()]
        elif block.type == "thinking":
            if block.thinking or block.signature:
                origin = OWN if block.signature else ""
                events.append(ReasoningDelta(block.thinking, 0, index, block.signature, origin=origin))
        elif block.data:
            events.append(ReasoningDelta("", 0, index, encrypted=block.data, origin=OWN))
        return events

    def block_ended(self, index: int) -> list[Event]:
        """A call without fragments has what its block began with."""
        given = self._inputs.pop(index, None)
        if given is None:
            return [BlockEnd(0, index)]
        return [ToolCallDelta(given, 0, index), BlockEnd(0, index)]

    def _delta(self, event: _Event, _data: bytes) -> list[Event] | None:
        delta, index = event.delta, event.index
        found: list[Event] | None = []
        if delta is None or index in self._foreign:
            return None
        match delta.type:
            case "text_delta":
                found = [TextDelta(delta.text, 0, index)] if delta.text else []
            case "input_json_delta":
                if delta.partial_json:
                    self._inputs.pop(index, None)
                    found = [ToolCallDelta(delta.partial_json, 0, index)]
            case "thinking_delta":
                found = [ReasoningDelta(delta.thinking, 0, index)] if delta.thinking else []
            case "signature_delta":
                proof = delta.signature
                found = [ReasoningDelta("", 0, index, proof, origin=OWN)] if proof else []
            case "citations_delta" if present(delta.citation) is not None:
                found = [CitationEvent(citation_of(delta.citation), 0, index)]
            case _:
                found = None
        return found

    def _message_delta(self, event: _Event, _data: bytes) -> list[Event]:
        self.count(event.usage)
        delta = event.delta
        if delta is None or delta.stop_reason is None or self._finished:
            return []
        self._finished = True
        return [_finish(delta.stop_reason, delta.stop_sequence)]


def _finish(reason: str, sequence: str | None) -> Finish:
    return Finish(_FINISHES.get(reason, FinishReason.OTHER), 0, reason, sequence or "")


def _error(said: wire.ErrorIn) -> ErrorEvent:
    return ErrorEvent(said.message, said.type, retryable=said.type in _RETRYABLE or not said.type)


def _usage(said: wire.UsageIn) -> Usage:
    long_lived = said.cache_creation.ephemeral_1h_input_tokens if said.cache_creation is not None else 0
    details = said.output_tokens_details
    return Usage(
        input_tokens=_count(said.input_tokens),
        cache_read_tokens=_count(said.cache_read_input_tokens),
        cache_write_tokens=_count(said.cache_creation_input_tokens),
        cache_write_1h_tokens=_count(long_lived),
        output_tokens=_count(said.output_tokens),
        reasoning_tokens=_count(details.thinking_tokens if details is not None else 0),
    )


def _count(tokens: int | None) -> int:
    return min(max(tokens or 0, 0), TOKENS_MAX)
