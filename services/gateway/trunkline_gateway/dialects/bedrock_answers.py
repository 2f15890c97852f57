"""What AWS Bedrock's Converse answers, as events: whole answers and streams by the same steps, block by block.

A stream's data are its messages, each as one object with its name: `{"contentBlockDelta": {…}}`.
"""

from typing import Final

import msgspec
from msgspec import Raw

from trunkline_gateway.dialects import bedrock_wire as wire
from trunkline_gateway.dialects.assembly import Answer, assemble
from trunkline_gateway.dialects.bedrock_turns import OWN
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
from trunkline_gateway.dialects.reading import NOTHING, UNDECODABLE, answered, compact, present
from trunkline_gateway.usage import TOKENS_MAX
from trunkline_kit.errors import UpstreamError

_FINISHES = {
    "end_turn": FinishReason.STOP,
    "tool_use": FinishReason.TOOL_CALLS,
    "max_tokens": FinishReason.LENGTH,
    "stop_sequence": FinishReason.STOP_SEQUENCE,
    "guardrail_intervened": FinishReason.CONTENT_FILTER,
    "content_filtered": FinishReason.CONTENT_FILTER,
    "malformed_model_output": FinishReason.ERROR,
    "malformed_tool_use": FinishReason.ERROR,
    "model_context_window_exceeded": FinishReason.CONTEXT_FULL,
    "refusal": FinishReason.REFUSAL,
}
_ERRORS = {
    "throttlingException": ("rate_limit_error", True),
    "validationException": ("invalid_request_error", False),
    "internalServerException": ("server_error", True),
    "modelStreamErrorException": ("server_error", True),
    "modelTimeoutException": ("server_error", True),
    "serviceUnavailableException": ("server_error", True),
}
"""By their name in a stream: OpenAI's word for their type, by which errors are judged, and whether to try again."""
UNKNOWN_ERROR: Final = "error"
"""The name of an error that is none of the model's, such as a broken connection inside AWS."""


class _Output(msgspec.Struct, frozen=True):
    message: "_Message | None" = None


class _Message(msgspec.Struct, frozen=True):
    content: list[Raw] = []


class _Whole(msgspec.Struct, frozen=True, rename="camel"):
    output: _Output | None = None
    stop_reason: str | None = None
    usage: wire.TokenUsage | None = None
    message: str | None = None


class _Start(msgspec.Struct, frozen=True, rename="camel"):
    start: wire.BlockIn = wire.BlockIn()
    content_block_index: int = 0


class _ToolUseDelta(msgspec.Struct, frozen=True):
    input: str = ""


class _DeltaBlock(msgspec.Struct, frozen=True, rename="camel"):
    text: str | None = None
    tool_use: _ToolUseDelta | None = None
    reasoning_content: wire.ReasoningIn | None = None
    citation: Raw = NOTHING


class _Delta(msgspec.Struct, frozen=True, rename="camel"):
    delta: _DeltaBlock = _DeltaBlock()
    content_block_index: int = 0


class _Stop(msgspec.Struct, frozen=True, rename="camel"):
    content_block_index: int = 0


class _MessageStop(msgspec.Struct, frozen=True, rename="camel"):
    stop_reason: str | None = None


class _Metadata(msgspec.Struct, frozen=True):
    usage: wire.TokenUsage | None = None


class _Event(msgspec.Struct, frozen=True, rename="camel"):
    content_block_delta: _Delta | None = None
    content_block_start: _Start | None = None
    content_block_stop: _Stop | None = None
    message_start: Raw = NOTHING
    message_stop: _MessageStop | None = None
    metadata: _Metadata | None = None


class _Said(msgspec.Struct, frozen=True):
    message: str | None = None


_decode = msgspec.json.Decoder(_Event).decode
_decode_error = msgspec.json.Decoder(dict[str, _Said]).decode
_decode_names = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_whole = msgspec.json.Decoder(_Whole)
_decode_block = msgspec.json.Decoder(wire.BlockIn)
_decode_citation = msgspec.json.Decoder(wire.CitationIn).decode


def decode_answer(data: bytes) -> Answer:
    """A whole answer. Raises UpstreamError for one that is none."""
    whole = answered(data, _decode_whole)
    message = whole.output.message if whole.output is not None else None
    if message is None or whole.stop_reason is None:
        raise UpstreamError(f"the provider answered with nothing: {whole.message or 'no stop reason'}")
    decoder = StreamDecoder()
    events: list[Event] = [Begin()]
    for index, raw in enumerate(message.content):
        events += decoder.block(answered(bytes(raw), _decode_block), raw, index)
    events.append(_finish(whole.stop_reason))
    decoder.count(whole.usage)
    return assemble([*events, *decoder.close()])


class StreamDecoder:
    """One stream's events. Feed it the JSON of each message, in order."""

    def __init__(self) -> None:
        self._usage: wire.TokenUsage | None = None
        self._begun = False
        self._closed = False
        self._finished = False
        self._calls = 0
        self._empty: set[int] = set()
        """Blocks of tool calls without a fragment so far."""
        self._foreign: set[int] = set()
        """Blocks without a counterpart."""
        self._halves = Halves()

    def feed(self, data: bytes) -> list[Event]:
        """Never raises: what is not of this dialect is an `Other`."""
        try:
            event = _decode(data)
        except UNDECODABLE:
            try:
                event = _decode(self._halves.mended(data))
            except UNDECODABLE:
                return [Other(MALFORMED, Raw(data))]
        events: list[Event] = []
        if event.content_block_delta is not None:
            events = self._delta(event.content_block_delta, data)
        elif event.content_block_start is not None:
            events = self._start(event.content_block_start, data)
        elif event.content_block_stop is not None:
            events = self._stop(event.content_block_stop.content_block_index)
        elif event.message_stop is not None:
            events = self._message_stop(event.message_stop)
        elif event.metadata is not None:
            self.count(event.metadata.usage)
        elif event.message_start is NOTHING:
            return _unknown(data)
        return self._after_begin(events)

    def close(self) -> list[Event]:
        """At the end, said or not: the usage, once."""
        if self._closed or self._usage is None:
            return []
        self._closed = True
        return [_usage(self._usage)]

    def count(self, usage: wire.TokenUsage | None) -> None:
        self._usage = usage or self._usage

    def block(self, block: wire.BlockIn, raw: Raw, index: int) -> list[Event]:
        """A whole block."""
        events: list[Event] = []
        if block.text is not None:
            events = [TextDelta(block.text, 0, index)] if block.text else []
        elif block.reasoning_content is not None:
            events = _thoughts(block.reasoning_content, index)
        elif block.tool_use is not None and block.tool_use.type is None:
            given = present(block.tool_use.input)
            begin = self._call(block.tool_use, index)
            events = [begin, ToolCallDelta("{}" if given is None else compact(given), 0, index)]
        elif block.citations_content is not None:
            said = "".join([piece.text or "" for piece in block.citations_content.content or ()])
            cited = [CitationEvent(citation_of(one), 0, index) for one in block.citations_content.citations or ()]
            events = [*([TextDelta(said, 0, index)] if said else []), *cited]
        else:
            return [Other("block", raw)]
        return [*events, BlockEnd(0, index)]

    def _after_begin(self, events: list[Event]) -> list[Event]:
        if self._begun:
            return events
        self._begun = True
        return [Begin(), *events]

    def _start(self, started: _Start, data: bytes) -> list[Event]:
        index, call = started.content_block_index, started.start.tool_use
        if call is None or call.type is not None:
            self._foreign.add(index)
            return [Other("contentBlockStart", Raw(data))]
        self._empty.add(index)
        return [self._call(call, index)]

    def _call(self, call: wire.ToolUseIn, index: int) -> ToolCallBegin:
        self._calls += 1
        return ToolCallBegin(self._calls - 1, call.tool_use_id, call.name, 0, index)

    def _stop(self, index: int) -> list[Event]:
        if index in self._foreign:
            return []
        end = BlockEnd(0, index)
        if index not in self._empty:
            return [end]
        self._empty.discard(index)
        return [ToolCallDelta("{}", 0, index), end]

    def _delta(self, said: _Delta, data: bytes) -> list[Event]:
        delta, index = said.delta, said.content_block_index
        cited = present(delta.citation)
        if index in self._foreign:
            return [Other("contentBlockDelta", Raw(data))]
        found: list[Event] = []
        if delta.text is not None:
            found = [TextDelta(delta.text, 0, index)] if delta.text else []
        elif delta.tool_use is not None:
            if delta.tool_use.input:
                self._empty.discard(index)
                found = [ToolCallDelta(delta.tool_use.input, 0, index)]
        elif delta.reasoning_content is not None:
            found = _thoughts(delta.reasoning_content, index)
        else:
            found = [
                Other("contentBlockDelta", Raw(data)) if cited is None else CitationEvent(citation_of(cited), 0, index)
            ]
        return found

    def _message_stop(self, said: _MessageStop) -> list[Event]:
        if said.stop_reason is None or self._finished:
            return []
        self._finished = True
        # A call whose block was not ended still has arguments.
        events: list[Event] = [ToolCallDelta("{}", 0, index) for index in sorted(self._empty)]
        self._empty.clear()
        return [*events, _finish(said.stop_reason)]


def _unknown(data: bytes) -> list[Event]:
    """An exception, or a message of the future."""
    try:
        names = [*_decode_names(data)]
    except UNDECODABLE:
        names = []
    name = names[0] if names else ""
    if name not in _ERRORS and name != UNKNOWN_ERROR and not name.endswith("Exception"):
        return [Other(name or MALFORMED, Raw(data))]
    try:
        message = _decode_error(data)[name].message or ""
    except UNDECODABLE:
        message = ""
    kind, retryable = _ERRORS.get(name, ("server_error", True))
    return [ErrorEvent(message or name, kind, name, retryable=retryable)]


def _finish(reason: str) -> Finish:
    return Finish(_FINISHES.get(reason, FinishReason.OTHER), 0, reason)


def _thoughts(said: wire.ReasoningIn, index: int) -> list[Event]:
    if said.redacted_content:
        return [ReasoningDelta("", 0, index, encrypted=said.redacted_content, origin=OWN)]
    whole = said.reasoning_text
    text, proof = (whole.text, whole.signature) if whole is not None else (said.text, said.signature)
    if not text and not proof:
        return []
    return [ReasoningDelta(text or "", 0, index, proof or "", origin=OWN if proof else "")]


def citation_of(raw: Raw) -> Citation:
    """Where a text comes from; by URL where there is one."""
    try:
        said = _decode_citation(raw)
    except UNDECODABLE:
        said = wire.CitationIn()
    web = said.location.web if said.location is not None else None
    quote = "".join([piece.text or "" for piece in said.source_content or ()])
    url = web.url if web is not None else None
    return Citation(url=url or "", title=said.title or "", quote=quote, native=raw, origin=OWN)


def _usage(said: wire.TokenUsage) -> Usage:
    """Bedrock's input tokens are those that no cache had or got."""
    long_lived = sum(_count(detail.input_tokens) for detail in said.cache_details or () if detail.ttl == "1h")
    return Usage(
        input_tokens=_count(said.input_tokens),
        cache_read_tokens=_count(said.cache_read_input_tokens),
        cache_write_tokens=_count(said.cache_write_input_tokens),
        cache_write_1h_tokens=min(long_lived, _count(said.cache_write_input_tokens)),
        output_tokens=_count(said.output_tokens),
    )


def _count(tokens: int | None) -> int:
    return min(max(tokens or 0, 0), TOKENS_MAX)
