"""A whole answer is the fold of its events. Both ways, pure."""

from collections.abc import Iterable

import msgspec

from trunkline_gateway.dialects.canonical import (
    Audio,
    Citation,
    Message,
    Part,
    Reasoning,
    Refusal,
    Role,
    Text,
    ToolCall,
)
from trunkline_gateway.dialects.events import (
    AudioDelta,
    Begin,
    BlockEnd,
    CitationEvent,
    Delta,
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
    Usage,
)

AnswerPart = Text | Reasoning | Refusal | ToolCall | Audio


class Choice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    index: int = 0
    parts: tuple[AnswerPart, ...] = ()
    finish: FinishReason | None = None
    """None where the answer broke off."""
    native_finish: str = ""
    stop_sequence: str = ""
    logprobs: tuple[TokenLogprob, ...] = ()
    refusal_logprobs: tuple[TokenLogprob, ...] = ()

    @property
    def text(self) -> str:
        return "".join([part.text for part in self.parts if isinstance(part, Text)])

    @property
    def refusal(self) -> str:
        return "".join([part.text for part in self.parts if isinstance(part, Refusal)])

    @property
    def tool_calls(self) -> list[ToolCall]:
        return [part for part in self.parts if isinstance(part, ToolCall)]


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: str = ""
    model: str = ""
    created: int = 0
    choices: tuple[Choice, ...] = ()
    """By index."""
    usage: Usage | None = None
    """None where the provider did not say."""
    error: ErrorEvent | None = None
    """Why it broke off, where the provider said so."""
    others: tuple[Other, ...] = ()
    """What has no counterpart here."""

    @property
    def complete(self) -> bool:
        """Whether every choice has its end."""
        return bool(self.choices) and self.error is None and all(choice.finish for choice in self.choices)


def message_of(choice: Choice) -> Message:
    """An answer as the assistant's turn of the next request."""
    parts: tuple[Part, ...] = tuple(choice.parts)
    return Message(role=Role.ASSISTANT, parts=parts)


def assemble(events: Iterable[Event]) -> Answer:
    """The whole answer; of a broken one, as much as there is."""
    fold = Fold()
    for event in events:
        fold.add(event)
    return fold.answer()


class Fold:
    """Adds up the events of one answer as they come."""

    def __init__(self) -> None:
        self._begin = Begin()
        self._choices: dict[int, _ChoiceFold] = {}
        self._usage: Usage | None = None
        self._error: ErrorEvent | None = None
        self._others: list[Other] = []

    def add(self, event: Event) -> None:
        match event:
            case Begin():
                self._begin = event
            case Usage():
                self._usage = event
            case ErrorEvent():
                self._error = event
            case Other():
                self._others.append(event)
            case BlockEnd():
                pass
            case _:
                choice = self._choices.get(event.choice)
                if choice is None:
                    choice = self._choices[event.choice] = _ChoiceFold(event.choice)
                choice.add(event)

    def answer(self) -> Answer:
        """Of everything so far."""
        begin = self._begin
        return Answer(
            id=begin.id,
            model=begin.model,
            created=begin.created,
            choices=tuple(self._choices[index].choice() for index in sorted(self._choices)),
            usage=self._usage,
            error=self._error,
            others=tuple(self._others),
        )


class BlockFold:
    """Adds up the events of one block."""

    __slots__ = ("_citations", "_first", "_last", "_pieces")

    def __init__(self, first: Delta) -> None:
        self._first = first
        self._last: AudioDelta | ReasoningDelta | None = None
        """What besides its text was said so far."""
        self._pieces: list[str] = []
        self._citations: list[Citation] = []

    def add(self, event: Delta) -> None:
        match event:
            case TextDelta() | RefusalDelta():
                self._pieces.append(event.text)
            case ToolCallDelta():
                self._pieces.append(event.arguments)
            case ToolCallBegin():
                self._first = event
            case CitationEvent():
                self._citations.append(event.citation)
            case ReasoningDelta():
                self._pieces.append(event.text)
                known = self._last if isinstance(self._last, ReasoningDelta) else ReasoningDelta()
                self._last = ReasoningDelta(
                    signature=event.signature or known.signature,
                    encrypted=event.encrypted or known.encrypted,
                    origin=event.origin or known.origin,
                )
            case AudioDelta():
                self._pieces.append(event.data)
                heard = self._last if isinstance(self._last, AudioDelta) else AudioDelta()
                self._last = AudioDelta(
                    transcript=heard.transcript + event.transcript,
                    id=event.id or heard.id,
                    format=event.format or heard.format,
                    expires_at=heard.expires_at if event.expires_at is None else event.expires_at,
                )

    def part(self) -> AnswerPart | None:
        """None for a text that came to nothing."""
        joined, first, last = "".join(self._pieces), self._first, self._last
        if isinstance(last, ReasoningDelta):
            return Reasoning(text=joined, signature=last.signature, encrypted=last.encrypted, origin=last.origin)
        if isinstance(last, AudioDelta):
            return Audio(
                data=joined, transcript=last.transcript, id=last.id, format=last.format, expires_at=last.expires_at
            )
        if isinstance(first, ToolCallBegin):
            return ToolCall(id=first.id, name=first.name, arguments=joined, signature=first.signature)
        if isinstance(first, RefusalDelta):
            return Refusal(text=joined) if joined else None
        cited = tuple(self._citations)
        return Text(text=joined, citations=cited) if joined or cited else None


class _ChoiceFold:
    def __init__(self, index: int) -> None:
        self._index = index
        self._blocks: dict[int, BlockFold] = {}
        self._finish: Finish | None = None
        self._logprobs: list[TokenLogprob] = []
        self._refusal_logprobs: list[TokenLogprob] = []

    def add(self, event: Delta | LogprobsEvent | Finish) -> None:
        match event:
            case LogprobsEvent():
                (self._refusal_logprobs if event.refusal else self._logprobs).extend(event.tokens)
            case Finish():
                self._finish = self._finish or event
            case _:
                block = self._blocks.get(event.block)
                if block is None:
                    block = self._blocks[event.block] = BlockFold(event)
                block.add(event)

    def choice(self) -> Choice:
        finish = self._finish
        parts = [self._blocks[number].part() for number in sorted(self._blocks)]
        return Choice(
            index=self._index,
            parts=tuple([part for part in parts if part is not None]),
            finish=finish.reason if finish else None,
            native_finish=finish.native if finish else "",
            stop_sequence=finish.stop_sequence if finish else "",
            logprobs=tuple(self._logprobs),
            refusal_logprobs=tuple(self._refusal_logprobs),
        )


def events_of(answer: Answer) -> list[Event]:
    """The stream an answer could have been: each part in one piece. Its fold is the answer again."""
    events: list[Event] = [Begin(id=answer.id, model=answer.model, created=answer.created)]
    for choice in answer.choices:
        events += _events_of_choice(choice)
    if answer.usage is not None:
        events.append(answer.usage)
    events += answer.others
    if answer.error is not None:
        events.append(answer.error)
    return events


def _events_of_choice(choice: Choice) -> list[Event]:
    events: list[Event] = []
    at, calls = choice.index, 0
    for block, part in enumerate(choice.parts):
        if isinstance(part, ToolCall):
            events.append(ToolCallBegin(calls, part.id, part.name, at, block, part.signature))
            events.append(ToolCallDelta(part.arguments, at, block))
            calls += 1
        else:
            events += _deltas(part, at, block)
        events.append(BlockEnd(at, block))
    if choice.logprobs:
        events.append(LogprobsEvent(choice.logprobs, at))
    if choice.refusal_logprobs:
        events.append(LogprobsEvent(choice.refusal_logprobs, at, refusal=True))
    if choice.finish is not None:
        events.append(Finish(choice.finish, at, choice.native_finish, choice.stop_sequence))
    return events


def _deltas(part: Text | Reasoning | Refusal | Audio, choice: int, block: int) -> list[Event]:
    match part:
        case Text():
            cited: list[Event] = [CitationEvent(citation, choice, block) for citation in part.citations]
            return [TextDelta(part.text, choice, block), *cited]
        case Reasoning():
            return [ReasoningDelta(part.text, choice, block, part.signature, part.encrypted, part.origin)]
        case Refusal():
            return [RefusalDelta(part.text, choice, block)]
        case Audio():
            return [
                AudioDelta(part.data, part.transcript, choice, block, part.id, part.format, part.expires_at),
            ]
