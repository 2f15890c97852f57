"""What is wrong with a body or a query parameter, in words: the field, what it may be, what was meant. Pure."""

import difflib
import re
from collections.abc import Mapping, Sequence

from msgspec import Meta, inspect

from trunkline_gateway.directory.objects import ID_PATTERN, ID_RULE
from trunkline_kit.errors import InvalidRequest
from trunkline_kit.tenants import Network, TagName

_TEXT_CHARS_SHOWN = 64

_PLACE = re.compile(r" - at `(?:key in )?\$\.?(?P<path>[^`]*)`$")
_STEP = re.compile(r"\[(?P<index>[^\]]*)\]|\.?(?P<name>[^.\[]+)")
_UNKNOWN = re.compile(r"unknown field `(?P<name>.*)`$", re.DOTALL)
_MISSING = re.compile(r"missing required field `(?P<name>[^`]+)`$")
_ENUM = re.compile(r"Invalid enum value '?(?P<value>.*?)'?$", re.DOTALL)
_REGEX = re.compile(r"matching regex '(?P<pattern>.*)'$", re.DOTALL)
_EXPECTED = re.compile(
    r"Expected `(?P<kinds>[^`]+)`(?: (?P<bound>[<>]=?) (?P<number>\S+))?(?:, got `(?P<got>[^`]+)`)?$"
)
_LENGTH = re.compile(r"Expected `(?:str|array)` of length (?P<bound><=|>=) (?P<number>[0-9]+)$")
_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "array": "a list",
    "object": "an object",
    "datetime": "a time",
}
_BOUNDS = {">=": "of at least", "<=": "of at most", ">": "above", "<": "below"}
_TIME = "a time with its offset, such as 2027-01-31T00:00:00Z"


def _pattern(annotated: object) -> str:
    metas = [one for one in getattr(annotated, "__metadata__", ()) if isinstance(one, Meta)]
    return next((meta.pattern for meta in metas if meta.pattern), "")


_RULES: Mapping[str, str] = {
    ID_PATTERN: ID_RULE,
    _pattern(Network): "an address or a network, such as 10.0.0.0/8 or 2001:db8::/32",
    _pattern(TagName): "1 to 64 letters, digits and . _ : / -",
}
"""Patterns that a user would otherwise be shown, in words."""


def fault_of(text: str, kind: type) -> InvalidRequest:
    """The decoder's words about something that was to be a `kind`, as an error that names the field."""
    place = _PLACE.search(text)
    path, words = (place["path"], text[: place.start()]) if place else ("", text)
    if found := _UNKNOWN.search(words):
        return _unknown(path, found["name"], kind)
    if found := _MISSING.search(words):
        name = _joined(path, found["name"])
        return InvalidRequest(f"{name} is missing", param=name)
    wanted = _wanted(words, path, kind)
    if not path:
        return InvalidRequest(f"the body must be {wanted}; send a JSON object")
    return InvalidRequest(f"wrong value for {path}: it must be {wanted}", param=path)


def _wanted(words: str, path: str, kind: type) -> str:
    """What should have been there, and what was."""
    if found := _ENUM.match(words):
        choices = _choices(path, kind)
        return (
            f"one of {', '.join(choices)}, not {found['value'][:_TEXT_CHARS_SHOWN]!r}{_meant(found['value'], choices)}"
        )
    if found := _REGEX.search(words):
        return _RULES.get(found["pattern"], "written otherwise; see /openapi.json")
    if "out of range" in words:
        return "a smaller number"
    if "RFC3339" in words or "timezone" in words:
        return _TIME
    return _measured(words) or f"something else: {words[:1].lower()}{words[1:]}"


def _measured(words: str) -> str:
    """What kind of value, how large or how long; empty for words that say nothing of it."""
    if found := _LENGTH.match(words):
        return f"{_BOUNDS[found['bound']].removeprefix('of ')} {found['number']} long"
    if found := _EXPECTED.match(words):
        bound = f" {_BOUNDS[found['bound']]} {found['number'].removesuffix('.0')}" if found["bound"] else ""
        got = f", not {_told(found['got'])}" if found["got"] else ""
        return f"{_told(found['kinds'])}{bound}{got}"
    return ""


def _told(kinds: str) -> str:
    """`int | null` as people say it."""
    names = kinds.split(" | ")
    told = [name for name in names if name != "null"] or names
    return " or ".join(_KINDS.get(name, name) for name in told)


def _unknown(path: str, name: str, kind: type) -> InvalidRequest:
    shown = name[:_TEXT_CHARS_SHOWN]
    fields = _fields(_at(path, kind))
    where = f" in {path}" if path else ""
    known = f"; there are: {', '.join(fields)}" if fields else ""
    return InvalidRequest(
        f"there is no field {shown!r}{where}{_meant(name, fields)}{known}", param=_joined(path, shown)
    )


def _meant(given: str, choices: Sequence[str]) -> str:
    near = difflib.get_close_matches(given[:_TEXT_CHARS_SHOWN].lower(), choices, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _choices(path: str, kind: type) -> list[str]:
    return [
        str(member.value) for found in _at(path, kind) if isinstance(found, inspect.EnumType) for member in found.cls
    ]


def _fields(kinds: Sequence[inspect.Type]) -> list[str]:
    structs = [found for found in kinds if isinstance(found, inspect.StructType)]
    return [field.encode_name for found in structs for field in found.fields]


def _at(path: str, kind: type) -> Sequence[inspect.Type]:
    """What may be at a place inside a `kind`; nothing where the path leads nowhere."""
    found = _options(inspect.type_info(kind))
    for step in _STEP.finditer(path):
        found = [option for one in found for option in _step(one, step["name"])]
    return found


def _step(kind: inspect.Type, name: str | None) -> list[inspect.Type]:
    """Into a field, or into the members of a list or a mapping, whose place is not named."""
    if isinstance(kind, inspect.StructType):
        return [option for field in kind.fields if field.encode_name == name for option in _options(field.type)]
    if isinstance(kind, inspect.VarTupleType | inspect.ListType):
        return _options(kind.item_type)
    return _options(kind.value_type) if isinstance(kind, inspect.DictType) else []


def _options(kind: inspect.Type) -> list[inspect.Type]:
    if isinstance(kind, inspect.UnionType):
        return [option for one in kind.types for option in _options(one)]
    return _options(kind.type) if isinstance(kind, inspect.Metadata) else [kind]
