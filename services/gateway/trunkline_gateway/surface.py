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


PATHS = {Surface.CHAT: "/chat/completions", Surface.COMPLETION: "/completions", Surface.EMBEDDING: "/embeddings"}
"""Below the base URL of a provider of OpenAI's dialect."""

OPERATIONS = {
    Surface.CHAT: semconv.OPERATION_CHAT,
    Surface.COMPLETION: semconv.OPERATION_TEXT_COMPLETION,
    Surface.EMBEDDING: semconv.OPERATION_EMBEDDINGS,
    Surface.MESSAGES: semconv.OPERATION_CHAT,
}

CONTROL_DECODERS: "dict[Surface, msgspec.json.Decoder[types.Control]]" = {
    Surface.CHAT: msgspec.json.Decoder(types.ChatControl),
    Surface.COMPLETION: msgspec.json.Decoder(types.CompletionControl),
    Surface.EMBEDDING: msgspec.json.Decoder(types.EmbeddingControl),
    Surface.MESSAGES: msgspec.json.Decoder(types.MessagesControl),
}
