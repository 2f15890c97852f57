"""The JSON of OpenAI's chat completions, both ways. Source: OpenAI API reference, "Chat" (read 2026-11-24).

What a caller nests is strict, so that nothing unknown is lost on the way to another dialect; what a provider answers is
tolerant. Fields marked "extension" are not OpenAI's own but what several gateways and servers agree on.
"""

from typing import Annotated

import msgspec
from msgspec import Meta, Raw

from trunkline_gateway.dialects.reading import NOTHING
from trunkline_gateway.openai_types import ModelName, StreamOptions


class _Strict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    pass


class _Tolerant(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    pass


class _Full(msgspec.Struct, frozen=True, kw_only=True):
    """Writes its nulls."""


class CacheControl(_Strict, frozen=True, kw_only=True, tag_field="type", tag="ephemeral"):
    """Extension: Anthropic's mark, as it is written in chat messages."""

    ttl: str | None = None


class CacheBreakpoint(_Strict, frozen=True, kw_only=True):
    mode: str
    ttl: str | None = None


class TextPart(_Strict, frozen=True, kw_only=True, tag_field="type", tag="text"):
    text: str
    prompt_cache_breakpoint: CacheBreakpoint | None = None
    cache_control: CacheControl | None = None


class ImageUrl(_Strict, frozen=True, kw_only=True):
    url: str
    detail: str | None = None
    format: str | None = None
    """Extension: the media type where the URL does not tell."""


class ImagePart(_Strict, frozen=True, kw_only=True, tag_field="type", tag="image_url"):
    image_url: ImageUrl
    prompt_cache_breakpoint: CacheBreakpoint | None = None
    cache_control: CacheControl | None = None


class InputAudio(_Strict, frozen=True, kw_only=True):
    data: str
    format: str


class AudioPart(_Strict, frozen=True, kw_only=True, tag_field="type", tag="input_audio"):
    input_audio: InputAudio
    prompt_cache_breakpoint: CacheBreakpoint | None = None
    cache_control: CacheControl | None = None


class FileRef(_Strict, frozen=True, kw_only=True):
    file_data: str | None = None
    """A data URL, or base64 of a PDF."""
    file_id: str | None = None
    filename: str | None = None


class FilePart(_Strict, frozen=True, kw_only=True, tag_field="type", tag="file"):
    file: FileRef
    prompt_cache_breakpoint: CacheBreakpoint | None = None
    cache_control: CacheControl | None = None


class RefusalPart(_Strict, frozen=True, kw_only=True, tag_field="type", tag="refusal"):
    refusal: str


UserPart = TextPart | ImagePart | AudioPart | FilePart


class SystemMessage(_Strict, frozen=True, kw_only=True, tag_field="role", tag="system"):
    content: str | list[TextPart]
    name: str | None = None
    cache_control: CacheControl | None = None


class DeveloperMessage(_Strict, frozen=True, kw_only=True, tag_field="role", tag="developer"):
    content: str | list[TextPart]
    name: str | None = None
    cache_control: CacheControl | None = None


class UserMessage(_Strict, frozen=True, kw_only=True, tag_field="role", tag="user"):
    content: str | list[UserPart]
    name: str | None = None
    cache_control: CacheControl | None = None


class GoogleContent(_Tolerant, frozen=True, kw_only=True):
    thought_signature: str | None = None


class ExtraContent(_Tolerant, frozen=True, kw_only=True):
    """Extension: Google's, for what its models want back with a call."""

    google: GoogleContent | None = None


class FunctionCall(_Full, frozen=True, kw_only=True):
    name: str
    arguments: str = ""


class ToolCall(_Strict, frozen=True, kw_only=True, tag_field="type", tag="function"):
    id: str
    function: FunctionCall
    index: int | None = None
    """Some clients put the stream's index into the history."""
    extra_content: ExtraContent | None = None
    provider_specific_fields: Raw = NOTHING


class AudioRef(_Tolerant, frozen=True, kw_only=True):
    id: str


class ThinkingBlock(_Tolerant, frozen=True, kw_only=True):
    """Extension: Anthropic's thinking, as it is passed through chat messages."""

    type: str
    thinking: str = ""
    signature: str = ""
    data: str = ""


class AssistantMessage(_Strict, frozen=True, kw_only=True, tag_field="role", tag="assistant"):
    content: str | list[TextPart | RefusalPart] | None = None
    refusal: str | None = None
    name: str | None = None
    audio: AudioRef | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: None = None
    """Deprecated by OpenAI, and not translated."""
    cache_control: CacheControl | None = None
    reasoning_content: str | None = None
    """Extension: what a model thought, in clear."""
    reasoning: str | None = None
    """Extension: the same by another name."""
    thinking_blocks: list[ThinkingBlock] | None = None
    annotations: Raw = NOTHING
    """From here on: parts of answers that clients send back and no model reads again."""
    reasoning_details: Raw = NOTHING
    provider_specific_fields: Raw = NOTHING
    extra_content: Raw = NOTHING
    parsed: Raw = NOTHING
    images: Raw = NOTHING


class ToolMessage(_Strict, frozen=True, kw_only=True, tag_field="role", tag="tool"):
    content: str | list[TextPart]
    tool_call_id: str
    name: str | None = None
    cache_control: CacheControl | None = None


Message = SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage


class FunctionSpec(_Strict, frozen=True, kw_only=True):
    name: Annotated[str, Meta(min_length=1)]
    description: str | None = None
    parameters: Raw = NOTHING
    strict: bool | None = None


class FunctionTool(_Strict, frozen=True, kw_only=True, tag_field="type", tag="function"):
    function: FunctionSpec
    cache_control: CacheControl | None = None


class Named(_Tolerant, frozen=True, kw_only=True):
    name: str


class ToolName(_Tolerant, frozen=True, kw_only=True):
    type: str
    function: Named | None = None


class AllowedTools(_Strict, frozen=True, kw_only=True):
    mode: str
    tools: list[ToolName]


class ChosenTool(_Strict, frozen=True, kw_only=True):
    type: str
    function: Named | None = None
    allowed_tools: AllowedTools | None = None
    custom: Raw = NOTHING


class JsonSchema(_Strict, frozen=True, kw_only=True):
    name: str
    description: str | None = None
    schema: Raw = NOTHING
    strict: bool | None = None


class ResponseFormat(_Strict, frozen=True, kw_only=True):
    type: str
    json_schema: JsonSchema | None = None


class ThinkingParam(_Tolerant, frozen=True, kw_only=True):
    """Extension: Anthropic's switch, as it is written in chat requests."""

    type: str
    budget_tokens: int | None = None


class Body(_Tolerant, frozen=True, kw_only=True):
    """POST /chat/completions."""

    model: ModelName
    messages: Annotated[list[Message], Meta(min_length=1)]
    tools: list[Raw] | None = None
    tool_choice: str | ChosenTool | None = None
    parallel_tool_calls: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: Raw = NOTHING
    stop: str | list[str] | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: str | None = None
    thinking: ThinkingParam | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    audio: Raw = NOTHING
    modalities: list[str] | None = None
    verbosity: str | None = None
    user: str | None = None
    safety_identifier: str | None = None
    metadata: Raw = NOTHING
    store: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    cache_control: CacheControl | None = None


class ToolCallFragment(_Tolerant, frozen=True, kw_only=True):
    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: "FunctionFragment | None" = None
    extra_content: ExtraContent | None = None


class FunctionFragment(_Tolerant, frozen=True, kw_only=True, gc=False):
    name: str | None = None
    arguments: str | None = None


class UrlCitation(_Full, frozen=True, kw_only=True):
    url: str = ""
    title: str = ""
    start_index: int | None = None
    end_index: int | None = None


class Annotation(_Tolerant, frozen=True, kw_only=True):
    type: str
    url_citation: UrlCitation | None = None


class AudioFragment(_Tolerant, frozen=True, kw_only=True):
    id: str | None = None
    data: str | None = None
    transcript: str | None = None
    expires_at: int | None = None


class ContentPiece(_Tolerant, frozen=True, kw_only=True):
    """Mistral's: content in pieces, some of them thoughts."""

    type: str
    text: str | None = None
    thinking: "list[ContentPiece] | str | None" = None


class Delta(_Tolerant, frozen=True, kw_only=True):
    """A piece of an answer's message, or all of it."""

    role: str | None = None
    content: str | list[ContentPiece] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCallFragment] | None = None
    function_call: FunctionFragment | None = None
    audio: AudioFragment | None = None
    annotations: list[Annotation] | None = None
    thinking_blocks: list[ThinkingBlock] | None = None


class TopLogprob(_Full, frozen=True, kw_only=True):
    token: str
    logprob: float
    bytes: list[int] | None = None


class TokenLogprob(_Full, frozen=True, kw_only=True):
    token: str
    logprob: float
    bytes: list[int] | None = None
    top_logprobs: list[TopLogprob] = []


class Logprobs(_Full, frozen=True, kw_only=True):
    content: list[TokenLogprob] | None = None
    refusal: list[TokenLogprob] | None = None


class ProviderError(_Tolerant, frozen=True, kw_only=True):
    message: str = ""
    type: str | None = None
    code: str | int | None = None
    param: str | None = None
