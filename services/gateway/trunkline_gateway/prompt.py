"""The text inside a request: taken out for the checks, put back with redactions. Pure."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import msgspec

from trunkline_gateway import body as bodies
from trunkline_gateway.surface import Surface
from trunkline_kit.errors import InvalidRequest

_FIELDS = {
    Surface.CHAT: ("messages",),
    Surface.COMPLETION: ("prompt",),
    Surface.EMBEDDING: ("input",),
    Surface.MESSAGES: ("system", "messages"),
}
_ROLES = {"system": "system"}
"""Of text whose field says who speaks; all other text is a user's unless it says otherwise itself."""
_SPOKEN = ("content", "text", "tool_calls", "function", "arguments", "source")
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
    members = bodies.members_of(body)
    found: list[TextPart] = []
    for field in _FIELDS[surface]:
        found += _texts(_value(members, field), f"/{field}", _ROLES.get(field, "user"))
    return tuple(found)


def redacted(surface: Surface, body: bytes, redactions: Sequence[Redaction]) -> bytes:
    """The body with replacements in place; everything outside the fields with text keeps its bytes."""
    members = bodies.members_of(body)
    holder: dict[str, Plain] = {field: _value(members, field) for field in _FIELDS[surface] if field in members}
    # From the back, so that offsets before a replacement stay true.
    for item in sorted(redactions, key=lambda each: (each.path, each.start_chars), reverse=True):
        steps = [_unescaped(step) for step in item.path.removeprefix("/").split("/")]
        parent = _walk(holder, steps[:-1])
        last: Plain = int(steps[-1]) if isinstance(parent, list) else steps[-1]
        text = parent[last]
        parent[last] = text[: item.start_chars] + item.replacement + text[item.end_chars :]
    for field, value in holder.items():
        members[field] = msgspec.Raw(msgspec.json.encode(value))
    return msgspec.json.encode(members)


def _value(members: bodies.Members, field: str) -> Plain:
    raw = members.get(field)
    try:
        return None if raw is None else msgspec.json.decode(bytes(raw))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"{field} cannot be read: {error}", param=field) from error


def _walk(node: Plain, steps: Sequence[str]) -> Plain:
    for step in steps:
        node = node[int(step)] if isinstance(node, list) else node[step]
    return node


def _texts(node: Plain, path: str, role: str) -> Iterator[TextPart]:
    """Strings directly, in lists, under `content`, in parts and documents of text and in calls of tools."""
    if isinstance(node, str):
        if node:
            yield TextPart(path, role, node)
    elif isinstance(node, list):
        for index, item in enumerate(node):
            yield from _texts(item, f"{path}/{index}", role)
    elif isinstance(node, dict):
        own = node.get("role")
        role = own if isinstance(own, str) else role
        for name in _SPOKEN:
            if name in node:
                yield from _texts(node[name], f"{path}/{name}", role)
        if "input" in node:
            yield from _anything(node["input"], f"{path}/input", role)
        if node.get("type") == "text" and "data" in node:
            yield from _texts(node["data"], f"{path}/data", role)


def _anything(node: Plain, path: str, role: str) -> Iterator[TextPart]:
    """Every string in what a tool is called with, whatever its members are called."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield from _anything(value, f"{path}/{_escaped(name)}", role)
    elif isinstance(node, list):
        for index, item in enumerate(node):
            yield from _anything(item, f"{path}/{index}", role)
    elif isinstance(node, str):
        yield from _texts(node, path, role)


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _unescaped(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")
