"""Which client dialect is served by which provider protocol, and what of a request each pair can carry.

A pair is named `<client>_<provider>`. Where both speak the same dialect the bytes pass through and nothing here is
needed, except to serve a stored conversation or to change a request.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from trunkline_gateway.dialects import (
    anthropic_answers,
    anthropic_requests,
    bedrock_answers,
    bedrock_requests,
    chat_answers,
    chat_requests,
    chat_stream,
    cohere_answers,
    cohere_requests,
    gemini_answers,
    gemini_models,
    gemini_requests,
    messages_answers,
    messages_requests,
    messages_stream,
    openai_chat_answers,
    openai_chat_requests,
    responses_answers,
    responses_requests,
    responses_stream,
)
from trunkline_gateway.dialects.abilities import Abilities
from trunkline_gateway.dialects.assembly import Answer
from trunkline_gateway.dialects.canonical import Dialect, Request
from trunkline_gateway.dialects.events import Event
from trunkline_gateway.dialects.frames import Frame, Head
from trunkline_kit.errors import TrunklineError


class StreamDecoder(Protocol):
    """A provider's stream on its way in."""

    def feed(self, data: bytes) -> list[Event]: ...

    def close(self) -> list[Event]: ...


class StreamEncoder(Protocol):
    """A client's stream on its way out: `encode` as events come, then `end` or `broken`, once."""

    def encode(self, events: list[Event]) -> list[Frame]: ...

    def end(self) -> list[Frame]: ...

    def broken(self, error: TrunklineError) -> list[Frame]: ...


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """A dialect as callers speak it. `body` is the caller's own, for what an answer repeats of it."""

    name: str
    dialect: Dialect
    decode_request: Callable[[bytes], Request]
    encode_answer: Callable[[Answer, Head, bytes], bytes]
    open_stream: Callable[[Head, bytes], StreamEncoder]
    encode_error: Callable[[TrunklineError], bytes]
    error_status: Callable[[TrunklineError], int]
    ping: Frame | None = None
    """What keeps a silent stream alive, where a comment would not do."""


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """A protocol as providers speak it."""

    name: str
    encode_request: Callable[[Request, Abilities, str], bytes]
    """Of the request, the target's abilities and the provider's name for the model."""
    decode_answer: Callable[[bytes], Answer]
    open_stream: Callable[[], StreamDecoder]
    abilities: Abilities
    dropped: frozenset[str]


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    client: Client
    provider: Provider


class Feature(msgspec.Struct, frozen=True, kw_only=True):
    """Something a request can ask for."""

    name: str
    ability: str = ""
    """The target's field in `Abilities`; empty for what every target can do."""
    clients: str = "chat messages responses"
    """Who has words for it."""


def _status(error: TrunklineError) -> int:
    return error.http_status


CHAT = Client(
    name="chat",
    dialect=Dialect.CHAT,
    decode_request=chat_requests.decode_request,
    encode_answer=lambda answer, head, _body: chat_answers.encode_answer(answer, head),
    open_stream=lambda head, _body: chat_stream.StreamEncoder(head),
    encode_error=chat_answers.encode_error,
    error_status=_status,
)
MESSAGES = Client(
    name="messages",
    dialect=Dialect.MESSAGES,
    decode_request=messages_requests.decode_request,
    encode_answer=lambda answer, head, _body: messages_answers.encode_answer(answer, head),
    open_stream=lambda head, _body: messages_stream.StreamEncoder(head),
    encode_error=messages_answers.encode_error,
    error_status=messages_answers.error_status,
    ping=messages_stream.PING,
)
RESPONSES = Client(
    name="responses",
    dialect=Dialect.RESPONSES,
    decode_request=responses_requests.decode_request,
    encode_answer=lambda answer, head, body: responses_answers.encode_answer(
        answer, head, responses_requests.echo_of(body)
    ),
    open_stream=lambda head, body: responses_stream.StreamEncoder(head, responses_requests.echo_of(body)),
    encode_error=responses_answers.encode_error,
    error_status=_status,
)
OPENAI = Provider(
    name="openai",
    encode_request=openai_chat_requests.encode_request,
    decode_answer=openai_chat_answers.decode_answer,
    open_stream=openai_chat_answers.StreamDecoder,
    abilities=openai_chat_requests.ABILITIES,
    dropped=openai_chat_requests.DROPPED,
)
ANTHROPIC = Provider(
    name="anthropic",
    encode_request=anthropic_requests.encode_request,
    decode_answer=anthropic_answers.decode_answer,
    open_stream=anthropic_answers.StreamDecoder,
    abilities=anthropic_requests.ABILITIES,
    dropped=anthropic_requests.DROPPED,
)
GEMINI = Provider(
    name="gemini",
    encode_request=gemini_requests.encode_request,
    decode_answer=gemini_answers.decode_answer,
    open_stream=gemini_answers.StreamDecoder,
    abilities=gemini_models.ABILITIES,
    dropped=gemini_requests.DROPPED,
)
BEDROCK = Provider(
    name="bedrock",
    encode_request=bedrock_requests.encode_request,
    decode_answer=bedrock_answers.decode_answer,
    open_stream=bedrock_answers.StreamDecoder,
    abilities=bedrock_requests.ABILITIES,
    dropped=bedrock_requests.DROPPED,
)
COHERE = Provider(
    name="cohere",
    encode_request=cohere_requests.encode_request,
    decode_answer=cohere_answers.decode_answer,
    open_stream=cohere_answers.StreamDecoder,
    abilities=cohere_requests.ABILITIES,
    dropped=cohere_requests.DROPPED,
)
CLIENTS = (CHAT, MESSAGES, RESPONSES)
PROVIDERS = (OPENAI, ANTHROPIC, GEMINI, BEDROCK, COHERE)
PAIRS: Mapping[tuple[str, str], Pair] = {
    (client.name, provider.name): Pair(name=f"{client.name}_{provider.name}", client=client, provider=provider)
    for client in CLIENTS
    for provider in PROVIDERS
}

FEATURES = (
    Feature(name="text, system prompt, streams, usage"),
    Feature(name="instructions in mid-conversation", ability="midway_instructions"),
    Feature(name="function tools, their results", ability="tools"),
    Feature(name="no parallel tool calls", ability="one_tool_at_a_time"),
    Feature(name="choice among some tools", ability="allowed_tools", clients="chat responses"),
    Feature(name="images and files in tool results", ability="tool_result_media", clients="messages responses"),
    Feature(name="images", ability="images"),
    Feature(name="images by URL", ability="image_urls"),
    Feature(name="PDF", ability="files"),
    Feature(name="PDF by URL", ability="file_urls", clients="messages responses"),
    Feature(name="plain text documents", ability="file_text", clients="messages"),
    Feature(name="images and files by upload id", ability="file_ids"),
    Feature(name="audio in", ability="audio_input", clients="chat responses"),
    Feature(name="audio out", ability="audio_output", clients="chat"),
    Feature(name="JSON object", ability="json_object", clients="chat responses"),
    Feature(name="JSON schema", ability="json_schema"),
    Feature(name="reasoning", ability="thinking"),
    Feature(name="stop sequences", ability="stops", clients="chat messages"),
    Feature(name="`n` above 1", ability="choices", clients="chat"),
    Feature(name="logprobs", ability="logprobs", clients="chat responses"),
    Feature(name="temperature, top-p", ability="sampling"),
    Feature(name="seed", ability="seed", clients="chat"),
    Feature(name="penalties", ability="penalties", clients="chat"),
    Feature(name="logit bias", ability="logit_bias", clients="chat"),
    Feature(name="top-k", ability="top_k", clients="chat messages"),
    Feature(name="verbosity", ability="verbosity", clients="chat responses"),
)


def carries(pair: Pair, feature: Feature) -> str:
    """`yes`; `400` for what is refused by name; `-` for what the client's dialect cannot ask for."""
    if pair.client.name not in feature.clients.split():
        return "-"
    same = pair.client.dialect is pair.provider.abilities.native
    can = same or not feature.ability or getattr(pair.provider.abilities, feature.ability)
    return "yes" if can else "400"


def table() -> str:
    """What each pair can carry, as Markdown."""
    pairs = PAIRS.values()
    lines = [
        "| | " + " | ".join(f"`{pair.name}`" for pair in pairs) + " |",
        "|---" * (len(pairs) + 1) + "|",
    ]
    for feature in FEATURES:
        cells = [feature.name, *(carries(pair, feature) for pair in pairs)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
