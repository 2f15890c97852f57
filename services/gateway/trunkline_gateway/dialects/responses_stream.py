"""A canonical answer as OpenAI's `response.*` events, made as its parts come.

Every part is an item. Items may be under way side by side, as parallel tool calls are. When an item begins, those
before it that are not tool calls end, and so do calls that are known to be over; the rest ends with the answer.
"""

import msgspec

from trunkline_gateway.dialects import responses_wire as wire
from trunkline_gateway.dialects.canonical import Text, ToolCall
from trunkline_gateway.dialects.chat_answers import token_out
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
from trunkline_gateway.dialects.responses_answers import (
    COMPLETED,
    FAILED,
    IN_PROGRESS,
    failure_of,
    incomplete,
    item_id,
    status_of,
    usage_out,
    with_echo,
)
from trunkline_gateway.dialects.responses_items import Item, Sequence, empty_of
from trunkline_kit.errors import TrunklineError

_encode = msgspec.json.Encoder().encode
_NO_ECHO = wire.Echoed()


class StreamEncoder:
    """Events of one answer in, named events out. Choices after the first are not in this dialect and are left out."""

    def __init__(self, head: Head, echo: wire.Echoed = _NO_ECHO) -> None:
        self._head = head
        self._echo = _encode(echo)
        self._out = Sequence()
        self._begun: Begin | None = None
        self._open: dict[int, Item] = {}
        """By block, in the order they began."""
        self._output: dict[int, wire.OutputItem] = {}
        """What is done, by index."""
        self._items = 0
        self._finish: Finish | None = None
        self._usage: Usage | None = None
        self._ended = False

    def encode(self, events: list[Event]) -> list[Frame]:
        """The frames that these events make."""
        for event in events:
            match event:
                case Begin():
                    self._start(event)
                case Usage():
                    self._usage = event
                    if self._finish is not None:
                        self._end()
                case Finish() if event.choice == 0:
                    self._finish = event
                    self._close_all()
                case LogprobsEvent() if event.choice == 0 and not event.refusal:
                    self._logprobs(event)
                case BlockEnd() if event.choice == 0 and (item := self._open.get(event.block)) is not None:
                    item.is_over = True
                case TextDelta() | ReasoningDelta() | RefusalDelta() | ToolCallBegin() | ToolCallDelta():
                    self._step(event)
                case CitationEvent() | AudioDelta():
                    self._step(event)
                case _:
                    pass
        return self._out.take()

    def end(self) -> list[Frame]:
        """After everything was said."""
        self._end()
        return self._out.take()

    def broken(self, error: TrunklineError) -> list[Frame]:
        """Instead of an end."""
        self._start(Begin())
        if not self._ended:
            self._ended = True
            self._out.emit(type="error", code=error.reason, message=error.message, param=error.param)
            self._emit_response("response.failed", FAILED, error=failure_of(error))
        return self._out.take()

    def _start(self, begun: Begin) -> None:
        if self._begun is None:
            self._begun = begun
            self._emit_response("response.created", IN_PROGRESS)
            self._emit_response("response.in_progress", IN_PROGRESS)

    def _end(self) -> None:
        """The response's own last words, once."""
        if self._ended:
            return
        self._ended = True
        self._start(Begin())
        self._close_all()
        finish = self._finish.reason if self._finish else None
        status = status_of(finish)
        self._emit_response(f"response.{status}", status, why=incomplete(finish))

    def _emit_response(
        self, name: str, status: str, error: wire.Failure | None = None, why: wire.Incomplete | None = None
    ) -> None:
        begun, head = self._begun or Begin(), self._head
        response = wire.Response(
            id=head.id_of(begun.id),
            created_at=begun.created or head.created,
            status=status,
            error=error,
            incomplete_details=why,
            model=head.model or begun.model,
            output=[self._output[index] for index in sorted(self._output)],
            usage=None if self._usage is None else usage_out(self._usage),
        )
        self._out.emit_raw(name, b'{"type":"%b","response":%b' % (name.encode(), with_echo(response, self._echo)))

    def _step(self, event: Delta) -> None:
        if event.choice != 0:
            return
        self._start(Begin())
        item = self._open.get(event.block) or self._add(event)
        if item is not None:
            item.add(event)

    def _add(self, event: Delta) -> Item | None:
        empty = empty_of(event)
        if empty is None:
            return None
        for block, item in [*self._open.items()]:
            if item.is_over or item.kind is not ToolCall:
                self._close(block, COMPLETED)
        begun, index = self._begun or Begin(), self._items
        self._items += 1
        name = item_id(empty, self._head.id_of(begun.id), index)
        item = self._open[event.block] = Item(empty, index, name, self._out)
        return item

    def _logprobs(self, event: LogprobsEvent) -> None:
        item = next((item for item in self._open.values() if item.kind is Text), None)
        if item is not None:
            item.add_logprobs([token_out(token) for token in event.tokens])

    def _close_all(self) -> None:
        """What the last item is like, the answer's end says."""
        status = status_of(self._finish.reason if self._finish else None)
        for block, item in [*self._open.items()]:
            self._close(block, status if item.index == self._items - 1 else COMPLETED)

    def _close(self, block: int, status: str) -> None:
        item = self._open.pop(block)
        self._output[item.index] = item.close(status)
