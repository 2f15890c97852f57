"""Our workers' generations and vectors in OpenAI's shapes. Pure."""

import base64
import struct
from collections.abc import Sequence

import msgspec
from msgspec import UNSET, UnsetType

from trunkline.worker.v1 import worker_service_pb2 as worker_pb
from trunkline_gateway.surface import Surface
from trunkline_gateway.usage import Usage, usage_of

FINISH_REASONS = {
    worker_pb.FINISH_REASON_STOP: "stop",
    worker_pb.FINISH_REASON_LENGTH: "length",
    worker_pb.FINISH_REASON_TOOL_CALLS: "tool_calls",
}


class TopLogprob(msgspec.Struct, frozen=True):
    token: str
    logprob: float
    bytes: list[int]


class TokenLogprob(msgspec.Struct, frozen=True):
    token: str
    logprob: float
    bytes: list[int]
    top_logprobs: list[TopLogprob]


class ChatLogprobs(msgspec.Struct, frozen=True):
    content: list[TokenLogprob]
    refusal: None = None


class TextLogprobs(msgspec.Struct, frozen=True):
    """The legacy shape: four lists side by side."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]] | None
    text_offset: list[int]
    """In characters, from the start of the answer's text."""


class Function(msgspec.Struct, frozen=True, omit_defaults=True):
    name: str | None = None
    arguments: str | None = None


class ToolCallChunk(msgspec.Struct, frozen=True, omit_defaults=True):
    """A piece of a call; only the first has id, type and name."""

    index: int
    function: Function
    id: str | None = None
    type: str | None = None


class ToolCall(msgspec.Struct, frozen=True):
    id: str
    function: Function
    type: str = "function"


class Delta(msgspec.Struct, frozen=True, omit_defaults=True):
    role: str | None = None
    content: str | None = None
    tool_calls: list[ToolCallChunk] | None = None


class ChatMessage(msgspec.Struct, frozen=True):
    role: str
    content: str | None
    refusal: None = None
    tool_calls: list[ToolCall] | UnsetType = UNSET


class ChatChoice(msgspec.Struct, frozen=True):
    index: int
    message: ChatMessage
    logprobs: ChatLogprobs | None
    finish_reason: str


class ChatChunkChoice(msgspec.Struct, frozen=True):
    index: int
    delta: Delta
    logprobs: ChatLogprobs | None
    finish_reason: str | None


class TextChoice(msgspec.Struct, frozen=True):
    index: int
    text: str
    logprobs: TextLogprobs | None
    finish_reason: str | None


class ChatCompletion(msgspec.Struct, frozen=True):
    """What POST /v1/chat/completions answers, when it is not a stream."""

    id: str
    object: str
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage
    system_fingerprint: str | None = None


class ChatCompletionChunk(msgspec.Struct, frozen=True):
    """One event of a chat stream."""

    id: str
    object: str
    created: int
    model: str
    choices: list[ChatChunkChoice]
    system_fingerprint: str | None = None
    usage: Usage | UnsetType | None = UNSET


class TextCompletion(msgspec.Struct, frozen=True):
    """What POST /v1/completions answers; without usage also one event of its stream."""

    id: str
    object: str
    created: int
    model: str
    choices: list[TextChoice]
    system_fingerprint: str | None = None
    usage: Usage | UnsetType | None = UNSET


class EmbeddingItem(msgspec.Struct, frozen=True):
    object: str
    index: int
    embedding: list[float] | str


class EmbeddingUsage(msgspec.Struct, frozen=True):
    prompt_tokens: int
    total_tokens: int


class EmbeddingList(msgspec.Struct, frozen=True):
    """What POST /v1/embeddings answers."""

    object: str
    data: list[EmbeddingItem]
    model: str
    usage: EmbeddingUsage


class Heading(msgspec.Struct, frozen=True, kw_only=True):
    """What every piece of one answer repeats."""

    id: str
    created: int
    model: str
    fingerprint: str | None


class Collected:
    """One answer of several, gathered step by step."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.logprobs: list[worker_pb.TokenLogprob] = []
        self.finish = worker_pb.FINISH_REASON_UNSPECIFIED
        self._calls: dict[int, list[worker_pb.ToolCallDelta]] = {}

    def add(self, step: worker_pb.GenerateResponse) -> None:
        """One more step of this answer."""
        self.texts.append(step.text)
        self.logprobs += step.logprobs
        self.finish = step.finish_reason
        for call in step.tool_calls:
            self._calls.setdefault(call.index, []).append(call)

    def message(self) -> ChatMessage:
        """What the assistant said; a call in place of text is no text."""
        text = "".join(self.texts)
        if not self._calls:
            return ChatMessage("assistant", text)
        calls = [
            ToolCall(pieces[0].id, Function(pieces[0].name, "".join(piece.arguments for piece in pieces)))
            for _, pieces in sorted(self._calls.items())
        ]
        return ChatMessage("assistant", text or None, tool_calls=calls)


def likeliest(answers: Sequence[Collected], count: int) -> list[Collected]:
    """The `count` whose tokens are likeliest on average, the likeliest first; of equal ones the earlier."""

    def mean(answer: Collected) -> float:
        return sum(one.logprob for one in answer.logprobs) / max(1, len(answer.logprobs))

    return sorted(answers, key=mean, reverse=True)[:count]


_encode = msgspec.json.Encoder().encode


class Writer:
    """Turns the steps of one generation into one answer's bytes, whole or in chunks."""

    def __init__(self, surface: Surface, heading: Heading, *, usage_in_stream: bool, top_logprobs: bool) -> None:
        self._chat = surface is Surface.CHAT
        self._heading = heading
        self._empty_usage: UnsetType | None = None if usage_in_stream else UNSET
        self._top_logprobs = top_logprobs
        self._offsets: dict[int, int] = {}

    def role_chunk(self, index: int = 0) -> bytes:
        """The first chunk of an answer in a chat stream."""
        return self._chat_chunk(ChatChunkChoice(index, Delta(role="assistant", content=""), None, None))

    def chunk(self, text: str, logprobs: Sequence[worker_pb.TokenLogprob], finish: str | None, index: int = 0) -> bytes:
        """One step of an answer's text."""
        if self._chat:
            delta = Delta(content=text) if text or logprobs else Delta()
            shaped = chat_logprobs(logprobs) if logprobs else None
            return self._chat_chunk(ChatChunkChoice(index, delta, shaped, finish))
        legacy = self._text_logprobs(logprobs, index) if logprobs else None
        return self._text([TextChoice(index, text, legacy, finish)], self._empty_usage)

    def call_chunk(self, calls: Sequence[worker_pb.ToolCallDelta], index: int = 0) -> bytes:
        """One step of an answer that calls a tool."""
        pieces = [
            ToolCallChunk(
                call.index,
                Function(call.name or None, call.arguments),
                call.id or None,
                "function" if call.id else None,
            )
            for call in calls
        ]
        return self._chat_chunk(ChatChunkChoice(index, Delta(tool_calls=pieces), None, None))

    def usage_chunk(self, usage: Usage) -> bytes:
        """The extra chunk that `include_usage` asks for: no choices, the full count."""
        head = self._heading
        if self._chat:
            return _encode(
                ChatCompletionChunk(
                    head.id, "chat.completion.chunk", head.created, head.model, [], head.fingerprint, usage
                )
            )
        return _encode(
            TextCompletion(head.id, "text_completion", head.created, head.model, [], head.fingerprint, usage)
        )

    def whole(self, answers: Sequence[Collected], usage: Usage) -> bytes:
        """The complete answers, in order of their indexes."""
        head = self._heading
        if not self._chat:
            return self._text([self._text_choice(index, answer) for index, answer in enumerate(answers)], usage)
        choices = [
            ChatChoice(
                index,
                answer.message(),
                chat_logprobs(answer.logprobs) if answer.logprobs else None,
                FINISH_REASONS[answer.finish],
            )
            for index, answer in enumerate(answers)
        ]
        return _encode(
            ChatCompletion(head.id, "chat.completion", head.created, head.model, choices, usage, head.fingerprint)
        )

    def _text_choice(self, index: int, answer: Collected) -> TextChoice:
        shaped = self._text_logprobs(answer.logprobs, index) if answer.logprobs else None
        return TextChoice(index, "".join(answer.texts), shaped, FINISH_REASONS[answer.finish])

    def _chat_chunk(self, choice: ChatChunkChoice) -> bytes:
        head = self._heading
        return _encode(
            ChatCompletionChunk(
                head.id,
                "chat.completion.chunk",
                head.created,
                head.model,
                [choice],
                head.fingerprint,
                self._empty_usage,
            )
        )

    def _text(self, choices: list[TextChoice], usage: Usage | UnsetType | None) -> bytes:
        head = self._heading
        return _encode(
            TextCompletion(head.id, "text_completion", head.created, head.model, choices, head.fingerprint, usage)
        )

    def _text_logprobs(self, logprobs: Sequence[worker_pb.TokenLogprob], index: int) -> TextLogprobs:
        offsets, offset = [], self._offsets.get(index, 0)
        for item in logprobs:
            offsets.append(offset)
            offset += len(item.token)
        self._offsets[index] = offset
        return TextLogprobs(
            tokens=[item.token for item in logprobs],
            token_logprobs=[item.logprob for item in logprobs],
            top_logprobs=[{top.token: top.logprob for top in item.top} for item in logprobs]
            if self._top_logprobs
            else None,
            text_offset=offsets,
        )


def chat_logprobs(logprobs: Sequence[worker_pb.TokenLogprob]) -> ChatLogprobs:
    """The chat shape."""
    return ChatLogprobs(
        [
            TokenLogprob(
                item.token,
                item.logprob,
                list(item.utf8),
                [TopLogprob(top.token, top.logprob, list(top.utf8)) for top in item.top],
            )
            for item in logprobs
        ]
    )


def usage_from(counts: worker_pb.Usage) -> Usage:
    """The worker's exact counts."""
    return usage_of(counts.prompt_tokens, counts.completion_tokens, counts.cached_tokens)


def embedding_list(reply: worker_pb.EmbedResponse, model: str, *, as_base64: bool) -> bytes:
    """Vectors as numbers, or as base64 of little-endian float32, which is what the worker sends."""
    data = [
        EmbeddingItem("embedding", index, _vector(item.vector_f32, as_base64=as_base64))
        for index, item in enumerate(reply.embeddings)
    ]
    return _encode(EmbeddingList("list", data, model, EmbeddingUsage(reply.prompt_tokens, reply.prompt_tokens)))


def _vector(vector_f32: bytes, *, as_base64: bool) -> list[float] | str:
    if as_base64:
        return base64.b64encode(vector_f32).decode()
    return list(struct.unpack(f"<{len(vector_f32) // 4}f", vector_f32))
