"""The text inside a request: taken out for the checks, put back with redactions. Pure."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import msgspec

from trunkline_gateway import body as bodies
from trunkline_gateway.surface import Surface
from trunkline_kit.errors import InvalidRequest

_FIELDS = {Surface.CHAT: "messages", Surface.COMPLETION: "prompt", Surface.EMBEDDING: "input"}
Plain = Any
"""What JSON decodes to, inside this module only."""


class TextPart(msgspec.Struct, frozen=True):
    """One piece of text and where it is: a JSON pointer (RFC 6901) into the body."""

    path: str
    role: str
    text: str


class Redaction(Protocol):
    """Offsets are in characters of the part at `path`."""

    @property
    def path(self) -> str: ...
    @property
    def start_chars(self) -> int: ...
    @property
    def end_chars(self) -> int: ...
    @property
    def replacement(self) -> str: ...


def text_parts(surface: Surface, body: bytes) -> tuple[TextPart, ...]:
    """Every text a user, a system or a tool says, in order. Raises InvalidRequest."""
    field = _FIELDS[surface]
    return tuple(_texts(_value(body, field), f"/{field}", "user"))


def redacted(surface: Surface, body: bytes, redactions: Sequence[Redaction]) -> bytes:
    """The body with replacements in place; everything outside that one field keeps its bytes."""
    field = _FIELDS[surface]
    value = _value(body, field)
    holder: dict[str, Plain] = {field: value}
    # From the back, so that offsets before a replacement stay true.
    for item in sorted(redactions, key=lambda each: (each.path, each.start_chars), reverse=True):
        steps = item.path.strip("/").split("/")
        parent = _walk(holder, steps[:-1])
        last: Plain = int(steps[-1]) if isinstance(parent, list) else steps[-1]
        text = parent[last]
        parent[last] = text[: item.start_chars] + item.replacement + text[item.end_chars :]
    members = bodies.members_of(body)
    members[field] = msgspec.Raw(msgspec.json.encode(holder[field]))
    return msgspec.json.encode(members)


def _value(body: bytes, field: str) -> Plain:
    raw = bodies.members_of(body).get(field)
    try:
        return None if raw is None else msgspec.json.decode(bytes(raw))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"{field} cannot be read: {error}", param=field) from error


def _walk(node: Plain, steps: Sequence[str]) -> Plain:
    for step in steps:
        node = node[int(step)] if isinstance(node, list) else node[step]
    return node


def _texts(node: Plain, path: str, role: str) -> Iterator[TextPart]:
    """Strings directly, in lists, under `content`, in text parts and in tool calls' arguments."""
    if isinstance(node, str):
        if node:
            yield TextPart(path, role, node)
    elif isinstance(node, list):
        for index, item in enumerate(node):
            yield from _texts(item, f"{path}/{index}", role)
    elif isinstance(node, dict):
        own = node.get("role")
        role = own if isinstance(own, str) else role
        for name in ("content", "text", "tool_calls", "function", "arguments"):
            if name in node:
                yield from _texts(node[name], f"{path}/{name}", role)
