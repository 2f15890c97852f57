"""Requests in OpenAI's dialect. Unknown fields are passed on to other providers; our own workers refuse them by name.

`…Control` is what the gateway itself decides on and is decoded for every request. The full types are decoded only where
our own workers answer; another provider judges its own fields.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw

ModelName = Annotated[str, Meta(min_length=1, max_length=256)]
Temperature = Annotated[float, Meta(ge=0, le=2)]
Probability = Annotated[float, Meta(ge=0, le=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
MaxTokens = Annotated[int, Meta(ge=1, le=2**31 - 1)]
TokenId = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Stop = Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(max_length=4)]
Seed = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_NONE = Raw(b"null")


class StreamOptions(msgspec.Struct, frozen=True):
    include_usage: bool | None = None


class ChatControl(msgspec.Struct, frozen=True):
    """Of POST /v1/chat/completions."""

    model: ModelName
    messages: Annotated[list[Raw], Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    tools: Raw = _NONE
    functions: Raw = _NONE
    audio: Raw = _NONE


class CompletionControl(msgspec.Struct, frozen=True):
    """Of POST /v1/completions."""

    model: ModelName
    prompt: str | list[str | int | list[int]]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    best_of: Annotated[int, Meta(ge=1, le=128)] | None = None
    max_tokens: int | None = None
    user: str | None = None
    safety_identifier: str | None = None


class EmbeddingControl(msgspec.Struct, frozen=True):
    """Of POST /v1/embeddings."""

    model: ModelName
    input: str | list[str | int | list[int]]
    user: str | None = None
    safety_identifier: str | None = None


class MessagesMetadata(msgspec.Struct, frozen=True):
    user_id: str | None = None


class MessagesControl(msgspec.Struct, frozen=True):
    """Of POST /v1/messages, which is Anthropic's."""

    model: ModelName
    messages: Annotated[list[Raw], Meta(min_length=1)]
    stream: bool | None = None
    max_tokens: int | None = None
    metadata: MessagesMetadata | None = None
    tools: Raw = _NONE

    @property
    def user(self) -> str | None:
        """Whom OpenAI's dialect calls so."""
        return self.metadata.user_id if self.metadata is not None else None

    @property
    def safety_identifier(self) -> str | None:
        """Anthropic's dialect has one name for users only."""
        return None


class ResponsesControl(msgspec.Struct, frozen=True, kw_only=True):
    """Of POST /v1/responses."""

    model: ModelName
    input: str | list[Raw]
    instructions: str | None = None
    stream: bool | None = None
    max_output_tokens: int | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    tools: Raw = _NONE
    store: bool | None = None
    previous_response_id: Annotated[str, Meta(min_length=1, max_length=256)] | None = None


class RerankControl(msgspec.Struct, frozen=True, kw_only=True):
    """Of POST /v1/rerank, which is Cohere's."""

    model: ModelName
    query: str
    documents: Annotated[list[str | dict[str, Raw]], Meta(min_length=1)]
    top_n: Annotated[int, Meta(ge=1)] | None = None
    return_documents: bool | None = None
    user: str | None = None
    safety_identifier: str | None = None


class ModerationPart(msgspec.Struct, frozen=True):
    type: str
    text: str | None = None


class ModerationControl(msgspec.Struct, frozen=True, kw_only=True):
    """Of POST /v1/moderations."""

    input: str | Annotated[list[str | ModerationPart], Meta(min_length=1, max_length=1024)]
    model: ModelName = "omni-moderation-latest"
    """Whatever it is called, our own guardrails judge."""
    user: str | None = None
    safety_identifier: str | None = None


Control = (
    ChatControl
    | CompletionControl
    | EmbeddingControl
    | MessagesControl
    | ResponsesControl
    | RerankControl
    | ModerationControl
)


class ContentPart(msgspec.Struct, frozen=True):
    """One part of a message: text, or something that our workers cannot read."""

    type: str
    text: str | None = None


class Message(msgspec.Struct, frozen=True):
    """One chat message."""

    role: Annotated[str, Meta(min_length=1)]
    content: str | list[ContentPart] | None = None
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None


class ChatRequest(msgspec.Struct, frozen=True):
    """A chat completion, as our workers understand it."""

    model: ModelName
    messages: Annotated[list[Message], Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: MaxTokens | None = None
    max_completion_tokens: MaxTokens | None = None
    temperature: Temperature | None = None
    top_p: Probability | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    stop: str | Stop | None = None
    seed: Seed | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    logit_bias: dict[str, Annotated[float, Meta(ge=-100, le=100)]] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    functions: list[dict[str, Any]] | None = None
    response_format: dict[str, Any] | None = None
    audio: dict[str, Any] | None = None
    modalities: list[str] | None = None
    top_k: Annotated[int, Meta(ge=-1, le=2**31 - 1)] | None = None
    """Here and below: vLLM's names, since OpenAI has none. -1 means all."""
    min_p: Probability | None = None
    repetition_penalty: Annotated[float, Meta(gt=0, le=100)] | None = None
    guided_regex: str | None = None
    guided_choice: list[str] | None = None


class CompletionRequest(msgspec.Struct, frozen=True):
    """A legacy completion, as our workers understand it."""

    model: ModelName
    prompt: str | list[str | TokenId | list[TokenId]]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    temperature: Temperature | None = None
    top_p: Probability | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    best_of: Annotated[int, Meta(ge=1, le=20)] | None = None
    stop: str | Stop | None = None
    seed: Seed | None = None
    echo: bool | None = None
    suffix: str | None = None
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    logit_bias: dict[str, Annotated[float, Meta(ge=-100, le=100)]] | None = None
    top_k: Annotated[int, Meta(ge=-1, le=2**31 - 1)] | None = None
    """Here and below: vLLM's names, since OpenAI has none. -1 means all."""
    min_p: Probability | None = None
    repetition_penalty: Annotated[float, Meta(gt=0, le=100)] | None = None
    guided_regex: str | None = None
    guided_choice: list[str] | None = None


class EmbeddingRequest(msgspec.Struct, frozen=True):
    """Texts to embed, as our workers understand it."""

    model: ModelName
    input: str | list[str | int | list[int]]
    encoding_format: str | None = None
    dimensions: Annotated[int, Meta(ge=1)] | None = None
