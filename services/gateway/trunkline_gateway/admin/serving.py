"""The admin API as an ASGI application: who may, what is asked, the answer."""

from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import parse_qsl

import msgspec
from litestar import asgi
from litestar.handlers import ASGIRouteHandler
from litestar.types import Receive, Scope, Send

from trunkline_gateway.admin.bodies import body_of
from trunkline_gateway.admin.etags import if_match
from trunkline_gateway.admin.operations import BASE, Answer, Call, Operation, Route, Visitor, query_of
from trunkline_gateway.admin.routing import Table
from trunkline_gateway.directory.objects import Actor
from trunkline_gateway.door import Door
from trunkline_gateway.edge import Visit, visit_of
from trunkline_kit.errors import InvalidRequest

Identify = Callable[[Visit], Awaitable[Visitor]]
"""Raises Unauthenticated, PermissionDenied, StoreUnavailable."""

QUERY_FIELDS_MAX = 100
_HEADERS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
"""On all answers: what is shown here is for one caller, and now."""

_encode = msgspec.json.Encoder().encode


class AdminApp:
    """Routes by the table of operations. Errors are raised: the edge tells them."""

    def __init__(self, routes: Sequence[Route], identify: Identify) -> None:
        self._table = Table(routes)
        self._identify = identify

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"]  # type: ignore[typeddict-item]  # of HTTP there is one
        match = self._table.find(method, scope["raw_path"].decode("latin-1"))
        operation, visit = match.route.operation, visit_of(scope)
        visitor = await self._allowed(visit, operation)
        query = query_of(_pairs(scope["query_string"]), operation.query)
        body = b""
        if _has_body(operation, visit):
            body = await body_of(visit, receive)
            # A key that was revoked while its body was on its way does nothing more.
            visitor = await self._allowed(visit, operation)
        call = Call(
            visitor=visitor,
            path=match.path,
            query=query,
            body=body,
            if_match=if_match(visit.text(b"if-match") if operation.versioned else ""),
        )
        await _send(operation, await match.route.work(call), send)

    async def _allowed(self, visit: Visit, operation: Operation) -> Visitor:
        """Raises what `Identify` raises, and PermissionDenied for a key that may not do this."""
        visitor = await self._identify(visit)
        if operation.scope is not None:
            visitor.principal.require(operation.scope)
        return visitor


def admin_mount(routes: Sequence[Route], identify: Identify) -> ASGIRouteHandler:
    """Everything below `BASE`, for the gateway's application.

    One handler and a table instead of a framework's handler for each operation: those would cost the start 0.2 s, and
    could not tell a slash in an id from one between segments.
    """
    admin = AdminApp(routes, identify)

    @asgi(BASE, is_mount=True, copy_scope=True)
    async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
        await admin(scope, receive, send)

    return mounted


def _has_body(operation: Operation, visit: Visit) -> bool:
    """Some clients name a type for the body that they do not send."""
    if operation.body is None:
        return False
    return operation.body_required or bool(
        visit.header(b"transfer-encoding") or visit.header(b"content-length").strip(b"0")
    )


def _pairs(query_string: bytes) -> list[tuple[str, str]]:
    try:
        text = query_string.decode("ascii")
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=QUERY_FIELDS_MAX)
    except ValueError as error:
        raise InvalidRequest(f"the query string cannot be read: {error}") from error


async def _send(operation: Operation, answer: Answer, send: Send) -> None:
    content = answer.body if isinstance(answer.body, bytes) else _encode(answer.body)
    body = b"" if operation.answer is None else content
    headers = [*_HEADERS, *((name.encode(), value.encode("latin-1", "replace")) for name, value in answer.headers)]
    if operation.answer is not None:
        headers.append((b"content-type", answer.media.encode()))
        headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": operation.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def identify_at(door: Door) -> Identify:
    """Who asks, as the gateway's other routes find out."""

    async def identified(visit: Visit) -> Visitor:
        callers = door.pipeline.state.callers
        principal = (await callers.identify(visit.credentials)).principal
        source = callers.address(visit.credentials)
        return Visitor(principal, Actor(id=principal.actor, request_id=visit.request_id, source=source))

    return identified
