"""JSON of Google's generateContent, out and in: tolerant where it comes in, nothing that is not said where it goes out.

Source: Google, "Gemini API reference: GenerateContent" and "Vertex AI: generateContent" (read 2026-11-25).
"""

import msgspec
from msgspec import Raw

from trunkline_gateway.dialects.reading import NOTHING


class Out(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Base of what is sent."""


class InlineData(Out, frozen=True, kw_only=True):
    mime_type: str = ""
    data: str = ""
    """Base64."""


class FileData(Out, frozen=True, kw_only=True):
    file_uri: str = ""
    mime_type: str = ""


class CallOut(Out, frozen=True, kw_only=True):
    id: str = ""
    name: str
    args: Raw


class MediaOut(Out, frozen=True, kw_only=True):
    inline_data: InlineData


class ResultOut(Out, frozen=True, kw_only=True):
    id: str = ""
    name: str
    response: dict[str, str]
    """`output` or `error`."""
    parts: list[MediaOut] = []


class PartOut(Out, frozen=True, kw_only=True):
    """One of its kinds; an empty text is one that is there."""

    text: str | None = None
    thought: bool = False
    inline_data: InlineData | None = None
    file_data: FileData | None = None
    function_call: CallOut | None = None
    function_response: ResultOut | None = None
    thought_signature: str = ""


class Content(Out, frozen=True, kw_only=True):
    role: str = ""
    parts: list[PartOut]


class FunctionDeclaration(Out, frozen=True, kw_only=True):
    name: str
    description: str = ""
    parameters_json_schema: Raw | None = None


class Tool(Out, frozen=True, kw_only=True):
    function_declarations: list[FunctionDeclaration]


class FunctionCallingConfig(Out, frozen=True, kw_only=True):
    mode: str
    """AUTO, ANY, NONE, or VALIDATED: as AUTO, but calls keep to their schemas and to the allowed names."""
    allowed_function_names: list[str] = []


class ToolConfig(Out, frozen=True, kw_only=True):
    function_calling_config: FunctionCallingConfig


class ThinkingConfig(Out, frozen=True, kw_only=True):
    include_thoughts: bool = False
    thinking_budget: int | None = None
    """0 is none, -1 as much as the model likes."""
    thinking_level: str = ""


class GenerationConfig(Out, frozen=True, kw_only=True):
    max_output_tokens: int | None = None
    stop_sequences: tuple[str, ...] = ()
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    candidate_count: int | None = None
    response_mime_type: str = ""
    response_json_schema: Raw | None = None
    response_logprobs: bool = False
    logprobs: int | None = None
    thinking_config: ThinkingConfig | None = None


class Body(Out, frozen=True, kw_only=True):
    system_instruction: Content | None = None
    contents: list[Content]
    tools: list[Tool] = []
    tool_config: ToolConfig | None = None
    generation_config: GenerationConfig | None = None


class _In(msgspec.Struct, frozen=True, rename="camel"):
    """Base of what comes."""


class CallIn(_In, frozen=True):
    id: str | None = None
    name: str | None = None
    args: Raw = NOTHING


class Blob(_In, frozen=True):
    mime_type: str | None = None


class PartIn(_In, frozen=True):
    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: CallIn | None = None
    inline_data: Blob | None = None
    executable_code: Raw = NOTHING
    code_execution_result: Raw = NOTHING


class ContentIn(_In, frozen=True):
    parts: list[PartIn] | None = None


class Source(_In, frozen=True):
    """Of a citation. Places are in bytes of UTF-8."""

    start_index: int | None = None
    end_index: int | None = None
    uri: str | None = None
    title: str | None = None


class CitationMetadata(_In, frozen=True):
    citation_sources: list[Source] | None = None
    """What the Gemini API calls them."""
    citations: list[Source] | None = None
    """What Vertex AI calls them."""


class Web(_In, frozen=True):
    uri: str | None = None
    title: str | None = None


class GroundingChunk(_In, frozen=True):
    web: Web | None = None
    retrieved_context: Web | None = None
    maps: Web | None = None


class Segment(_In, frozen=True):
    """Places are in bytes of UTF-8."""

    start_index: int | None = None
    end_index: int | None = None
    text: str | None = None


class GroundingSupport(_In, frozen=True):
    segment: Segment | None = None
    grounding_chunk_indices: list[int] | None = None


class GroundingMetadata(_In, frozen=True):
    grounding_chunks: list[GroundingChunk] | None = None
    grounding_supports: list[GroundingSupport] | None = None


class TokenCandidate(_In, frozen=True):
    token: str | None = None
    log_probability: float | None = None


class TopCandidates(_In, frozen=True):
    candidates: list[TokenCandidate] | None = None


class LogprobsResult(_In, frozen=True):
    chosen_candidates: list[TokenCandidate] | None = None
    top_candidates: list[TopCandidates] | None = None


class Candidate(_In, frozen=True):
    index: int | None = None
    content: ContentIn | None = None
    finish_reason: str | None = None
    finish_message: str | None = None
    citation_metadata: CitationMetadata | None = None
    grounding_metadata: GroundingMetadata | None = None
    logprobs_result: LogprobsResult | None = None


class PromptFeedback(_In, frozen=True):
    block_reason: str | None = None
    block_reason_message: str | None = None


class ModalityCount(_In, frozen=True):
    modality: str | None = None
    token_count: int | None = None


class UsageMetadata(_In, frozen=True):
    prompt_token_count: int | None = None
    """Cached ones included."""
    cached_content_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    """Not part of the prompt's."""
    candidates_token_count: int | None = None
    """Without thoughts."""
    thoughts_token_count: int | None = None
    prompt_tokens_details: list[ModalityCount] | None = None
    candidates_tokens_details: list[ModalityCount] | None = None


class ErrorIn(_In, frozen=True):
    code: int | None = None
    message: str | None = None
    status: str | None = None


class Response(_In, frozen=True):
    """A whole answer, or one event of a stream."""

    response_id: str | None = None
    model_version: str | None = None
    candidates: list[Candidate] | None = None
    prompt_feedback: PromptFeedback | None = None
    usage_metadata: UsageMetadata | None = None
    error: ErrorIn | None = None
