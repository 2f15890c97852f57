"""The text inside a request: taken out for the checks, put back with redactions. Pure."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from trunkline_gateway import body as bodies
from trunkline_gateway.surface import Surface
from trunkline_kit.errors import InvalidRequest

DECLARED: Final = "declared"
"""Role of what is said of tools and of the form of answers: models read it, and nobody speaks it."""
_FIELDS: Final = {
    Surface.CHAT: ("messages", "prediction", "documents", "tools", "functions", "response_format"),
    Surface.COMPLETION: ("prompt", "suffix"),
    Surface.EMBEDDING: ("input",),
    Surface.MESSAGES: ("system", "messages", "tools", "output_config", "output_format"),
    Surface.RESPONSES: ("instructions", "prompt", "input", "tools", "text"),
    Surface.RERANK: ("query", "documents"),
    Surface.MODERATION: ("input",),
    Surface.TOKEN_COUNT: ("system", "messages", "tools", "output_config", "output_format"),
}
_ROLES: Final = {
    "system": "system",
    "instructions": "system",
    "prediction": "assistant",
    **dict.fromkeys(("tools", "functions", "response_format", "output_config", "output_format", "text"), DECLARED),
}
"""Of text whose field says who speaks; all other text is a user's unless it says otherwise itself."""
_SILENT: Final = frozenset(
    {
        *("type", "role", "status", "phase", "mode", "ttl", "format", "detail", "media_type"),
        *("id", "call_id", "tool_call_id", "tool_use_id", "file_id", "item_id", "container_id", "approval_request_id"),
        *("signature", "thought_signature", "encrypted_content", "encrypted_index"),
    }
)
"""Members of messages, parts and items whose strings are nobody's words."""
_FREE: Final = frozenset({"input", "arguments", "action", "env", "attributes"})
"""Members of them that hold whatever a tool takes: there every string is read."""
_MEDIA: Final = frozenset({"url", "image_url", "file_url", "video_url", "audio_url"})
_BARE_MEDIA: Final = frozenset({"data", "file_data", "result"})
"""Media in place, as data URLs or, here, as nothing but base64."""
_BARE_CHARS_MIN: Final = 64
"""Shorter runs of letters and digits are read: they may be words."""
_DATA_URL: Final = re.compile(r"data:[\w.+-]*/?[\w.+-]*(?:;[\w.+-]+=[\w.+-]*)*;base64,", re.ASCII | re.IGNORECASE)
_HEAD_CHARS: Final = 200
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=-_\r\n"
_SCHEMA_TYPES: Final = frozenset(
    {"object", "array", "string", "number", "integer", "boolean", "null", "function", "custom", "json_schema", "mcp"}
)
_OF_AN_MCP_SERVER: Final = frozenset({"authorization", "headers"})
"""The caller's own credentials, for the provider to use: no model reads them."""
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
    """Every text that a model may read, in order. Raises InvalidRequest.

    All strings but those known to be none: names of kinds, ids, signatures, media in place. What media say is not read.
    """
    members = bodies.members_of(body)
    found: list[TextPart] = []
    for field in _FIELDS[surface]:
        role = _ROLES.get(field, "user")
        is_free = role is DECLARED or field == "documents"
        found += _texts(_Place(_value(members, field), f"/{field}", role, is_free))
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


class _Place(NamedTuple):
    """A value and where it is."""

    node: Plain
    path: str
    role: str
    is_free: bool
    """Its members may have any names."""


def _texts(start: _Place) -> Iterator[TextPart]:
    """In order, however deep they are."""
    waiting = [start]
    while waiting:
        place = waiting.pop()
        if isinstance(place.node, str):
            if place.node:
                yield TextPart(place.path, place.role, place.node)
        elif isinstance(place.node, list):
            waiting += reversed(_items(place))
        elif isinstance(place.node, dict):
            waiting += reversed(_members(place))


def _items(place: _Place) -> list[_Place]:
    return [
        _Place(item, f"{place.path}/{index}", place.role, place.is_free)
        for index, item in enumerate(place.node)
        if isinstance(item, (str, list, dict))
    ]


def _members(place: _Place) -> list[_Place]:
    node, path, role, is_free = place
    own = None if is_free else node.get("role")
    role = own if isinstance(own, str) else role
    found: list[_Place] = []
    for name, value in node.items():
        if _is_silent(place, name, value):
            continue
        inside = f"{path}/{_escaped(name)}"
        if name == "variables" and isinstance(value, dict) and not is_free:
            # Of any name, and each a text or a part.
            found += [_Place(each, f"{inside}/{_escaped(key)}", role, False) for key, each in value.items()]
        else:
            found.append(_Place(value, inside, role, is_free or name in _FREE))
    return found


def _is_silent(place: _Place, name: str, value: Plain) -> bool:
    if place.role is DECLARED:
        is_credential = name in _OF_AN_MCP_SERVER and place.node.get("type") == "mcp"
        return is_credential or (name == "type" and isinstance(value, str) and value in _SCHEMA_TYPES)
    if place.is_free or not isinstance(value, str):
        return False
    return name in _SILENT or _is_media(place.node, name, value)


def _is_media(node: Plain, name: str, value: str) -> bool:
    """Whether it is data in place and cannot be text. Nothing else may be left out for how it begins."""
    kind = node.get("type")
    if name == "data" and isinstance(kind, str) and kind in {"text", "redacted_thinking"}:
        return kind == "redacted_thinking"
    is_bare = name in _BARE_MEDIA
    if (is_bare or name in _MEDIA) and _DATA_URL.match(value, 0, _HEAD_CHARS):
        # Whoever gets it decodes it: what follows is read by nobody as it stands.
        return True
    if not is_bare or len(value) < _BARE_CHARS_MIN or not value.isascii():
        return False
    return value.encode().translate(None, _BASE64) == b""


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _unescaped(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")
