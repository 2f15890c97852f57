"""Errors of the tree as OpenAI's JSON and as gRPC statuses, and back."""

import msgspec
from grpc import StatusCode

from trunkline_kit.errors import (
    Cancelled,
    Conflict,
    DeadlineExceeded,
    Internal,
    InvalidRequest,
    ModelError,
    Overloaded,
    PermissionDenied,
    TrunklineError,
    Unauthenticated,
    Unavailable,
    Unsupported,
    UpstreamError,
    error_classes,
)


class OpenAIError(msgspec.Struct, frozen=True, kw_only=True):
    """The object inside `{"error": …}`. Source: OpenAI API reference, "Error codes" (read 2026-11-24)."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class OpenAIErrorBody(msgspec.Struct, frozen=True):
    """The body of every error we answer over HTTP."""

    error: OpenAIError


OPENAI_ERROR_TYPES: dict[int, str] = {
    **dict.fromkeys((400, 404, 405, 413, 415, 422, 431), "invalid_request_error"),
    401: "authentication_error",
    403: "permission_error",
    **dict.fromkeys((409, 412), "conflict_error"),
    429: "rate_limit_error",
    499: "request_cancelled",
    500: "server_error",
    502: "upstream_error",
    503: "server_error",
    504: "timeout_error",
}
"""HTTP status → OpenAI `type`. Statuses outside it are `server_error`."""


def openai_body(error: TrunklineError) -> OpenAIErrorBody:
    """The error in the shape every OpenAI SDK reads."""
    kind = OPENAI_ERROR_TYPES.get(error.http_status, "server_error")
    return OpenAIErrorBody(OpenAIError(message=error.message, type=kind, param=error.param, code=error.reason))


class GrpcStatus(msgspec.Struct, frozen=True):
    """What a servicer ends a call with: code, details, and trailing metadata that carries the rest of the error."""

    code: StatusCode
    details: str
    trailing_metadata: tuple[tuple[str, str], ...]


def grpc_status(error: TrunklineError) -> GrpcStatus:
    """The error as a gRPC status. `trunkline-reason`, `-param` and `retry-after-ms` travel as trailing metadata."""
    trailing = [("trunkline-reason", error.reason)]
    if error.param is not None:
        trailing.append(("trunkline-param", error.param))
    if error.retry_after_s is not None:
        trailing.append(("retry-after-ms", str(round(error.retry_after_s * 1000))))
    return GrpcStatus(error.code, error.message, (*trailing, *error.headers))


_BY_CODE: dict[StatusCode, type[TrunklineError]] = {
    StatusCode.INVALID_ARGUMENT: InvalidRequest,
    StatusCode.OUT_OF_RANGE: InvalidRequest,
    StatusCode.NOT_FOUND: InvalidRequest,
    StatusCode.UNIMPLEMENTED: Unsupported,
    StatusCode.UNAUTHENTICATED: Unauthenticated,
    StatusCode.PERMISSION_DENIED: PermissionDenied,
    StatusCode.ALREADY_EXISTS: Conflict,
    StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    StatusCode.UNAVAILABLE: Unavailable,
    StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    StatusCode.CANCELLED: Cancelled,
    StatusCode.ABORTED: UpstreamError,
    StatusCode.FAILED_PRECONDITION: ModelError,
}


def from_grpc_status(
    code: StatusCode, details: str, *, reason: str = "", param: str | None = None, retry_after_s: float | None = None
) -> TrunklineError:
    """The inverse of `grpc_status`: by reason where it is one of ours, else by code, else Internal."""
    by_reason = {cls.reason: cls for cls in error_classes() if cls not in (TrunklineError, InvalidRequest)}
    kind = by_reason.get(reason) or _BY_CODE.get(code, Internal)
    return kind(details, param=param, retry_after_s=retry_after_s)
