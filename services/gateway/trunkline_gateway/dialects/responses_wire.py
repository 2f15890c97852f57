"""The JSON of OpenAI's Responses, both ways. Source: OpenAI API reference, "Responses" (read 2026-11-24).

What a caller nests is strict, so that nothing unknown is lost on the way to another dialect. Items of types that are
not here stay as they came, as native parts.
"""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from trunkline_gateway.dialects.chat_wire import CacheBreakpoint, TokenLogprob
from trunkline_gateway.dialects.reading import NOTHING
from trunkline_gateway.openai_types import ModelName


class _Strict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    pass


class _Tolerant(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    pass


class InputText(_Strict, frozen=True, kw_only=True, tag_field="type", tag="input_text"):
    text: str
    prompt_cache_breakpoint: CacheBreakpoint | None = None


class InputImage(_Strict, frozen=True, kw_only=True, tag_field="type", tag="input_image"):
    image_url: str | None = None
    file_id: str | None = None
    detail: str | None = None
    prompt_cache_breakpoint: CacheBreakpoint | None = None


class InputFile(_Strict, frozen=True, kw_only=True, tag_field="type", tag="input_file"):
    file_data: str | None = None
    file_id: str | None = None
    file_url: str | None = None
    filename: str | None = None
    detail: str | None = None
    prompt_cache_breakpoint: CacheBreakpoint | None = None


class SoundData(_Strict, frozen=True, kw_only=True):
    data: str
    format: str


class InputAudio(_Strict, frozen=True, kw_only=True, tag_field="type", tag="input_audio"):
    input_audio: SoundData


class SaidText(_Tolerant, frozen=True, kw_only=True, tag_field="type", tag="output_text"):
    """Of an earlier answer: what is there beside the text was for its reader."""

    text: str


class SaidRefusal(_Tolerant, frozen=True, kw_only=True, tag_field="type", tag="refusal"):
    refusal: str


InputPart = InputText | InputImage | InputFile | InputAudio | SaidText | SaidRefusal
ResultPart = InputText | InputImage | InputFile


class MessageItem(_Strict, frozen=True, kw_only=True):
    role: str
    content: str | list[InputPart]
    type: str = "message"
    id: str | None = None
    status: str | None = None
    phase: str | None = None


class CallItem(_Strict, frozen=True, kw_only=True, tag_field="type", tag="function_call"):
    call_id: str
    name: str
    arguments: str = ""
    id: str | None = None
    status: str | None = None


class ResultItem(_Strict, frozen=True, kw_only=True, tag_field="type", tag="function_call_output"):
    call_id: str
    output: str | list[ResultPart]
    name: str | None = None
    id: str | None = None
    status: str | None = None


class Thought(_Tolerant, frozen=True, kw_only=True):
    text: str = ""


class ReasoningItem(_Strict, frozen=True, kw_only=True, tag_field="type", tag="reasoning"):
    id: str | None = None
    summary: list[Thought] = []
    content: list[Thought] | None = None
    encrypted_content: str | None = None
    status: str | None = None


class FunctionTool(_Strict, frozen=True, kw_only=True, tag_field="type", tag="function"):
    name: Annotated[str, Meta(min_length=1)]
    description: str | None = None
    parameters: Raw = NOTHING
    strict: bool | None = None


class ToolName(_Tolerant, frozen=True, kw_only=True):
    type: str
    name: str = ""


class ChosenTool(_Strict, frozen=True, kw_only=True):
    type: str
    name: str | None = None
    mode: str | None = None
    tools: list[ToolName] | None = None


class TextFormat(_Strict, frozen=True, kw_only=True):
    type: str
    name: str = ""
    description: str | None = None
    schema: Raw = NOTHING
    strict: bool | None = None


class TextConfig(_Strict, frozen=True, kw_only=True):
    format: TextFormat | None = None
    verbosity: str | None = None


class Reasoning(_Strict, frozen=True, kw_only=True):
    effort: str | None = None
    summary: str | None = None
    generate_summary: str | None = None
    """The older name of `summary`."""


class Body(_Tolerant, frozen=True, kw_only=True):
    """POST /v1/responses."""

    model: ModelName
    input: str | list[Raw]
    instructions: str | None = None
    tools: list[Raw] | None = None
    tool_choice: str | ChosenTool | None = None
    parallel_tool_calls: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: Annotated[int, Meta(ge=1)] | None = None
    text: TextConfig | None = None
    reasoning: Reasoning | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    include: list[str] | None = None
    metadata: Raw = NOTHING
    user: str | None = None
    safety_identifier: str | None = None
    store: bool | None = None
    previous_response_id: str | None = None
    stream: bool | None = None
    background: bool | None = None
    truncation: str | None = None


class UrlCitation(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="url_citation"):
    start_index: int
    end_index: int
    url: str
    title: str


class OutputText(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="output_text"):
    text: str
    annotations: list[UrlCitation] = []
    logprobs: list[TokenLogprob] = []


class OutputRefusal(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="refusal"):
    refusal: str


class SummaryText(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="summary_text"):
    text: str


class OutputMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="message"):
    id: str
    status: str
    role: str = "assistant"
    content: list[OutputText | OutputRefusal]


class OutputReasoning(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="reasoning"):
    id: str
    summary: list[SummaryText]
    encrypted_content: str | UnsetType = UNSET


class OutputCall(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="function_call"):
    id: str
    call_id: str
    name: str
    arguments: str
    status: str


OutputItem = OutputMessage | OutputReasoning | OutputCall


class InputDetails(msgspec.Struct, frozen=True, kw_only=True):
    cached_tokens: int
    cache_write_tokens: int


class OutputDetails(msgspec.Struct, frozen=True, kw_only=True):
    reasoning_tokens: int


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int


class Incomplete(msgspec.Struct, frozen=True, kw_only=True):
    reason: str


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    code: str
    message: str


_NULL = Raw(b"null")


class Echoed(msgspec.Struct, frozen=True, kw_only=True):
    """What a response repeats of its request, as the caller wrote it, with OpenAI's defaults."""

    instructions: Raw = _NULL
    max_output_tokens: Raw = _NULL
    metadata: Raw = Raw(b"{}")
    parallel_tool_calls: Raw = Raw(b"true")
    previous_response_id: Raw = _NULL
    reasoning: Raw = Raw(b'{"effort":null,"summary":null}')
    store: Raw = Raw(b"true")
    temperature: Raw = _NULL
    text: Raw = Raw(b'{"format":{"type":"text"}}')
    tool_choice: Raw = Raw(b'"auto"')
    tools: Raw = Raw(b"[]")
    top_p: Raw = _NULL
    truncation: Raw = Raw(b'"disabled"')
    user: Raw = _NULL


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """The object without what it repeats."""

    id: str
    object: str = "response"
    created_at: int
    status: str
    background: bool = False
    error: Failure | None = None
    incomplete_details: Incomplete | None = None
    model: str
    output: list[OutputItem] = []
    usage: Usage | None = None
