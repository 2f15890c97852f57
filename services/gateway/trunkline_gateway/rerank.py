"""Reranking: Cohere's request as other servers want it, and any server's scores as Cohere's answer. Pure.

Sources: Cohere API reference "Rerank" v1 and v2; vLLM, SGLang, llama.cpp and Text Embeddings Inference, their rerank
endpoints (read 2026-11-25).
"""

import math
from collections.abc import Sequence

import msgspec
from msgspec import Raw

from trunkline_gateway import body as bodies
from trunkline_gateway.chunks import lenient
from trunkline_gateway.openai_types import RerankControl
from trunkline_gateway.rerank_types import (
    ApiVersion,
    BilledUnits,
    RerankAnswer,
    RerankMeta,
    RerankResult,
    RerankUsage,
    UsedTokens,
)
from trunkline_gateway.usage import Usage
from trunkline_kit.errors import Unsupported, UpstreamError

_NOTHING = Raw(b"null")
_UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What a server wants another way than the caller says it."""

    documents: str = "documents"
    """What it calls them."""
    takes_objects: bool = True
    leaves_out: frozenset[str] = frozenset()
    """What it has no member for and does not need."""
    refuses: frozenset[str] = frozenset()
    """What changes the answer and it cannot do."""


DOCUMENTS = Shape()
"""vLLM, SGLang, llama.cpp, Jina: they judge other members themselves."""
TEXTS = Shape(
    documents="texts",
    takes_objects=False,
    leaves_out=frozenset({"model", "top_n"}),
    refuses=frozenset({"max_tokens_per_doc", "max_chunks_per_doc", "rank_fields"}),
)
"""Text Embeddings Inference."""
COHERE = Shape(takes_objects=False, refuses=frozenset({"rank_fields", "max_chunks_per_doc"}))
"""Version 2 of Cohere's API."""


class _Row(msgspec.Struct, frozen=True):
    index: int
    relevance_score: float | None = None
    score: float | None = None


class _Tokens(msgspec.Struct, frozen=True):
    prompt_tokens: int | None = None
    total_tokens: int | None = None
    input_tokens: float | None = None
    search_units: float | None = None


class _Meta(msgspec.Struct, frozen=True):
    billed_units: _Tokens | None = None
    tokens: _Tokens | None = None


class _Whole(msgspec.Struct, frozen=True):
    id: str | None = None
    results: list[_Row] | None = None
    data: list[_Row] | None = None
    usage: _Tokens | None = None
    meta: _Meta | None = None
    error: Raw = _NOTHING


class Ranked(msgspec.Struct, frozen=True):
    """An answer in the caller's dialect, and what it took."""

    body: bytes
    usage: Usage | None


_asked = msgspec.json.Decoder(RerankControl)
_decode = msgspec.json.Decoder(_Whole | list[_Row]).decode
_encode = msgspec.json.Encoder().encode


def asked_of(body: bytes) -> RerankControl:
    """A request that was decoded before. Raises InvalidRequest."""
    return bodies.decode(body, _asked)


def request_for(body: bytes, model: str, shape: Shape) -> bytes:
    """The body for a server of this shape, with its own name of the model. Raises Unsupported.

    A document that is an object with `text` alone goes out as that text, which every server takes.
    """
    members = bodies.members_of(body)
    refused = next((name for name in members if name in shape.refuses and bytes(members[name]) != b"null"), None)
    if refused is not None:
        raise Unsupported(f"{refused} cannot be said to this model's provider; leave it out", param=refused)
    documents = [
        _document(document, f"documents[{index}]", shape) for index, document in enumerate(asked_of(body).documents)
    ]
    # Documents are put into the answer here: the same way for every server, and not sent twice.
    members.pop("return_documents", None)
    members.pop("documents")
    members["model"] = Raw(_encode(model))
    members[shape.documents] = Raw(_encode(documents))
    return _encode({name: value for name, value in members.items() if name not in shape.leaves_out})


def _document(document: "str | dict[str, Raw]", place: str, shape: Shape) -> "str | dict[str, Raw]":
    """Raises Unsupported for an object that the server would not know what to do with."""
    if isinstance(document, str):
        return document
    if document.keys() == {"text"} and bytes(document["text"]).startswith(b'"'):
        return msgspec.json.decode(bytes(document["text"]), type=str)
    if shape.takes_objects:
        return document
    text = "this model's provider takes documents of text only: send a string, or an object with `text` alone"
    raise Unsupported(text, param=place)


def error_in(data: bytes) -> bytes:
    """The error object of an answer that came with 200 and is none; empty without one."""
    try:
        found = _decode(lenient(data))
    except _UNDECODABLE:
        return b""
    said = bytes(_NOTHING) if isinstance(found, list) else bytes(found.error)
    return b"" if said == b"null" else said


def scored(scores: Sequence[float], prompt_tokens: int, asked: RerankControl, answer_id: str) -> Ranked:
    """The same for scores that came in the documents' order. Raises UpstreamError."""
    rows = [{"index": index, "score": score} for index, score in enumerate(scores)]
    return ranked(_encode({"results": rows, "usage": {"prompt_tokens": prompt_tokens}}), asked, answer_id)


def ranked(data: bytes, asked: RerankControl, answer_id: str) -> Ranked:
    """A server's answer as Cohere's: the best first, at most `top_n`, with documents where they were asked for.

    Raises UpstreamError for one that is none: no scores, an index that is not of a document, or one given twice.
    """
    try:
        found = _decode(data)
    except _UNDECODABLE as error:
        raise UpstreamError(f"the provider sent something that is no reranking: {error}") from error
    whole = _Whole(results=found) if isinstance(found, list) else found
    rows = whole.results if whole.results is not None else whole.data
    if not rows:
        raise UpstreamError("the provider answered without results")
    usage = _usage(whole)
    answer = RerankAnswer(
        id=whole.id or answer_id,
        model=asked.model,
        results=_results(rows, asked),
        meta=RerankMeta(
            api_version=ApiVersion(version="2"),
            billed_units=_billed(whole),
            tokens=UsedTokens(input_tokens=usage.input_tokens) if usage and usage.prompt_tokens is not None else None,
        ),
        usage=None if usage is None or usage.prompt_tokens is None else _said(usage),
    )
    return Ranked(_encode(answer), usage)


def _results(rows: Sequence[_Row], asked: RerankControl) -> list[RerankResult]:
    scores: dict[int, float] = {}
    for row in rows:
        score = row.score if row.relevance_score is None else row.relevance_score
        if score is None or not 0 <= row.index < len(asked.documents) or row.index in scores:
            raise UpstreamError(f"the provider's result for document {row.index} makes no sense")
        scores[row.index] = score
    # Stable: a server that has finer scores than it says keeps its order.
    best = sorted(scores, key=lambda index: -scores[index])[: asked.top_n]
    return [
        RerankResult(
            index=index,
            relevance_score=scores[index],
            document=_shown(asked.documents[index]) if asked.return_documents else None,
        )
        for index in best
    ]


def _shown(document: "str | dict[str, Raw]") -> "dict[str, Raw]":
    return {"text": Raw(_encode(document))} if isinstance(document, str) else document


def _usage(whole: _Whole) -> Usage | None:
    """As OpenAI has it: what was read, and Cohere's search units beside it."""
    used = whole.usage or _Tokens()
    meta = whole.meta or _Meta()
    billed, tokens = meta.billed_units or _Tokens(), meta.tokens or _Tokens()
    read = _first(used.prompt_tokens, used.total_tokens, tokens.input_tokens, billed.input_tokens)
    searches = _first(billed.search_units, used.search_units)
    if read is None and searches is None:
        return None
    return Usage(prompt_tokens=read, total_tokens=read, search_units=searches)


def _first(*counts: float | None) -> int | None:
    """The first that was said at all, whole; what is no count counts as nothing."""
    said = next((count for count in counts if count is not None), None)
    return None if said is None else max(0, math.ceil(said))


def _billed(whole: _Whole) -> BilledUnits | None:
    """What the provider says that it charges; nothing is made up for those that do not."""
    billed = whole.meta.billed_units if whole.meta is not None else None
    if billed is None:
        return None
    return BilledUnits(search_units=_first(billed.search_units), input_tokens=_first(billed.input_tokens))


def _said(usage: Usage) -> RerankUsage:
    return RerankUsage(prompt_tokens=usage.input_tokens, total_tokens=usage.input_tokens)
