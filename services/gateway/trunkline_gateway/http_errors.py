"""Errors as HTTP, in the one place: every error of every origin gets OpenAI's body and honest headers."""

import math

import msgspec
from litestar.exceptions import HTTPException
from litestar.types import Send

from trunkline_kit.error_shapes import openai_body
from trunkline_kit.errors import (
    DeadlineExceeded,
    Internal,
    InvalidRequest,
    MethodNotAllowed,
    RouteNotFound,
    TrunklineError,
    UpstreamError,
    UpstreamUnavailable,
)

RawHeaders = list[tuple[bytes, bytes]]

_SPENT = (UpstreamError, UpstreamUnavailable, DeadlineExceeded)
"""Raised only when our own budget of attempts or time is used up: a client's retries would multiply with ours."""
_SDK_RETRIES = frozenset({408, 409, 429})
"""Statuses below 500 that OpenAI's SDKs try again by themselves (openai-python, `_base_client.py`, read 2026-11-24)."""

_encode = msgspec.json.Encoder().encode


class Problem(msgspec.Struct, frozen=True):
    """An error on the wire."""

    status: int
    headers: RawHeaders
    body: bytes


def problem(error: TrunklineError) -> Problem:
    """The error as an answer."""
    body = _encode(openai_body(error))
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % math.ceil(error.retry_after_s)))
        headers.append((b"retry-after-ms", b"%d" % math.ceil(error.retry_after_s * 1000)))
    headers += [(name.encode(), value.encode("latin-1", "replace")) for name, value in error.headers]
    sdk_would_retry = error.http_status >= 500 or error.http_status in _SDK_RETRIES
    told = any(name == "x-should-retry" for name, _ in error.headers)
    if sdk_would_retry and not told and (not error.retryable or isinstance(error, _SPENT)):
        headers.append((b"x-should-retry", b"false"))
    return Problem(error.http_status, headers, body)


async def send_problem(found: Problem, send: Send) -> None:
    """The error as the whole answer to one request."""
    await send({"type": "http.response.start", "status": found.status, "headers": list(found.headers)})
    await send({"type": "http.response.body", "body": found.body, "more_body": False})


def in_stream(error: TrunklineError) -> bytes:
    """The data of the event that ends a broken stream: SDKs raise on its `error` member."""
    return _encode(openai_body(error))


def from_framework(error: HTTPException, method: str, path: str) -> tuple[TrunklineError, RawHeaders]:
    """Litestar's own errors as ours, with the headers that they need."""
    if error.status_code == 404:
        return RouteNotFound(f"there is nothing at {method} {path}; GET / lists what there is"), []
    if error.status_code == 405:
        allow = (error.headers or {}).get("allow", "")
        text = f"{path} does not take {method}; it takes {allow or 'another method'}"
        return MethodNotAllowed(text), [(b"allow", allow.encode())]
    if error.status_code < 500:
        return InvalidRequest(error.detail or "the request cannot be understood"), []
    return unforeseen(), []


def unforeseen() -> Internal:
    """What a caller sees of a fault of ours; the rest is in the log under the request's id."""
    return Internal("the gateway failed to answer; quote the x-request-id of this answer when you report it")
