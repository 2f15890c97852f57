"""OpenAI's embeddings over Cohere's Embed API, version 2. Pure. Source: cohere 7.3.1 (read 2026-11-25)."""

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw

from trunkline_gateway import body as bodies
from trunkline_gateway.dialects.reading import answered, extras_of
from trunkline_gateway.usage import TOKENS_MAX, Usage, usage_of
from trunkline_kit.errors import InvalidRequest, Unsupported, UpstreamError

TEXTS_MAX = 96
"""In one call of Cohere's; a longer list is asked for in several, one after the other."""
INPUT_TYPE = "search_document"
"""Cohere wants to know what the texts are for, and OpenAI's dialect has no word for it: `input_type` may be added."""

_HARMLESS = frozenset({"user", "safety_identifier"})


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    model: str
    input: str | list[str | int | list[int]]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    input_type: Literal["search_document", "search_query", "classification", "clustering"] | None = None
    truncate: Literal["NONE", "START", "END"] | None = None


class _Body(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    model: str
    texts: list[str]
    input_type: str
    embedding_types: tuple[str, ...]
    output_dimension: int | None = None
    truncate: str | None = None


class _Units(msgspec.Struct, frozen=True):
    input_tokens: float | None = None


class _Meta(msgspec.Struct, frozen=True):
    billed_units: _Units | None = None


class _Vectors(msgspec.Struct, frozen=True, rename={"floats": "float"}):
    floats: list[Raw] | None = None
    base64: list[Raw] | None = None


class _Answer(msgspec.Struct, frozen=True):
    embeddings: _Vectors | None = None
    meta: _Meta | None = None


class _Embedding(msgspec.Struct, frozen=True, kw_only=True):
    object: str = "embedding"
    index: int
    embedding: Raw


class _Whole(msgspec.Struct, frozen=True, kw_only=True):
    object: str = "list"
    data: list[_Embedding]
    model: str
    usage: dict[str, int]


class Batch(msgspec.Struct, frozen=True):
    """One call of Cohere's."""

    body: bytes
    count: int


class Vectors(msgspec.Struct, frozen=True):
    """What one call answers, in order."""

    values: list[Raw]
    tokens: int


_decode = msgspec.json.Decoder(_Asked)
_decode_answer = msgspec.json.Decoder(_Answer)
_encode = msgspec.json.Encoder().encode
_KNOWN = frozenset(_Asked.__struct_fields__)


def batches_of(body: bytes, provider_model: str) -> list[Batch]:
    """The calls for a request. Raises InvalidRequest or Unsupported, with the caller's field."""
    asked = bodies.decode(body, _decode)
    for extra in extras_of(body, _KNOWN):
        if extra.name not in _HARMLESS:
            raise Unsupported(f"{extra.name} is not supported by this model", param=extra.name)
    texts = _texts(asked.input)
    kind = asked.encoding_format or "float"
    return [
        Batch(
            _encode(
                _Body(
                    model=provider_model,
                    texts=texts[start : start + TEXTS_MAX],
                    input_type=asked.input_type or INPUT_TYPE,
                    embedding_types=(kind,),
                    output_dimension=asked.dimensions,
                    truncate=asked.truncate,
                )
            ),
            len(texts[start : start + TEXTS_MAX]),
        )
        for start in range(0, len(texts), TEXTS_MAX)
    ]


def _texts(given: str | list[str | int | list[int]]) -> list[str]:
    texts = [given] if isinstance(given, str) else [text for text in given if isinstance(text, str)]
    if isinstance(given, list) and len(texts) != len(given):
        raise Unsupported("input must be texts for this model: it has other tokens", param="input")
    if not texts:
        raise InvalidRequest("input must not be empty", param="input")
    return texts


def vectors_in(data: bytes, count: int) -> Vectors:
    """An answer of Cohere's. Raises UpstreamError for one that is none, or has another number of vectors."""
    said = answered(data, _decode_answer)
    found = said.embeddings or _Vectors()
    values = found.floats if found.floats is not None else found.base64
    if values is None or len(values) != count:
        raise UpstreamError(f"the provider answered with {len(values or ())} embeddings for {count} texts")
    units = said.meta.billed_units if said.meta is not None else None
    tokens = units.input_tokens if units is not None else None
    return Vectors(values, int(min(max(tokens or 0, 0), TOKENS_MAX)))


def whole(answers: Sequence[Vectors], model: str) -> tuple[bytes, Usage]:
    """All calls' answers as one of OpenAI's, and what they took."""
    values = [value for answer in answers for value in answer.values]
    tokens = sum(answer.tokens for answer in answers)
    body = _encode(
        _Whole(
            data=[_Embedding(index=index, embedding=value) for index, value in enumerate(values)],
            model=model,
            usage={"prompt_tokens": tokens, "total_tokens": tokens},
        )
    )
    return body, usage_of(tokens, 0)
