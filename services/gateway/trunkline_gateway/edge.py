"""The outermost layer, plain ASGI: request ids, a bound on requests in flight, the last word on errors.

One layer instead of a stack of middleware: each wrapped call costs every request.
"""

import logging
import re
import secrets
from collections.abc import Sequence
from typing import cast

from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import Gauge

from trunkline_gateway.callers import Credentials
from trunkline_gateway.http_errors import send_problem, unforeseen
from trunkline_gateway.manners import Manner, manner_at
from trunkline_kit.errors import Overloaded, TrunklineError

log = logging.getLogger(__name__)

Headers = Sequence[tuple[bytes, bytes]]
_VISIT = "trunkline_visit"
_SANE_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
_RETRY_S = 1.0
_API, _ADMIN = ("/v1/", "/v2/"), "/admin/"
ADMIN_REQUESTS_MAX = 64
"""At once, apart from the others: whoever runs the gateway gets in when it is full, and cannot fill it."""
FORWARDED = b"x-forwarded-for"


class Visit:
    """What the edge knows of one HTTP request."""

    __slots__ = ("_headers", "peer", "request_id")

    def __init__(self, headers: Headers, peer: str = "") -> None:
        self.peer = peer
        """The address of the connection's other end; empty where it has none."""
        self._headers = dict(headers)
        if FORWARDED in self._headers:
            # Each proxy may have written a line of its own; together they are one list.
            self._headers[FORWARDED] = b",".join(value for name, value in headers if name == FORWARDED)
        given = self._headers.get(b"x-request-id", b"")
        self.request_id = given.decode() if _SANE_ID.fullmatch(given) else f"req-{secrets.token_hex(12)}"

    def header(self, name: bytes) -> bytes:
        """A header's value; empty where it was not sent. Names are lower case."""
        return self._headers.get(name, b"")

    def text(self, name: bytes) -> str:
        return self._headers.get(name, b"").decode("latin-1")

    @property
    def credentials(self) -> Credentials:
        """Who it says it is."""
        return Credentials(
            authorization=self.text(b"authorization"),
            api_key=self.text(b"x-api-key"),
            peer=self.peer,
            forwarded=self.text(FORWARDED),
        )


def visit_of(scope: Scope) -> Visit:
    """The visit that the edge left in the scope."""
    visit: Visit = scope[_VISIT]  # type: ignore[literal-required]  # our own key
    return visit


class Edge:
    """Wraps the application."""

    def __init__(self, app: ASGIApp, concurrent_requests: int, in_flight: Gauge) -> None:
        self._app = app
        self._gauge = in_flight
        self.concurrent_requests = concurrent_requests
        """May be changed while requests run."""
        self._in_flight = 0
        self._admin_in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        peer = scope.get("client")
        visit = Visit(cast("Headers", scope["headers"]), peer[0] if peer else "")
        scope[_VISIT] = visit  # type: ignore[literal-required]  # our own key
        manner = manner_at(scope["path"])
        named = _Named(send, visit.request_id.encode(), manner)
        if self._in_flight >= self.concurrent_requests and scope["path"].startswith(_API):
            await send_problem(manner.problem(self._full()), named)
            return
        is_admin = scope["path"].startswith(_ADMIN)
        if is_admin and self._admin_in_flight >= ADMIN_REQUESTS_MAX:
            busy = Overloaded("too many requests to the admin API at once; try again", retry_after_s=_RETRY_S)
            await send_problem(manner.problem(busy), named)
            return
        self._in_flight += 1
        self._admin_in_flight += is_admin
        self._gauge.inc()
        try:
            await self._app(scope, receive, named)
        except Exception as error:
            if named.started:
                log.exception("request broke after its answer had begun", extra={"request_id": visit.request_id})
                raise
            await send_problem(manner.problem(foreseen(error, visit)), named)
        finally:
            self._in_flight -= 1
            self._admin_in_flight -= is_admin
            self._gauge.dec()

    def _full(self) -> Overloaded:
        text = f"this gateway is busy with {self.concurrent_requests} requests, its limit; try again"
        return Overloaded(text, retry_after_s=_RETRY_S)


def foreseen(error: Exception, visit: Visit) -> TrunklineError:
    """The error, if it is one of ours; in place of any other, one that says nothing, with the cause in the log."""
    if isinstance(error, TrunklineError):
        return error
    log.error("request failed unforeseen", exc_info=error, extra={"request_id": visit.request_id})
    return unforeseen()


class _Named:
    """A send that puts the request id on the answer."""

    __slots__ = ("_headers", "_send", "started")

    def __init__(self, send: Send, request_id: bytes, manner: Manner) -> None:
        self._send = send
        self._headers = [(b"x-request-id", request_id)]
        if manner.id_header is not None:
            self._headers.append((manner.id_header, request_id))
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            message["headers"] = [*message["headers"], *self._headers]
        await self._send(message)
