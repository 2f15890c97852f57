"""A canonical answer as a stream of chat completion chunks, made as its events come."""

import msgspec
from msgspec import UNSET, UnsetType

from trunkline_gateway.dialects import chat_wire as wire
from trunkline_gateway.dialects.canonical import Citation, Reasoning
from trunkline_gateway.dialects.chat_answers import (
    FINISHES,
    annotation,
    encode_error,
    extra,
    logprobs,
    thinking_block,
)
from trunkline_gateway.dialects.events import (
    AudioDelta,
    Begin,
    BlockEnd,
    CitationEvent,
    Delta,
    Event,
    Finish,
    LogprobsEvent,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallBegin,
    ToolCallDelta,
    Usage,
)
from trunkline_gateway.dialects.frames import Frame, Head
from trunkline_gateway.dialects.openai_usage import openai_usage
from trunkline_gateway.sse import DONE
from trunkline_kit.errors import TrunklineError


class _ChunkChoice(msgspec.Struct, frozen=True):
    index: int
    delta: wire.Delta
    logprobs: wire.Logprobs | UnsetType = UNSET
    finish_reason: str | None = None


class _ChunkHead(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    object: str = "chat.completion.chunk"
    created: int
    model: str


_encode = msgspec.json.Encoder().encode


class _Said:
    """What of one choice is needed again later."""

    __slots__ = ("begun", "citations", "indexes", "length", "starts", "thoughts")

    def __init__(self) -> None:
        self.begun = False
        """Whether the role was said."""
        self.indexes: dict[int, int] = {}
        """Of tool calls, by block."""
        self.length = 0
        """Of the text so far, in characters."""
        self.starts: dict[int, int] = {}
        """Of text blocks in the whole text."""
        self.citations: dict[int, list[Citation]] = {}
        """By block, until its end is known."""
        self.thoughts: dict[int, list[ReasoningDelta]] = {}
        """By block, until its end is known."""


class StreamEncoder:
    """Events of one answer in, chunks out."""

    def __init__(self, head: Head) -> None:
        self._head = head
        self._said: dict[int, _Said] = {}
        self._prefix = b""
        self._suffix = b'],"usage":null}' if head.usage_in_stream else b"]}"
        self._begin(Begin())

    def encode(self, events: list[Event]) -> list[Frame]:
        """The chunks that these events make."""
        frames: list[Frame] = []
        for event in events:
            if type(event) is TextDelta:
                said = self._of(event.choice)
                said.starts.setdefault(event.block, said.length)
                said.length += len(event.text)
                frames.append(self._chunk(event.choice, wire.Delta(content=event.text, role=self._role(said))))
            else:
                self._encode(event, frames)
        return frames

    def end(self) -> list[Frame]:
        """After everything was said."""
        return [Frame(DONE)]

    def broken(self, error: TrunklineError) -> list[Frame]:
        """Instead of an end."""
        return [Frame(encode_error(error))]

    def _begin(self, begun: Begin) -> None:
        head = self._head
        started = _ChunkHead(
            id=head.id_of(begun.id), created=begun.created or head.created, model=head.model or begun.model
        )
        self._prefix = _encode(started)[:-1] + b',"choices":['

    def _encode(self, event: Event, frames: list[Frame]) -> None:
        match event:
            case Begin():
                self._begin(event)
            case Usage() if self._head.usage_in_stream:
                frames.append(Frame(self._prefix + b'],"usage":' + _encode(openai_usage(event)) + b"}"))
            case BlockEnd() if (said := self._said.get(event.choice)) is not None:
                frames += self._rest_of_block(said, event.choice, event.block)
            case Finish():
                frames += self._finish(event)
            case LogprobsEvent():
                content, refusal = ((), event.tokens) if event.refusal else (event.tokens, ())
                frames.append(self._chunk(event.choice, wire.Delta(), logprobs=logprobs(content, refusal)))
            case ReasoningDelta() | RefusalDelta() | ToolCallBegin() | ToolCallDelta() | CitationEvent() | AudioDelta():
                delta = self._delta(event, self._of(event.choice))
                if delta is not None:
                    frames.append(self._chunk(event.choice, delta))
            case _:
                pass

    def _finish(self, event: Finish) -> list[Frame]:
        said = self._of(event.choice)
        frames: list[Frame] = []
        for block in sorted({*said.citations, *said.thoughts}):
            frames += self._rest_of_block(said, event.choice, block)
        delta = wire.Delta(role=self._role(said))
        return [*frames, self._chunk(event.choice, delta, finish=FINISHES[event.reason])]

    def _delta(self, event: Delta, said: _Said) -> wire.Delta | None:
        """None for what can only be said later."""
        delta: wire.Delta | None = None
        match event:
            case ToolCallDelta():
                call = wire.ToolCallFragment(
                    index=said.indexes.get(event.block, 0), function=wire.FunctionFragment(arguments=event.arguments)
                )
                delta = wire.Delta(tool_calls=[call])
            case ToolCallBegin():
                delta = self._call_begun(event, said)
            case ReasoningDelta():
                said.thoughts.setdefault(event.block, []).append(event)
                delta = wire.Delta(reasoning_content=event.text, role=self._role(said)) if event.text else None
            case RefusalDelta():
                delta = wire.Delta(refusal=event.text, role=self._role(said))
            case AudioDelta():
                delta = wire.Delta(audio=_sound(event), role=self._role(said))
            case CitationEvent():
                said.citations.setdefault(event.block, []).append(event.citation)
            case TextDelta():
                delta = wire.Delta(content=event.text, role=self._role(said))
        return delta

    def _call_begun(self, event: ToolCallBegin, said: _Said) -> wire.Delta:
        said.indexes[event.block] = event.index
        call = wire.ToolCallFragment(
            index=event.index,
            id=event.id,
            type="function",
            function=wire.FunctionFragment(name=event.name, arguments=""),
            extra_content=extra(event.signature),
        )
        return wire.Delta(tool_calls=[call], role=self._role(said))

    def _rest_of_block(self, said: _Said, choice: int, block: int) -> list[Frame]:
        """What can only be said at the end of a block: where its citations reach to, how its thoughts are proved."""
        if cited := [citation for citation in said.citations.pop(block, ()) if citation.url]:
            start = said.starts.get(block, said.length)
            annotations = [annotation(citation, start, said.length) for citation in cited]
            return [self._chunk(choice, wire.Delta(annotations=annotations))]
        if pieces := said.thoughts.pop(block, None):
            thought = Reasoning(
                text="".join([piece.text for piece in pieces]),
                signature="".join([piece.signature for piece in pieces]),
                encrypted="".join([piece.encrypted for piece in pieces]),
                origin=next((piece.origin for piece in pieces if piece.origin), ""),
            )
            if (proof := thinking_block(thought)) is not None:
                return [self._chunk(choice, wire.Delta(thinking_blocks=[proof]))]
        return []

    def _of(self, choice: int) -> _Said:
        said = self._said.get(choice)
        if said is None:
            said = self._said[choice] = _Said()
        return said

    def _role(self, said: _Said) -> str | None:
        """In the first chunk of a choice only."""
        if said.begun:
            return None
        said.begun = True
        return "assistant"

    def _chunk(
        self,
        choice: int,
        delta: wire.Delta,
        logprobs: wire.Logprobs | UnsetType = UNSET,
        finish: str | None = None,
    ) -> Frame:
        return Frame(self._prefix + _encode(_ChunkChoice(choice, delta, logprobs, finish)) + self._suffix)


def _sound(event: AudioDelta) -> wire.AudioFragment:
    return wire.AudioFragment(
        id=event.id or None,
        data=event.data or None,
        transcript=event.transcript or None,
        expires_at=event.expires_at,
    )
