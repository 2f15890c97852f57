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


class Delta(msgspec.Struct, frozen=True, omit_defaults=True):
    role: str | None = None
    content: str | None = None


class ChatMessage(msgspec.Struct, frozen=True):
    role: str
    content: str
    refusal: None = None


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


_encode = msgspec.json.Encoder().encode


class Writer:
    """Turns the steps of one generation into one answer's bytes, whole or in chunks."""

    def __init__(self, surface: Surface, heading: Heading, *, usage_in_stream: bool, top_logprobs: bool) -> None:
        self._chat = surface is Surface.CHAT
        self._heading = heading
        self._empty_usage: UnsetType | None = None if usage_in_stream else UNSET
        self._top_logprobs = top_logprobs
        self._offset = 0

    def role_chunk(self) -> bytes:
        """The first chunk of a chat stream."""
        return self._chat_chunk(Delta(role="assistant", content=""), None, None)

    def chunk(self, text: str, logprobs: Sequence[worker_pb.TokenLogprob], finish: str | None) -> bytes:
        """One step."""
        if self._chat:
            delta = Delta(content=text) if text or logprobs else Delta()
            return self._chat_chunk(delta, chat_logprobs(logprobs) if logprobs else None, finish)
        shaped = self._text_logprobs(logprobs) if logprobs else None
        return self._text(TextChoice(0, text, shaped, finish), self._empty_usage)

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

    def whole(self, text: str, logprobs: Sequence[worker_pb.TokenLogprob], finish: str, usage: Usage) -> bytes:
        """The complete answer."""
        head = self._heading
        if not self._chat:
            shaped = self._text_logprobs(logprobs) if logprobs else None
            return self._text(TextChoice(0, text, shaped, finish), usage)
        choice = ChatChoice(0, ChatMessage("assistant", text), chat_logprobs(logprobs) if logprobs else None, finish)
        return _encode(
            ChatCompletion(head.id, "chat.completion", head.created, head.model, [choice], usage, head.fingerprint)
        )

    def _chat_chunk(self, delta: Delta, logprobs: ChatLogprobs | None, finish: str | None) -> bytes:
        head = self._heading
        return _encode(
            ChatCompletionChunk(
                head.id,
                "chat.completion.chunk",
                head.created,
                head.model,
                [ChatChunkChoice(0, delta, logprobs, finish)],
                head.fingerprint,
                self._empty_usage,
            )
        )

    def _text(self, choice: TextChoice, usage: Usage | UnsetType | None) -> bytes:
        head = self._heading
        return _encode(
            TextCompletion(head.id, "text_completion", head.created, head.model, [choice], head.fingerprint, usage)
        )

    def _text_logprobs(self, logprobs: Sequence[worker_pb.TokenLogprob]) -> TextLogprobs:
        offsets = []
        for item in logprobs:
            offsets.append(self._offset)
            self._offset += len(item.token)
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
