"""The JSON of Anthropic's Messages, both ways. Source: Anthropic API reference, "Messages" (read 2026-11-24).

What a caller nests is strict, so that nothing unknown is lost on the way to another dialect; what the provider answers
is tolerant. Blocks of types that are not here stay as they came, as native parts.
"""

from typing import Annotated

import msgspec
from msgspec import Meta, Raw

from trunkline_gateway.dialects.canonical import ThinkingMode
from trunkline_gateway.dialects.reading import NOTHING
from trunkline_gateway.openai_types import ModelName

VERSION = "2023-06-01"
"""The `anthropic-version` this is. Betas (`anthropic-beta`) are the provider's own: a caller's are passed on only by
the same dialect; what they switch on is refused by its fields, which are unknown here."""

THINKING_MODES = {
    "enabled": ThinkingMode.ON,
    "disabled": ThinkingMode.OFF,
    "adaptive": ThinkingMode.ADAPTIVE,
}


class _Strict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    pass


class _Tolerant(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    pass


class CacheControl(_Strict, frozen=True, kw_only=True, tag_field="type", tag="ephemeral"):
    ttl: str | None = None


class TextBlock(_Strict, frozen=True, kw_only=True, tag_field="type", tag="text"):
    text: str
    citations: list[Raw] | None = None
    cache_control: CacheControl | None = None


class Base64Source(_Strict, frozen=True, kw_only=True, tag_field="type", tag="base64"):
    media_type: str
    data: str


class UrlSource(_Strict, frozen=True, kw_only=True, tag_field="type", tag="url"):
    url: str


class FileSource(_Strict, frozen=True, kw_only=True, tag_field="type", tag="file"):
    file_id: str


class TextSource(_Strict, frozen=True, kw_only=True, tag_field="type", tag="text"):
    media_type: str
    data: str


class ImageBlock(_Strict, frozen=True, kw_only=True, tag_field="type", tag="image"):
    source: Base64Source | UrlSource | FileSource
    cache_control: CacheControl | None = None


class CitationsSwitch(_Strict, frozen=True, kw_only=True):
    enabled: bool


class DocumentBlock(_Strict, frozen=True, kw_only=True, tag_field="type", tag="document"):
    source: Base64Source | UrlSource | FileSource | TextSource
    title: str | None = None
    context: str | None = None
    citations: CitationsSwitch | None = None
    cache_control: CacheControl | None = None


class ThinkingBlock(_Strict, frozen=True, kw_only=True, tag_field="type", tag="thinking"):
    thinking: str
    signature: str


class RedactedBlock(_Strict, frozen=True, kw_only=True, tag_field="type", tag="redacted_thinking"):
    data: str


class Caller(_Tolerant, frozen=True, kw_only=True):
    type: str


class ToolUseBlock(_Strict, frozen=True, kw_only=True, tag_field="type", tag="tool_use"):
    id: str
    name: str
    input: Raw
    cache_control: CacheControl | None = None
    caller: Caller | None = None
    """Who calls: the model itself, unless the provider runs code."""


class ToolResultBlock(_Strict, frozen=True, kw_only=True, tag_field="type", tag="tool_result"):
    tool_use_id: str
    content: str | list[TextBlock | ImageBlock | DocumentBlock] | None = None
    is_error: bool | None = None
    cache_control: CacheControl | None = None


Block = TextBlock | ImageBlock | DocumentBlock | ThinkingBlock | RedactedBlock | ToolUseBlock | ToolResultBlock
BLOCK_TYPES = frozenset({"text", "image", "document", "thinking", "redacted_thinking", "tool_use", "tool_result"})


class MessageIn(_Strict, frozen=True, kw_only=True):
    role: str
    content: str | list[Raw]


class MessageOut(msgspec.Struct, frozen=True, kw_only=True):
    role: str
    content: str | list[Block | Raw]


class Tool(_Strict, frozen=True, kw_only=True):
    name: Annotated[str, Meta(min_length=1)]
    description: str | None = None
    input_schema: Raw = NOTHING
    type: str | None = None
    """`custom` or nothing: others are native tools."""
    strict: bool | None = None
    cache_control: CacheControl | None = None
    eager_input_streaming: bool | None = None
    """How it is streamed; no answer depends on it."""
    defer_loading: bool | None = None
    """Whether it is shown only when searched for; the search is a native tool."""


class ToolChoice(_Strict, frozen=True, kw_only=True):
    type: str
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(_Strict, frozen=True, kw_only=True):
    type: str
    budget_tokens: Annotated[int, Meta(ge=1)] | None = None
    display: str | None = None


class OutputFormat(_Strict, frozen=True, kw_only=True, tag_field="type", tag="json_schema"):
    schema: Raw


class OutputConfig(_Strict, frozen=True, kw_only=True):
    effort: str | None = None
    format: OutputFormat | None = None


class Metadata(_Strict, frozen=True, kw_only=True):
    user_id: str | None = None


class Body(_Tolerant, frozen=True, kw_only=True):
    """POST /v1/messages, as it comes."""

    model: ModelName
    max_tokens: Annotated[int, Meta(ge=1)]
    messages: Annotated[list[MessageIn], Meta(min_length=1)]
    system: str | list[TextBlock] | None = None
    tools: list[Raw] | None = None
    tool_choice: ToolChoice | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: list[str] | None = None
    stream: bool | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    output_format: OutputFormat | None = None
    """The beta's name for `output_config.format`."""
    metadata: Metadata | None = None
    cache_control: CacheControl | None = None


class OutputDetails(_Tolerant, frozen=True, kw_only=True):
    thinking_tokens: int | None = None


class CacheCreation(_Tolerant, frozen=True, kw_only=True):
    ephemeral_1h_input_tokens: int | None = None


class UsageIn(_Tolerant, frozen=True, kw_only=True):
    """Cumulative; what is missing is as it was said before."""

    input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation: CacheCreation | None = None
    output_tokens_details: OutputDetails | None = None


class UsageOut(msgspec.Struct, frozen=True, kw_only=True):
    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int


class ErrorIn(_Tolerant, frozen=True, kw_only=True):
    type: str = ""
    message: str = ""
