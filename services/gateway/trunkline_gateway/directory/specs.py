"""Specs as JSON: as they are stored, and as the audit log shows them.

What is as by default is not stored, so that a gateway of an older version can read everything that uses nothing new.
"""

from collections.abc import Iterable
from enum import Enum
from typing import Any

import msgspec
from msgspec.structs import FieldInfo, fields

from trunkline_gateway.directory.objects import SPECS, Kind, SecretMark, Spec
from trunkline_kit.tenant_check import problems_of


class UnknownSpec(ValueError):
    """Raised for what was stored by another version, or by hand, and cannot be relied on here."""


def encode_spec(spec: Spec) -> str:
    """For the database."""
    return msgspec.json.encode(_compact(spec)).decode()


def decode_spec(kind: Kind, text: str) -> Spec:
    """Raises UnknownSpec. Time zones are looked up in files: many specs are not for the event loop."""
    try:
        spec = msgspec.json.decode(text, type=SPECS[kind])
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnknownSpec(str(error)) from error
    for path, message in problems_of(spec):
        raise UnknownSpec(f"{path}: {message}")
    return spec


def audit_document(spec: Spec, secrets: Iterable[SecretMark] | None) -> str:
    """All of a spec, for people; with what may be shown of secrets unless they are None."""
    whole = msgspec.to_builtins(spec)
    if secrets is not None:
        whole["secrets"] = msgspec.to_builtins(tuple(secrets))
    return msgspec.json.encode(whole).decode()


def default_text(kind: Kind, field: str) -> str | None:
    """What a field that is not stored stands for, as text."""
    return field_text(next(_default(info) for info in fields(SPECS[kind]) if info.name == field))


def field_text(value: object) -> str | None:
    """A field's value as Postgres's `->>` gives it: for what can be filtered by."""
    if isinstance(value, bool):
        return "true" if value else "false"
    plain = value.value if isinstance(value, Enum) else value
    return plain if isinstance(plain, str) else None


def _compact(value: object) -> Any:
    if isinstance(value, msgspec.Struct):
        given = ((info, getattr(value, info.name)) for info in fields(value))
        return {info.encode_name: _compact(found) for info, found in given if found != _default(info)}
    if isinstance(value, tuple):
        return [_compact(each) for each in value]
    return value


def _default(info: FieldInfo) -> object:
    if info.default_factory is not msgspec.NODEFAULT:
        return info.default_factory()
    return info.default
