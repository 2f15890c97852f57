"""One output item of a Responses stream on its way: announced, said piece by piece, and said once more as a whole."""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from trunkline_gateway.dialects import responses_wire as wire
from trunkline_gateway.dialects.assembly import AnswerPart, BlockFold
from trunkline_gateway.dialects.canonical import Audio, Citation, Reasoning, Refusal, Text, ToolCall
from trunkline_gateway.dialects.chat_wire import TokenLogprob
from trunkline_gateway.dialects.events import (
    AudioDelta,
    CitationEvent,
    Delta,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallBegin,
    ToolCallDelta,
)
from trunkline_gateway.dialects.frames import Frame
from trunkline_gateway.dialects.responses_answers import COMPLETED, IN_PROGRESS, citation_out, item_of

_DELTAS: dict[type[AnswerPart], str] = {
    Text: "response.output_text.delta",
    Audio: "response.output_text.delta",
    Refusal: "response.refusal.delta",
    Reasoning: "response.reasoning_summary_text.delta",
    ToolCall: "response.function_call_arguments.delta",
}
_PLACES: dict[type[AnswerPart], bytes] = {
    Text: b',"content_index":0,"logprobs":[]',
    Audio: b',"content_index":0,"logprobs":[]',
    Refusal: b',"content_index":0',
    Reasoning: b',"summary_index":0',
    ToolCall: b"",
}


class _Event(msgspec.Struct, frozen=True, kw_only=True):
    """Of every type: what one has not is left out."""

    type: str
    item: wire.OutputItem | UnsetType = UNSET
    item_id: str | UnsetType = UNSET
    output_index: int | UnsetType = UNSET
    content_index: int | UnsetType = UNSET
    summary_index: int | UnsetType = UNSET
    part: wire.OutputText | wire.OutputRefusal | wire.SummaryText | UnsetType = UNSET
    delta: str | UnsetType = UNSET
    text: str | UnsetType = UNSET
    refusal: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    arguments: str | UnsetType = UNSET
    annotation: wire.UrlCitation | UnsetType = UNSET
    annotation_index: int | UnsetType = UNSET
    logprobs: list[TokenLogprob] | UnsetType = UNSET
    code: str | UnsetType = UNSET
    message: str | UnsetType = UNSET
    param: str | UnsetType | None = UNSET
    sequence_number: int


_encode = msgspec.json.Encoder().encode


class Sequence:
    """Numbers the events of one stream and collects them until they are taken."""

    def __init__(self) -> None:
        self._number = 0
        self._frames: list[Frame] = []

    def take(self) -> list[Frame]:
        """Everything since the last time."""
        frames, self._frames = self._frames, []
        return frames

    def emit(self, **fields: Any) -> None:
        event = _Event(sequence_number=self._number, **fields)
        self._number += 1
        self._frames.append(Frame(_encode(event), event.type))

    def emit_raw(self, name: str, head: bytes) -> None:
        """`head` is an object without its end."""
        self._frames.append(Frame(b'%b,"sequence_number":%d}' % (head, self._number), name))
        self._number += 1


class Item:
    """One item under way, at its `index` of the output."""

    def __init__(self, empty: AnswerPart, index: int, name: str, out: Sequence) -> None:
        self.index = index
        self.is_over = False
        """Whether its end is known, though not yet said."""
        self.kind: type[AnswerPart] = type(empty)
        self._empty = empty
        self._id = name
        self._out = out
        self._fold: BlockFold | None = None
        self._citations = 0
        self._logprobs: list[TokenLogprob] = []
        self._has_part = False
        """Whether its text was announced."""
        self._delta_name = _DELTAS[self.kind]
        self._delta_head = b'{"type":"%b","item_id":%b,"output_index":%d%b,"delta":' % (
            self._delta_name.encode(),
            _encode(name),
            index,
            _PLACES[self.kind],
        )
        shown = item_of(empty, name, IN_PROGRESS, [])
        if isinstance(shown, wire.OutputMessage):
            shown = msgspec.structs.replace(shown, content=[])
        out.emit(type="response.output_item.added", output_index=index, item=shown)

    def add(self, event: Delta) -> None:
        """One event of its block."""
        if self._fold is None:
            self._fold = BlockFold(event)
        self._fold.add(event)
        if isinstance(event, CitationEvent):
            self._cite(event.citation)
        elif text := _text_of(event):
            self._begin_part()
            self._out.emit_raw(self._delta_name, self._delta_head + _encode(text))

    def add_logprobs(self, tokens: list[TokenLogprob]) -> None:
        self._logprobs += tokens
        self._begin_part()
        self._emit(self._delta_name, content_index=0, delta="", logprobs=tokens)

    def close(self, status: str) -> wire.OutputItem:
        """Say it as a whole; returns it."""
        part = self._part()
        if isinstance(part, ToolCall):
            self._emit("response.function_call_arguments.done", name=part.name, arguments=part.arguments)
        elif self._has_part:
            self._emit_text_done(part)
            self._emit_part("done", part)
        done = item_of(part, self._id, status, self._logprobs)
        self._out.emit(type="response.output_item.done", output_index=self.index, item=done)
        return done

    def _part(self) -> AnswerPart:
        part = None if self._fold is None else self._fold.part()
        return self._empty if part is None else part

    def _begin_part(self) -> None:
        if not self._has_part and self.kind is not ToolCall:
            self._has_part = True
            self._emit_part("added", self._empty)

    def _emit(self, event_type: str, **fields: Any) -> None:
        self._out.emit(type=event_type, item_id=self._id, output_index=self.index, **fields)

    def _emit_part(self, what: str, part: AnswerPart) -> None:
        if isinstance(part, Reasoning):
            shown = wire.SummaryText(text=part.text)
            self._emit(f"response.reasoning_summary_part.{what}", summary_index=0, part=shown)
        else:
            self._emit(f"response.content_part.{what}", content_index=0, part=self._content(part))

    def _emit_text_done(self, part: AnswerPart) -> None:
        match part:
            case Reasoning():
                self._emit("response.reasoning_summary_text.done", summary_index=0, text=part.text)
            case Refusal():
                self._emit("response.refusal.done", content_index=0, refusal=part.text)
            case Text():
                self._emit("response.output_text.done", content_index=0, text=part.text, logprobs=self._logprobs)
            case Audio():
                self._emit("response.output_text.done", content_index=0, text=part.transcript, logprobs=[])
            case ToolCall():
                pass

    def _content(self, part: AnswerPart) -> wire.OutputText | wire.OutputRefusal:
        shown = item_of(part, self._id, COMPLETED, self._logprobs)
        return shown.content[0] if isinstance(shown, wire.OutputMessage) else wire.OutputText(text="")

    def _cite(self, citation: Citation) -> None:
        if not citation.url:
            return
        self._begin_part()
        part = self._part()
        self._emit(
            "response.output_text.annotation.added",
            content_index=0,
            annotation_index=self._citations,
            annotation=citation_out(citation, len(part.text) if isinstance(part, Text) else 0),
        )
        self._citations += 1


def empty_of(event: Delta) -> AnswerPart | None:
    """What an event begins; None for one that cannot begin anything."""
    match event:
        case ToolCallBegin():
            return ToolCall(id=event.id, name=event.name, arguments="", signature=event.signature)
        case ReasoningDelta():
            return Reasoning()
        case RefusalDelta():
            return Refusal(text="")
        case TextDelta() | CitationEvent():
            return Text(text="")
        case AudioDelta():
            return Audio()
        case ToolCallDelta():
            return None


def _text_of(event: Delta) -> str:
    match event:
        case TextDelta() | ReasoningDelta() | RefusalDelta():
            return event.text
        case ToolCallDelta():
            return event.arguments
        case AudioDelta():
            return event.transcript
        case _:
            return ""
