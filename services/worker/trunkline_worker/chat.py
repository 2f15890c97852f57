"""OpenAI chat messages as a chat template takes them."""

from __future__ import annotations

import msgspec

from trunkline_kit.errors import InvalidRequest, Unsupported
from trunkline_worker.tokenizer import ChatMessage


class _Part(msgspec.Struct, frozen=True):
    type: str
    text: str = ""


class _CalledFunction(msgspec.Struct, frozen=True):
    name: str
    arguments: str = "{}"


class _Call(msgspec.Struct, frozen=True):
    function: _CalledFunction


class _Message(msgspec.Struct, frozen=True):
    role: str
    content: str | list[_Part] | None = None
    tool_calls: list[_Call] | None = None


_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
"""Source: OpenAI API reference, chat messages (read 2026-11-24)."""

_decoder = msgspec.json.Decoder(list[_Message])


def decode_messages(messages_json: bytes) -> list[ChatMessage]:
    """Messages with their text parts joined. Raises InvalidRequest, Unsupported for parts that are not text."""
    try:
        messages = _decoder.decode(messages_json)
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"messages cannot be read: {error}", param="messages") from error
    for index, message in enumerate(messages):
        if message.role not in _ROLES:
            known = ", ".join(sorted(_ROLES))
            raise InvalidRequest(f"role {message.role!r} is none of {known}", param=f"messages[{index}].role")
    if not messages:
        raise InvalidRequest("messages is empty; send at least one", param="messages")
    return [ChatMessage(role=message.role, content=_content(message)) for message in messages]


def _content(message: _Message) -> str:
    """A message's text; the calls an assistant made are written as this worker asks for them."""
    calls = [
        f'{{"name": "{call.function.name}", "arguments": {call.function.arguments}}}'
        for call in message.tool_calls or ()
    ]
    return "\n".join([*filter(None, (_text(message.content),)), *calls])


def _text(content: str | list[_Part] | None) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    for part in content:
        if part.type != "text":
            raise Unsupported(f"this model takes text, not content of the type {part.type!r}", param="messages")
    return "".join(part.text for part in content)
