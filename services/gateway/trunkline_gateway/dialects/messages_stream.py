"""A canonical answer as Anthropic's named events, made as its events come.

Anthropic's blocks follow one another, while other dialects let tool calls alternate: what comes for another block while
a tool call is still open is held back until that call is complete, which is when its arguments are a JSON object. Text
never waits for text: it goes into a block of its own.
"""

import msgspec
from msgspec import Raw

from trunkline_gateway.dialects import messages_wire as wire
from trunkline_gateway.dialects.canonical import Reasoning
from trunkline_gateway.dialects.events import (
    AudioDelta,
    Begin,
    BlockEnd,
    CitationEvent,
    Delta,
    Event,
    Finish,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallBegin,
    ToolCallDelta,
    Usage,
)
from trunkline_gateway.dialects.frames import Frame, Head
from trunkline_gateway.dialects.messages_answers import (
    BlockOut,
    MessageOut,
    RedactedOut,
    TextOut,
    ThinkingOut,
    ToolUseOut,
    citation_out,
    encode_error,
    stop_reason,
    usage_out,
)
from trunkline_gateway.dialects.messages_requests import OWN
from trunkline_gateway.dialects.proofs import sealed
from trunkline_gateway.dialects.reading import UNDECODABLE
from trunkline_kit.errors import TrunklineError

PING = Frame(b'{"type":"ping"}', "ping")
"""For silent streams: clients of this dialect know it."""
_STOP = Frame(b'{"type":"message_stop"}', "message_stop")
_DELTA, _BEGIN, _END = "content_block_delta", "content_block_start", "content_block_stop"
_NO_INPUT = Raw(b"{}")


class _TextDelta(msgspec.Struct, frozen=True, tag_field="type", tag="text_delta"):
    text: str


class _ThinkingDelta(msgspec.Struct, frozen=True, tag_field="type", tag="thinking_delta"):
    thinking: str


class _SignatureDelta(msgspec.Struct, frozen=True, tag_field="type", tag="signature_delta"):
    signature: str


class _InputDelta(msgspec.Struct, frozen=True, tag_field="type", tag="input_json_delta"):
    partial_json: str


class _CitationDelta(msgspec.Struct, frozen=True, tag_field="type", tag="citations_delta"):
    citation: Raw


_Piece = _TextDelta | _ThinkingDelta | _SignatureDelta | _InputDelta | _CitationDelta


class _BlockDelta(msgspec.Struct, frozen=True, tag_field="type", tag=_DELTA):
    index: int
    delta: _Piece


class _BlockStart(msgspec.Struct, frozen=True, tag_field="type", tag=_BEGIN):
    index: int
    content_block: BlockOut


class _MessageStart(msgspec.Struct, frozen=True, tag_field="type", tag="message_start"):
    message: MessageOut


class _End(msgspec.Struct, frozen=True):
    stop_reason: str | None
    stop_sequence: str | None


class _MessageDelta(msgspec.Struct, frozen=True, tag_field="type", tag="message_delta"):
    delta: _End
    usage: wire.UsageOut


_encode = msgspec.json.Encoder().encode
_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode


class StreamEncoder:
    """Events of one answer in, named events out. Choices after the first are not Anthropic's and are left out."""

    def __init__(self, head: Head) -> None:
        self._head = head
        self._begun = False
        self._index = -1
        """Of the last block that was begun."""
        self._open: int | None = None
        """The canonical block that is open now."""
        self._arguments: list[str] | None = None
        """Of the open block, where it is a tool call."""
        self._held: list[Delta | BlockEnd] = []
        self._refused = False
        self._finish: Finish | None = None
        self._usage = Usage()
        self._ended = False

    def encode(self, events: list[Event]) -> list[Frame]:
        """The frames that these events make."""
        frames: list[Frame] = []
        for event in events:
            match event:
                case TextDelta() if event.block == self._open and event.choice == 0:
                    frames.append(_delta(self._index, _TextDelta(event.text)))
                case Begin():
                    self._start(event, frames)
                case Finish() if event.choice == 0:
                    self._finish = event
                    self._flush(frames)
                case Usage():
                    self._usage = event
                    if self._finish is not None:
                        self._end(frames)
                case TextDelta() | ReasoningDelta() | RefusalDelta() | ToolCallBegin() | ToolCallDelta():
                    self._step(event, frames)
                case CitationEvent() | AudioDelta() | BlockEnd():
                    self._step(event, frames)
                case _:
                    pass
        return frames

    def end(self) -> list[Frame]:
        """After everything was said."""
        frames: list[Frame] = []
        self._end(frames)
        return [*frames, _STOP]

    def broken(self, error: TrunklineError) -> list[Frame]:
        """Instead of an end."""
        return [Frame(encode_error(error), "error")]

    def _start(self, begun: Begin, frames: list[Frame]) -> None:
        if self._begun:
            return
        self._begun = True
        message = MessageOut(
            id=self._head.id_of(begun.id),
            model=self._head.model or begun.model,
            usage=usage_out(begun.usage or Usage()),
        )
        frames.append(Frame(_encode(_MessageStart(message)), "message_start"))

    def _end(self, frames: list[Frame]) -> None:
        """The message's own last words, once."""
        if self._ended:
            return
        self._ended = True
        self._start(Begin(), frames)
        self._flush(frames)
        finish = self._finish
        reason = stop_reason(finish.reason if finish else None, refused=self._refused)
        end = _End(reason, (finish.stop_sequence if finish else "") or None)
        frames.append(Frame(_encode(_MessageDelta(end, usage_out(self._usage))), "message_delta"))

    def _step(self, event: Delta | BlockEnd, frames: list[Frame]) -> None:
        if event.choice != 0:
            return
        self._start(Begin(), frames)
        if event.block == self._open:
            self._say(event, frames)
        elif isinstance(event, BlockEnd | ToolCallDelta) and not self._is_held(event.block):
            # The rest of a block that is closed already: of a call, blanks after its arguments.
            return
        elif self._arguments is not None and not _complete(self._arguments):
            self._held.append(event)
        else:
            self._close(frames)
            self._held.append(event)
            self._drain(frames)

    def _is_held(self, block: int) -> bool:
        return any(event.block == block for event in self._held)

    def _drain(self, frames: list[Frame]) -> None:
        """Everything that was held, as far as the call that opens on the way lets it through."""
        held, self._held = self._held, []
        for place, event in enumerate(held):
            if event.block != self._open:
                if self._arguments is not None and not _complete(self._arguments):
                    self._hold(held[place:], frames)
                    return
                self._close(frames)
            self._say(event, frames)

    def _hold(self, rest: list[Delta | BlockEnd], frames: list[Frame]) -> None:
        """Of what is held, the open block's own goes on."""
        for event in rest:
            if event.block == self._open:
                self._say(event, frames)
            else:
                self._held.append(event)

    def _flush(self, frames: list[Frame]) -> None:
        """At the end every call is complete: block by block, in the order they began."""
        self._close(frames)
        held, self._held = self._held, []
        places = {event.block: place for place, event in reversed([*enumerate(held)])}
        for event in sorted(held, key=lambda event: places[event.block]):
            if event.block != self._open:
                self._close(frames)
            self._say(event, frames)
        self._close(frames)

    def _close(self, frames: list[Frame]) -> None:
        if self._open is not None:
            frames.append(Frame(b'{"type":"content_block_stop","index":%d}' % self._index, _END))
        self._open = self._arguments = None

    def _say(self, event: Delta | BlockEnd, frames: list[Frame]) -> None:
        if isinstance(event, BlockEnd):
            if event.block == self._open:
                self._close(frames)
            return
        if self._open is None:
            block = _block_of(event)
            if block is None:
                return
            self._open = event.block
            self._index += 1
            self._arguments = [] if isinstance(event, ToolCallBegin) else None
            frames.append(Frame(_encode(_BlockStart(self._index, block)), _BEGIN))
        self._refused = self._refused or isinstance(event, RefusalDelta)
        if isinstance(event, ToolCallDelta) and self._arguments is not None:
            self._arguments.append(event.arguments)
        frames += [_delta(self._index, piece) for piece in _pieces(event)]


def _delta(index: int, piece: _Piece) -> Frame:
    return Frame(_encode(_BlockDelta(index, piece)), _DELTA)


def _complete(arguments: list[str]) -> bool:
    """Whether nothing can follow any more."""
    if not arguments or not arguments[-1].rstrip().endswith("}"):
        return False
    try:
        _decode_object("".join(arguments))
    except UNDECODABLE:
        return False
    return True


def _block_of(event: Delta) -> BlockOut | None:
    """The empty block an event begins; None for one that cannot begin any."""
    match event:
        case ToolCallBegin():
            return ToolUseOut(event.id, event.name, _NO_INPUT)
        case ReasoningDelta():
            thought = Reasoning(encrypted=event.encrypted, origin=event.origin)
            return RedactedOut(sealed(thought, OWN)) if event.encrypted else ThinkingOut("", "")
        case TextDelta() | RefusalDelta() | CitationEvent():
            return TextOut("")
        case AudioDelta():
            return TextOut("") if event.transcript else None
        case ToolCallDelta():
            return None


def _pieces(event: Delta) -> list[_Piece]:
    match event:
        case TextDelta() | RefusalDelta():
            return [_TextDelta(event.text)]
        case ToolCallDelta():
            return [_InputDelta(event.arguments)]
        case ReasoningDelta():
            thoughts: list[_Piece] = [_ThinkingDelta(event.text)] if event.text else []
            proof = sealed(Reasoning(signature=event.signature, origin=event.origin), OWN)
            return [*thoughts, _SignatureDelta(proof)] if proof else thoughts
        case CitationEvent():
            raw = citation_out(event.citation)
            return [] if raw is None else [_CitationDelta(raw)]
        case AudioDelta():
            return [_TextDelta(event.transcript)] if event.transcript else []
        case ToolCallBegin():
            return []
