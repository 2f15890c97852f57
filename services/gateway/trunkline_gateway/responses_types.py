"""OpenAI's Responses as the document describes them. What the gateway decides on is `ResponsesControl`."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from trunkline_gateway.openai_types import MaxTokens, ModelName, Probability, Temperature


class ResponsesRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What POST /v1/responses takes. Further fields are passed on to providers that speak this dialect."""

    model: ModelName
    input: str | list[dict[str, Any]]
    """Text, or items: messages, function calls and their outputs, reasoning."""
    instructions: str | None = None
    previous_response_id: str | None = None
    """A response of the same team, to be continued."""
    store: bool | None = None
    """Whether the response is kept, so that it can be read and continued. Unless it is false, it is."""
    stream: bool | None = None
    max_output_tokens: MaxTokens | None = None
    temperature: Temperature | None = None
    top_p: Probability | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    text: dict[str, Any] | None = None
    reasoning: dict[str, Any] | None = None
    include: list[str] | None = None
    metadata: dict[str, str] | None = None
    truncation: Annotated[str, Meta(pattern="^disabled$")] | None = None


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """What POST /v1/responses answers."""

    id: str
    object: str
    created_at: int
    status: str
    model: str
    output: list[dict[str, Any]]
    usage: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    incomplete_details: dict[str, Any] | None = None


class DeletedResponse(msgspec.Struct, frozen=True, kw_only=True):
    """What DELETE /v1/responses/{id} answers."""

    id: str
    object: str = "response"
    deleted: bool = True


class InputItems(msgspec.Struct, frozen=True, kw_only=True):
    """What GET /v1/responses/{id}/input_items answers: one page."""

    object: str = "list"
    data: list[msgspec.Raw]
    first_id: str | None = None
    last_id: str | None = None
    has_more: bool = False
