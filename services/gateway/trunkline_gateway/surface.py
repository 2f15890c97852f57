"""What a caller can ask for, and what differs between them."""

from enum import Enum

import msgspec

from trunkline_gateway import openai_types as types
from trunkline_kit import semconv


class Surface(Enum):
    """One endpoint. The value is its label in metrics."""

    CHAT = "chat"
    COMPLETION = "completion"
    EMBEDDING = "embedding"
    MESSAGES = "messages"
    """Anthropic's dialect of a conversation."""
    RESPONSES = "responses"
    """OpenAI's later dialect of one, with state."""
    RERANK = "rerank"
    """Documents by how well they fit a query, as Cohere has it."""
    MODERATION = "moderation"
    TOKEN_COUNT = "token_count"  # noqa: S105 - no password
    """How many tokens a request in Anthropic's dialect would be."""

    __hash__ = object.__hash__
    """Members are single, and each request looks itself up by its surface a dozen times: Enum's own hash is Python."""


WORDLESS = frozenset({Surface.EMBEDDING, Surface.RERANK})
"""Surfaces whose answers are numbers: no tokens, whatever their length."""
UNCHARGED = frozenset({Surface.MODERATION, Surface.TOKEN_COUNT})
"""Surfaces that cost nothing: they meet limits on requests, none on tokens, and no budget."""


PATHS = {
    Surface.CHAT: "/chat/completions",
    Surface.COMPLETION: "/completions",
    Surface.EMBEDDING: "/embeddings",
    Surface.RESPONSES: "/responses",
    Surface.RERANK: "/rerank",
}
"""Below the base URL of a provider of OpenAI's dialect."""

OPERATIONS = {
    Surface.CHAT: semconv.OPERATION_CHAT,
    Surface.COMPLETION: semconv.OPERATION_TEXT_COMPLETION,
    Surface.EMBEDDING: semconv.OPERATION_EMBEDDINGS,
    Surface.MESSAGES: semconv.OPERATION_CHAT,
    Surface.RESPONSES: semconv.OPERATION_CHAT,
    Surface.RERANK: semconv.OPERATION_RERANK,
    Surface.MODERATION: semconv.OPERATION_MODERATION,
    Surface.TOKEN_COUNT: semconv.OPERATION_COUNT_TOKENS,
}

CONTROL_DECODERS: "dict[Surface, msgspec.json.Decoder[types.Control]]" = {
    Surface.CHAT: msgspec.json.Decoder(types.ChatControl),
    Surface.COMPLETION: msgspec.json.Decoder(types.CompletionControl),
    Surface.EMBEDDING: msgspec.json.Decoder(types.EmbeddingControl),
    Surface.MESSAGES: msgspec.json.Decoder(types.MessagesControl),
    Surface.RESPONSES: msgspec.json.Decoder(types.ResponsesControl),
    Surface.RERANK: msgspec.json.Decoder(types.RerankControl),
    Surface.MODERATION: msgspec.json.Decoder(types.ModerationControl),
    Surface.TOKEN_COUNT: msgspec.json.Decoder(types.MessagesControl),
}
