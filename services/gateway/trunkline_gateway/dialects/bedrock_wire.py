"""The JSON of AWS Bedrock's Converse API, both ways. Source: the service model in botocore 1.44.8 (read 2026-11-25).

Blocks are unions told apart by which field they have. What we send has only what is set; what comes is tolerant.
"""

import msgspec
from msgspec import Raw

from trunkline_gateway.dialects.reading import NOTHING


class _Out(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    pass


class _In(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    pass


class CachePoint(_Out, frozen=True, kw_only=True):
    type: str
    ttl: str | None = None


class Source(_Out, frozen=True, kw_only=True):
    """Of an image or a document: base64, or a document's text."""

    bytes: str | None = None
    text: str | None = None


class Image(_Out, frozen=True, kw_only=True):
    format: str
    source: Source


class Switch(_Out, frozen=True, kw_only=True):
    enabled: bool


class Document(_Out, frozen=True, kw_only=True):
    name: str
    source: Source
    format: str | None = None
    context: str | None = None
    citations: Switch | None = None


class ToolUse(_Out, frozen=True, kw_only=True):
    tool_use_id: str
    name: str
    input: Raw


class ResultPiece(_Out, frozen=True, kw_only=True):
    text: str | None = None
    image: Image | None = None
    document: Document | None = None


class ToolResult(_Out, frozen=True, kw_only=True):
    tool_use_id: str
    content: list[ResultPiece]
    status: str | None = None


class ReasoningText(_Out, frozen=True, kw_only=True):
    text: str
    signature: str


class Reasoning(_Out, frozen=True, kw_only=True):
    reasoning_text: ReasoningText | None = None
    redacted_content: str | None = None


class Block(_Out, frozen=True, kw_only=True):
    """Exactly one of these."""

    text: str | None = None
    image: Image | None = None
    document: Document | None = None
    tool_use: ToolUse | None = None
    tool_result: ToolResult | None = None
    reasoning_content: Reasoning | None = None
    cache_point: CachePoint | None = None


class Message(msgspec.Struct, frozen=True, kw_only=True):
    role: str
    content: list[Block]


class InferenceConfig(_Out, frozen=True, kw_only=True):
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop_sequences: tuple[str, ...] = ()


class InputSchema(_Out, frozen=True, kw_only=True):
    json: Raw


class ToolSpec(_Out, frozen=True, kw_only=True):
    name: str
    input_schema: InputSchema
    description: str | None = None
    strict: bool | None = None


class Tool(_Out, frozen=True, kw_only=True):
    tool_spec: ToolSpec | None = None
    cache_point: CachePoint | None = None


class Nothing(_Out, frozen=True, kw_only=True):
    pass


class Named(_Out, frozen=True, kw_only=True):
    name: str


class ToolChoice(_Out, frozen=True, kw_only=True):
    auto: Nothing | None = None
    any: Nothing | None = None
    tool: Named | None = None


class ToolConfig(_Out, frozen=True, kw_only=True):
    tools: list[Tool]
    tool_choice: ToolChoice | None = None


class JsonSchema(_Out, frozen=True, kw_only=True):
    schema: str
    """JSON, as a string."""
    name: str | None = None
    description: str | None = None


class Form(_Out, frozen=True, kw_only=True):
    json_schema: JsonSchema


class TextFormat(_Out, frozen=True, kw_only=True):
    type: str
    structure: Form


class OutputConfig(_Out, frozen=True, kw_only=True):
    text_format: TextFormat | None = None
    effort: str | None = None


class TokenUsage(_In, frozen=True, kw_only=True):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_write_input_tokens: int | None = None
    cache_details: "list[CacheDetail] | None" = None


class CacheDetail(_In, frozen=True, kw_only=True):
    ttl: str = ""
    input_tokens: int | None = None


class ReasoningIn(_In, frozen=True, kw_only=True):
    """Of a whole block, `reasoning_text`; of a delta, `text` and `signature`; of either, `redacted_content`."""

    reasoning_text: "ReasoningTextIn | None" = None
    text: str | None = None
    signature: str | None = None
    redacted_content: str | None = None


class ReasoningTextIn(_In, frozen=True, kw_only=True):
    text: str = ""
    signature: str | None = None


class ToolUseIn(_In, frozen=True, kw_only=True):
    """Where a call begins and in whole answers; in a delta, `input` is a string of a part of its JSON."""

    tool_use_id: str = ""
    name: str = ""
    input: Raw = NOTHING
    type: str | None = None


class TextIn(_In, frozen=True, kw_only=True):
    text: str | None = None


class CitationsIn(_In, frozen=True, kw_only=True):
    content: list[TextIn] | None = None
    citations: list[Raw] | None = None


class WebIn(_In, frozen=True, kw_only=True):
    url: str | None = None


class LocationIn(_In, frozen=True, kw_only=True):
    web: WebIn | None = None


class CitationIn(_In, frozen=True, kw_only=True):
    title: str | None = None
    source_content: list[TextIn] | None = None
    location: LocationIn | None = None


class BlockIn(_In, frozen=True, kw_only=True):
    """A block of a whole answer, a block's start or a delta."""

    text: str | None = None
    reasoning_content: ReasoningIn | None = None
    tool_use: ToolUseIn | None = None
    citations_content: CitationsIn | None = None
    citation: Raw = NOTHING
