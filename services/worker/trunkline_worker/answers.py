"""One request's answers as the messages of its stream: echoed prompts in front, tool calls told apart from text."""

from __future__ import annotations

from trunkline.worker.v1 import worker_service_pb2 as pb
from trunkline_worker.generation import Delta, FinishReason, GenerationRequest
from trunkline_worker.stopping import StopMatcher
from trunkline_worker.tokenizer import IncrementalDetokenizer, TextCodec
from trunkline_worker.tools import CallPiece, CallReader
from trunkline_worker.wire import call_delta, calls_tools, generate_response


class Answers:
    """State of one stream."""

    def __init__(self, request: pb.GenerateRequest, asked: GenerationRequest, codec: TextCodec) -> None:
        self._codec = codec
        prompt = (request.text or codec.decode(asked.prompt_ids)) if request.echo and not asked.begun else ""
        self._echoes = dict.fromkeys(range(asked.choices), prompt) if prompt else {}
        readers = asked.choices if calls_tools(request) else 0
        self._readers = [CallReader() for _ in range(readers)]
        if asked.begun and self._readers:
            self._readers[0].push(_said(asked, codec))

    def message(self, delta: Delta) -> pb.GenerateResponse:
        """The delta on the wire."""
        message = generate_response(delta, self._codec)
        if self._readers:
            self._read(self._readers[delta.index], message, delta.finish)
        if self._echoes:
            message.text = self._echoes.pop(delta.index, "") + message.text
        return message

    def _read(self, reader: CallReader, message: pb.GenerateResponse, finish: FinishReason | None) -> None:
        text, piece = reader.push(message.text)
        message.text = text
        _append(message, piece)
        if not reader.is_call or finish is None:
            return
        if finish is FinishReason.STOP:
            message.finish_reason = pb.FINISH_REASON_TOOL_CALLS
        else:
            _append(message, reader.rest())


def _said(asked: GenerationRequest, codec: TextCodec) -> str:
    """What has been told of the one answer that was begun elsewhere."""
    text = IncrementalDetokenizer(codec).push(asked.prompt_ids[-asked.begun :])
    return StopMatcher(asked.stop).push(text)


def _append(message: pb.GenerateResponse, piece: CallPiece | None) -> None:
    if piece is not None:
        message.tool_calls.append(call_delta(piece))
