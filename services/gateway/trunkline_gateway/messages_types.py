"""Anthropic's dialect as the document describes it. What the gateway decides on is `MessagesControl`."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from trunkline_gateway.openai_types import MaxTokens, MessagesMetadata, ModelName, Probability


class MessageTurn(msgspec.Struct, frozen=True):
    """One turn of the conversation."""

    role: Annotated[str, Meta(pattern="^(user|assistant|system)$")]
    content: str | list[dict[str, Any]]
    """Text, or blocks: text, image, document, tool_use, tool_result, thinking."""


class MessagesRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What POST /v1/messages takes. Further fields are passed on to providers of this dialect."""

    model: ModelName
    messages: Annotated[list[MessageTurn], Meta(min_length=1)]
    max_tokens: MaxTokens
    system: str | list[dict[str, Any]] | None = None
    stream: bool | None = None
    temperature: Probability | None = None
    top_p: Probability | None = None
    top_k: Annotated[int, Meta(ge=0)] | None = None
    stop_sequences: list[str] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: dict[str, Any] | None = None
    thinking: dict[str, Any] | None = None
    metadata: MessagesMetadata | None = None


class TokenCountRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What POST /v1/messages/count_tokens takes: the same without what is about the answer."""

    model: ModelName
    messages: Annotated[list[MessageTurn], Meta(min_length=1)]
    system: str | list[dict[str, Any]] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: dict[str, Any] | None = None
    thinking: dict[str, Any] | None = None


class MessageUsage(msgspec.Struct, frozen=True):
    """Tokens by class; input tokens do not include those of the cache."""

    input_tokens: int
    output_tokens: int
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What POST /v1/messages answers."""

    id: str
    type: str
    role: str
    model: str
    content: list[dict[str, Any]]
    usage: MessageUsage
    stop_reason: str | None = None
    stop_sequence: str | None = None
