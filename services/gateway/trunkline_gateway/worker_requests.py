"""OpenAI requests as the worker's own, or a clear refusal of what its model cannot do. Pure."""

from typing import Any

import msgspec

from trunkline.worker.v1 import worker_service_pb2 as pb
from trunkline_gateway import body as bodies
from trunkline_gateway.dialects.reading import extras_of
from trunkline_gateway.openai_types import ChatRequest, CompletionRequest, EmbeddingRequest, Message, RerankControl
from trunkline_gateway.rerank import Shape, request_for
from trunkline_kit.errors import InvalidRequest, Unsupported

EMBED_TEXTS_MAX = 2048
_ROLES = {"developer": "system"}
"""OpenAI's newer name for the same place in the conversation."""

_HARMLESS = frozenset(
    {
        # Who asks, and what OpenAI keeps, caches and bills.
        "user",
        "safety_identifier",
        "metadata",
        "store",
        "service_tier",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "cache_control",
        # Wishes: a model here thinks and speaks as its template has it, and may call as many tools as it likes.
        "reasoning_effort",
        "thinking",
        "verbosity",
        "parallel_tool_calls",
    }
)
"""Fields left out without a word; any other that is not understood is refused, since an answer may depend on it."""
_KNOWN_IN_CHAT = _HARMLESS | frozenset(ChatRequest.__struct_fields__)
_KNOWN_IN_COMPLETION = _HARMLESS | frozenset(CompletionRequest.__struct_fields__)

_WORKER = Shape(takes_objects=False, refuses=frozenset({"max_tokens_per_doc", "max_chunks_per_doc", "rank_fields"}))
_decode_rerank = msgspec.json.Decoder(RerankControl)
_decode_chat = msgspec.json.Decoder(ChatRequest)
_decode_completion = msgspec.json.Decoder(CompletionRequest)
_decode_embedding = msgspec.json.Decoder(EmbeddingRequest)


class PlainMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a chat template gets."""

    role: str
    content: str
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None


class Abilities(msgspec.Struct, frozen=True):
    """What the model behind a worker can do."""

    tools: bool = False
    response_format: bool = False
    choices: int = 1
    """Answers to one request, at most."""


def chat(body: bytes, request_id: str, abilities: Abilities) -> pb.GenerateRequest:
    """Raises InvalidRequest or Unsupported, with the field's name."""
    asked = bodies.decode(body, _decode_chat)
    _refuse_unknown(body, _KNOWN_IN_CHAT)
    _refuse_chat_extras(asked, abilities)
    _check_choices(asked.n, abilities)
    if asked.top_logprobs is not None and not asked.logprobs:
        raise InvalidRequest("top_logprobs needs logprobs: true", param="top_logprobs")
    request = pb.GenerateRequest(
        request_id=request_id,
        messages_json=msgspec.json.encode([_plain(index, message) for index, message in enumerate(asked.messages)]),
        max_tokens=asked.max_completion_tokens or asked.max_tokens or 0,
        stop=_stops(asked.stop),
        logprobs=bool(asked.logprobs),
        top_logprobs=asked.top_logprobs or 0,
        choices=asked.n or 1,
        regex=asked.guided_regex or "",
        options=asked.guided_choice or (),
    )
    if asked.tools:
        request.tools_json = msgspec.json.encode(asked.tools)
        request.tool_choice_json = msgspec.json.encode(asked.tool_choice)
    if asked.response_format and asked.response_format.get("type") != "text":
        request.response_format_json = msgspec.json.encode(asked.response_format)
    _sample(request.sampling, asked)
    return request


def completion(body: bytes, request_id: str, abilities: Abilities) -> pb.GenerateRequest:
    """Raises InvalidRequest or Unsupported, with the field's name."""
    asked = bodies.decode(body, _decode_completion)
    _refuse_unknown(body, _KNOWN_IN_COMPLETION)
    _check_choices(asked.n, abilities)
    choices = _drafted(asked, abilities)
    _refuse_guides(asked, abilities)
    if asked.suffix:
        raise Unsupported("suffix is not supported by this model", param="suffix")
    if asked.max_tokens == 0:
        raise InvalidRequest("max_tokens must be at least 1", param="max_tokens")
    request = pb.GenerateRequest(
        request_id=request_id,
        # 16 is the default of this old endpoint: OpenAI API reference, "Completions" (read 2026-11-24).
        max_tokens=asked.max_tokens or 16,
        stop=_stops(asked.stop),
        # Which are the best is told by them.
        logprobs=asked.logprobs is not None or choices > (asked.n or 1),
        top_logprobs=asked.logprobs or 0,
        echo=bool(asked.echo),
        choices=choices,
        regex=asked.guided_regex or "",
        options=asked.guided_choice or (),
    )
    _prompt(request, asked.prompt)
    _sample(request.sampling, asked)
    return request


class Embedding(msgspec.Struct, frozen=True):
    """An embedding request as our worker needs it."""

    request: pb.EmbedRequest
    as_base64: bool
    dimensions: int | None


def embedding(body: bytes) -> Embedding:
    """Raises InvalidRequest or Unsupported, with the field's name."""
    asked = bodies.decode(body, _decode_embedding)
    if asked.encoding_format not in (None, "float", "base64"):
        raise InvalidRequest("encoding_format must be float or base64", param="encoding_format")
    texts: list[str] = []
    for item in [asked.input] if isinstance(asked.input, str) else asked.input:
        if not isinstance(item, str):
            raise Unsupported("input as token ids is not supported by this model; send text", param="input")
        if not item:
            raise InvalidRequest("input must not have empty strings", param="input")
        texts.append(item)
    if not texts:
        raise InvalidRequest("input must not be empty", param="input")
    if len(texts) > EMBED_TEXTS_MAX:
        raise InvalidRequest(f"input takes at most {EMBED_TEXTS_MAX} texts, got {len(texts)}", param="input")
    return Embedding(pb.EmbedRequest(texts=texts), asked.encoding_format == "base64", asked.dimensions)


def _refuse_unknown(body: bytes, known: frozenset[str]) -> None:
    """By name only; nulls are nothing."""
    for extra in extras_of(body, known):
        raise Unsupported(f"{extra.name} is not supported by this model: leave it out", param=extra.name)


def reranking(body: bytes) -> pb.RerankRequest:
    """Raises InvalidRequest, and Unsupported for what our workers have no member for, with the field's name."""
    members = bodies.members_of(request_for(body, "", _WORKER))
    asked = bodies.decode(body, _decode_rerank)
    documents = msgspec.json.decode(members["documents"], type=list[str])
    if len(documents) > EMBED_TEXTS_MAX:
        text = f"documents takes at most {EMBED_TEXTS_MAX} texts, got {len(documents)}"
        raise InvalidRequest(text, param="documents")
    return pb.RerankRequest(query=asked.query, documents=documents)


def _refuse_chat_extras(asked: ChatRequest, abilities: Abilities) -> None:
    if not abilities.tools:
        choice = None if asked.tool_choice == "none" else asked.tool_choice
        for name, value in (("tools", asked.tools), ("tool_choice", choice), ("functions", asked.functions)):
            if value:
                raise Unsupported(f"{name} is not supported by this model", param=name)
    kind = "text" if asked.response_format is None else asked.response_format.get("type")
    if not isinstance(kind, str):
        raise InvalidRequest("response_format needs a type", param="response_format.type")
    if kind != "text" and not abilities.response_format:
        raise Unsupported(f"response_format {kind!r} is not supported by this model", param="response_format")
    _refuse_guides(asked, abilities)
    if asked.audio or asked.modalities not in (None, [], ["text"]):
        raise Unsupported("this model answers with text only", param="modalities")


def _plain(index: int, message: Message) -> PlainMessage:
    place = f"messages[{index}].content"
    role = _ROLES.get(message.role, message.role)
    if isinstance(message.content, str):
        return PlainMessage(role, message.content, message.name, message.tool_calls)
    if message.content is None:
        if role != "assistant":
            raise InvalidRequest(f"{place} must be text", param=place)
        return PlainMessage(role, "", message.name, message.tool_calls)
    texts = []
    for part_index, part in enumerate(message.content):
        if part.type != "text":
            raise Unsupported(f"content of type {part.type!r} is not supported by this model", param=place)
        if part.text is None:
            raise InvalidRequest(f"{place}[{part_index}].text is missing", param=f"{place}[{part_index}].text")
        texts.append(part.text)
    return PlainMessage(role, "".join(texts), message.name)


def _prompt(request: pb.GenerateRequest, prompt: str | list[str | int | list[int]]) -> None:
    if isinstance(prompt, list) and len(prompt) == 1 and not isinstance(prompt[0], int):
        only = prompt[0]
        prompt = only if isinstance(only, str) else [*only]
    if isinstance(prompt, str):
        request.text = prompt
        return
    ids = [item for item in prompt if isinstance(item, int)]
    if len(ids) != len(prompt):
        raise Unsupported("this model takes one prompt a request; send them one by one", param="prompt")
    if not ids:
        raise InvalidRequest("prompt must not be empty", param="prompt")
    request.tokens.ids.extend(ids)


def _stops(stop: str | list[str] | None) -> list[str]:
    if stop is None:
        return []
    stops = [stop] if isinstance(stop, str) else stop
    if not all(stops):
        raise InvalidRequest("stop must not have empty strings", param="stop")
    return stops


def shows_logprobs(body: bytes) -> bool:
    """Whether a completion's caller asked for them."""
    return bodies.decode(body, _decode_completion).logprobs is not None


def _drafted(asked: CompletionRequest, abilities: Abilities) -> int:
    """How many answers are made: `best_of`, of which the `n` likeliest come back. 1 says nothing, as if left out."""
    wanted, drafted = asked.n or 1, asked.best_of or 1
    if drafted in (1, wanted):
        return wanted
    if drafted < wanted:
        raise InvalidRequest(f"best_of is {drafted} and n is {wanted}; it must not be less", param="best_of")
    if asked.stream:
        raise InvalidRequest(
            "which answers are best is known at their end; leave out stream or best_of", param="best_of"
        )
    if drafted > abilities.choices:
        text = f"best_of above {abilities.choices} is not supported by this model"
        raise Unsupported(text, param="best_of")
    return drafted


def _check_choices(n: int | None, abilities: Abilities) -> None:
    if n is not None and n > abilities.choices:
        most = abilities.choices
        raise Unsupported(f"n above {most} is not supported by this model; send the request more than once", param="n")


def _refuse_guides(asked: ChatRequest | CompletionRequest, abilities: Abilities) -> None:
    if abilities.response_format:
        return
    for name, value in (("guided_regex", asked.guided_regex), ("guided_choice", asked.guided_choice)):
        if value:
            raise Unsupported(f"{name} is not supported by this model", param=name)


def _sample(sampling: pb.SamplingOptions, asked: ChatRequest | CompletionRequest) -> None:
    if asked.temperature is not None:
        sampling.temperature = asked.temperature
    if asked.top_p is not None:
        if asked.top_p == 0:
            raise InvalidRequest(
                "top_p must be over 0; for the likeliest token each time, set temperature 0", param="top_p"
            )
        sampling.top_p = asked.top_p
    if asked.seed is not None:
        sampling.seed = asked.seed
    sampling.frequency_penalty = asked.frequency_penalty or 0.0
    sampling.presence_penalty = asked.presence_penalty or 0.0
    sampling.top_k = max(0, asked.top_k or 0)
    sampling.min_p = asked.min_p or 0.0
    sampling.repetition_penalty = asked.repetition_penalty or 0.0
    for token, bias in (asked.logit_bias or {}).items():
        if not (token.isascii() and token.isdecimal() and int(token) < 2**32):
            raise InvalidRequest("logit_bias maps token ids to numbers", param="logit_bias")
        sampling.logit_bias[int(token)] = bias
