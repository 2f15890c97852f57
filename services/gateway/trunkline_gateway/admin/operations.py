"""What can be asked of the admin API: the one table of routes, scopes, parameters, bodies and answers.

The server routes by it, the document is written from it, and the test of privileges walks it. So a route cannot be
without a scope, and the document cannot be wrong about one.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import msgspec

from trunkline_gateway.admin.etags import IfMatch
from trunkline_gateway.admin.faults import fault_of
from trunkline_gateway.auth import Principal
from trunkline_gateway.directory.objects import Actor
from trunkline_kit.errors import InvalidRequest
from trunkline_kit.tenants import Scope

BASE = "/admin/v1"

T = TypeVar("T")


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No parameters."""


class Visitor(msgspec.Struct, frozen=True):
    """Who asks, and as whom the audit log will know them."""

    principal: Principal
    actor: Actor


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one path."""

    id: str
    method: str
    path: str
    """Below `BASE`; `{name}` stands for one segment, in which a slash is `%2F`."""
    scope: Scope | None
    """None: any key at all."""
    summary: str
    tag: str
    status: int = 200
    query: type[msgspec.Struct] = Nothing
    """Its fields are the query parameters. Those that are tuples may be given several times."""
    body: type | None = None
    body_required: bool = True
    is_patch: bool = False
    """Whether the body is a merge patch of that type."""
    answer: type | None = None
    """None: no body."""
    errors: tuple[int, ...] = ()
    """Besides 400, 401, 403 and 503, which all have."""
    versioned: bool = False
    """Whether `if-match` is looked at."""
    media: tuple[str, ...] = ("application/json",)
    """Of the answer."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request, understood and allowed."""

    visitor: Visitor
    path: Mapping[str, str]
    query: msgspec.Struct
    body: bytes = b""
    if_match: IfMatch = IfMatch()

    def asked(self, kind: type[T]) -> T:
        """The query parameters."""
        assert isinstance(self.query, kind)  # noqa: S101 - the operation says which
        return self.query

    @property
    def actor(self) -> Actor:
        return self.visitor.actor

    @property
    def id(self) -> str:
        """Of the object in the path."""
        return self.path["id"]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent back. The operation has the status."""

    body: object = None
    """A Struct; bytes are sent as they are."""
    headers: tuple[tuple[str, str], ...] = ()
    media: str = "application/json"


Work = Callable[[Call], Awaitable[Answer]]


class Route(msgspec.Struct, frozen=True):
    """An operation and what does it."""

    operation: Operation
    work: Work


def query_of(pairs: list[tuple[str, str]], kind: type[msgspec.Struct]) -> msgspec.Struct:
    """Query parameters as a Struct. Raises InvalidRequest that names the wrong one."""
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    found: dict[str, str | list[str]] = {}
    for name, value in pairs:
        if name not in fields:
            known = ", ".join(fields) or "none"
            raise InvalidRequest(f"there is no query parameter {name[:64]!r} here; there are: {known}", param=name[:64])
        if _many(fields[name]):
            given = found.setdefault(name, [])
            assert isinstance(given, list)  # noqa: S101 - just made
            given.append(value)
        elif name in found:
            raise InvalidRequest(f"{name} is given twice", param=name)
        else:
            found[name] = value
    return _converted(found, kind)


def _many(kind: object) -> bool:
    return getattr(kind, "__origin__", None) is tuple


def _converted(found: Mapping[str, str | list[str]], kind: type[msgspec.Struct]) -> msgspec.Struct:
    try:
        return msgspec.convert(found, kind, strict=False)
    except msgspec.ValidationError as error:
        fault = fault_of(str(error), kind)
        # Of several values of one parameter the place says nothing.
        param = fault.param.partition("[")[0] if fault.param else None
        raise InvalidRequest(fault.message, param=param) from error
