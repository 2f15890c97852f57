"""Which conversation a request belongs to, and what it begins with: for those that should stay together. Pure."""

import msgspec

from trunkline_gateway.openai_types import ChatControl, CompletionControl, ResponsesControl
from trunkline_gateway.providers.base import Call
from trunkline_policy.affinity import PREFIX_BYTES, key_of, prefix_key

_INSTRUCTIONS = frozenset({"system", "developer"})
LEADING_MESSAGES_MAX = 8
"""A conversation that has not begun after so many messages of instructions begins here."""


class _Role(msgspec.Struct, frozen=True):
    role: str = ""


_decode_role = msgspec.json.Decoder(_Role).decode
_UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def prefix_of(call: Call) -> bytes:
    """The same for requests of one tenant that begin alike; empty for those that begin with nothing."""
    if key := _said_by_caller(call):
        return key
    shared, first = _head(call)
    return prefix_key(call.cache_salt, shared, first) if shared or first else b""


def conversation_of(call: Call) -> bytes:
    """The same for all turns of one conversation of one tenant; empty where there is none to tell.

    Conversations are told apart by their instructions and by what their user says first, whole.
    """
    if key := _said_by_caller(call):
        return key
    shared, first = _head(call)
    return key_of(call.cache_salt, call.end_user.encode(), shared, first) if first else b""


def _said_by_caller(call: Call) -> bytes:
    """OpenAI's own field for what belongs together."""
    control = call.control
    name = control.prompt_cache_key if isinstance(control, (ChatControl, ResponsesControl)) else None
    return key_of(call.cache_salt, b"named", name.encode()) if name else b""


def _head(call: Call) -> tuple[bytes, bytes]:
    """Instructions, and the first message that is none, as they came."""
    control = call.control
    if isinstance(control, CompletionControl):
        return b"", control.prompt[:PREFIX_BYTES].encode() if isinstance(control.prompt, str) else b""
    if isinstance(control, ResponsesControl):
        shared = [(control.instructions or "").encode()]
        messages = [_as_item(control.input)] if isinstance(control.input, str) else control.input
    elif isinstance(control, ChatControl):
        shared, messages = [], control.messages
    else:
        return b"", b""
    for raw in messages[:LEADING_MESSAGES_MAX]:
        message = bytes(raw)
        try:
            role = _decode_role(message).role
        except _UNDECODABLE:
            role = ""
        if role not in _INSTRUCTIONS:
            return b"".join(shared), message
        shared.append(message)
    return b"".join(shared), b""


def _as_item(text: str) -> msgspec.Raw:
    """As it is kept, and comes again when it is continued."""
    return msgspec.Raw(msgspec.json.encode({"role": "user", "content": text, "type": "message"}))
