"""What an answer is held to, as a request says it: response_format, a regular expression, a list of texts. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec
from msgspec import Struct

from trunkline_kit.errors import InvalidRequest, Unsupported

_MAX_BYTES = 256 * 1024
"""A longer grammar is refused before it is compiled."""
_ANY_OBJECT = '{"type":"object"}'


class Kind(StrEnum):
    JSON_SCHEMA = "json_schema"
    REGEX = "regex"
    LARK = "lark"


class Grammar(Struct, frozen=True, kw_only=True):
    """A grammar's source; equal ones are compiled once."""

    kind: Kind
    text: str
    param: str
    """The field of the request to blame."""
    strict: bool = True
    """Whether keywords of JSON Schema that cannot be followed are an error; else they are left out."""


class _JsonSchema(Struct, frozen=True):
    name: str
    schema: msgspec.Raw = msgspec.Raw(_ANY_OBJECT.encode())
    strict: bool | None = None


class _ResponseFormat(Struct, frozen=True):
    type: str
    json_schema: _JsonSchema | None = None


_decode_format = msgspec.json.Decoder(_ResponseFormat).decode


def response_grammar(response_format: bytes) -> Grammar | None:
    """The grammar of OpenAI's response_format; None for text. Raises InvalidRequest, Unsupported."""
    if response_format.strip() in (b"", b"null"):
        return None
    try:
        asked = _decode_format(response_format)
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"response_format cannot be read: {error}", param="response_format") from error
    if asked.type == "text":
        return None
    if asked.type == "json_object":
        return Grammar(kind=Kind.JSON_SCHEMA, text=_ANY_OBJECT, param="response_format")
    if asked.type != "json_schema":
        text = f"response_format {asked.type!r} is none of text, json_object, json_schema"
        raise Unsupported(text, param="response_format.type")
    if asked.json_schema is None:
        raise InvalidRequest("response_format needs json_schema", param="response_format.json_schema")
    return _checked(
        Grammar(
            kind=Kind.JSON_SCHEMA,
            text=bytes(asked.json_schema.schema).decode(),
            param="response_format.json_schema.schema",
            strict=bool(asked.json_schema.strict),
        )
    )


def regex_grammar(regex: str) -> Grammar:
    """Raises InvalidRequest for one that is too long; whether it is one is found out when it is compiled."""
    return _checked(Grammar(kind=Kind.REGEX, text=regex, param="guided_regex"))


def options_grammar(options: Sequence[str]) -> Grammar:
    """One of these texts, to the letter. Raises InvalidRequest."""
    if not all(options):
        raise InvalidRequest("an option must not be empty", param="guided_choice")
    start = " | ".join(lark_string(option) for option in options)
    return _checked(Grammar(kind=Kind.LARK, text=f"start: {start}\n", param="guided_choice"))


def lark_string(text: str) -> str:
    """A literal in a Lark grammar, whose escapes are JSON's."""
    return msgspec.json.encode(text).decode()


def _checked(grammar: Grammar) -> Grammar:
    size = len(grammar.text.encode())
    if size > _MAX_BYTES:
        raise InvalidRequest(f"{grammar.param} has {size} bytes; at most {_MAX_BYTES} are taken", param=grammar.param)
    return grammar
