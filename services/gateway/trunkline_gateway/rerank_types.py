"""Cohere's reranking as the document describes it. What the gateway decides on is `RerankControl`."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw

from trunkline_gateway.openai_types import ModelName


class RerankRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What POST /v1/rerank and /v2/rerank take. Further fields are passed on."""

    model: ModelName
    query: str
    documents: Annotated[list[str | dict[str, Any]], Meta(min_length=1)]
    """Texts, or objects with `text`."""
    top_n: Annotated[int, Meta(ge=1)] | None = None
    return_documents: bool | None = None
    """Put each document into its result."""
    max_tokens_per_doc: Annotated[int, Meta(ge=1)] | None = None


class RerankResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    index: int
    """Of the document in the request."""
    relevance_score: float
    document: dict[str, Raw] | None = None


class ApiVersion(msgspec.Struct, frozen=True):
    version: str


class BilledUnits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """As the provider says."""

    search_units: int | None = None
    input_tokens: int | None = None


class UsedTokens(msgspec.Struct, frozen=True, kw_only=True):
    input_tokens: int


class RerankMeta(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    api_version: ApiVersion
    billed_units: BilledUnits | None = None
    """Only where the provider says what it charges."""
    tokens: UsedTokens | None = None


class RerankUsage(msgspec.Struct, frozen=True, kw_only=True):
    """The same once more, as clients of Jina and vLLM look for it."""

    prompt_tokens: int
    total_tokens: int


class RerankAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What reranking answers: the best first."""

    id: str
    results: list[RerankResult]
    meta: RerankMeta
    model: str
    usage: RerankUsage | None = None


class RerankError(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of its errors, as Cohere has it, with our code and the field that is to blame."""

    message: str
    code: str
    param: str | None = None
