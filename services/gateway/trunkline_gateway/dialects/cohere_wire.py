"""The JSON of Cohere's Chat API, version 2, both ways. Source: Cohere's own SDK, cohere 7.3.1 (read 2026-11-25).

What we send has only what is set; what comes is tolerant.
"""

import msgspec
from msgspec import Raw

from trunkline_gateway.dialects.reading import NOTHING


class _Out(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    pass


class _In(msgspec.Struct, frozen=True, kw_only=True):
    pass


class Text(_Out, frozen=True, kw_only=True, tag_field="type", tag="text"):
    text: str


class ImageUrl(_Out, frozen=True, kw_only=True):
    url: str
    detail: str | None = None


class Image(_Out, frozen=True, kw_only=True, tag_field="type", tag="image_url"):
    image_url: ImageUrl


class FunctionCall(_Out, frozen=True, kw_only=True):
    name: str
    arguments: str


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    function: FunctionCall
    type: str = "function"


class Message(_Out, frozen=True, kw_only=True):
    role: str
    content: str | list[Text | Image] | None = None
    tool_calls: list[ToolCall] | None = None
    tool_plan: str | None = None
    tool_call_id: str | None = None


class FunctionSpec(_Out, frozen=True, kw_only=True):
    name: str
    parameters: Raw
    description: str | None = None


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    function: FunctionSpec
    type: str = "function"


class ResponseFormat(msgspec.Struct, frozen=True, kw_only=True):
    type: str = "json_object"
    json_schema: Raw | msgspec.UnsetType = msgspec.UNSET


class Thinking(_Out, frozen=True, kw_only=True):
    type: str
    token_budget: int | None = None


class TokensIn(_In, frozen=True, kw_only=True):
    input_tokens: float | None = None
    output_tokens: float | None = None


class UsageIn(_In, frozen=True, kw_only=True):
    billed_units: TokensIn | None = None
    tokens: TokensIn | None = None
    cached_tokens: float | None = None


class FunctionIn(_In, frozen=True, kw_only=True):
    name: str | None = None
    arguments: str | None = None


class ToolCallIn(_In, frozen=True, kw_only=True):
    id: str | None = None
    function: FunctionIn | None = None


class ContentIn(_In, frozen=True, kw_only=True):
    type: str | None = None
    text: str | None = None
    thinking: str | None = None


class DocumentIn(_In, frozen=True, kw_only=True):
    title: str | None = None
    url: str | None = None


class SourceIn(_In, frozen=True, kw_only=True):
    id: str | None = None
    document: DocumentIn | None = None


class CitationIn(_In, frozen=True, kw_only=True):
    start: int | None = None
    end: int | None = None
    text: str | None = None
    sources: list[SourceIn] | None = None
    content_index: int | None = None
    type: str | None = None


class MessageIn(_In, frozen=True, kw_only=True):
    """Of a whole answer."""

    content: list[ContentIn] | None = None
    tool_calls: list[ToolCallIn] | None = None
    tool_plan: str | None = None
    citations: list[Raw] | None = None


class DeltaMessage(_In, frozen=True, kw_only=True):
    """Of an event: one of each where a whole answer has lists."""

    content: ContentIn | list[Raw] | str | None = None
    tool_calls: ToolCallIn | list[Raw] | None = None
    tool_plan: str | None = None
    citations: Raw = NOTHING


class Delta(_In, frozen=True, kw_only=True):
    message: DeltaMessage | None = None
    finish_reason: str | None = None
    error: str | None = None
    usage: UsageIn | None = None


class Event(_In, frozen=True, kw_only=True):
    type: str
    id: str | None = None
    index: int = 0
    delta: Delta | None = None


class Answer(_In, frozen=True, kw_only=True):
    id: str | None = None
    finish_reason: str | None = None
    message: MessageIn | str | None = None
    """A string where it is an error."""
    usage: UsageIn | None = None
