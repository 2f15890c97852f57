"""Every error a caller can meet, and the two tables that turn one into HTTP and gRPC.

TrunklineError
├── InvalidRequest            the caller can mend the request
│   ├── ModelNotFound         no such model, or not for this key
│   ├── RouteNotFound         no such URL
│   ├── MethodNotAllowed      the URL takes another method
│   ├── BodyTooLarge          over the body limit
│   ├── HeadTooLarge          URL and headers over their limit
│   ├── ContextTooLong        prompt and answer do not fit the model
│   ├── ContentBlocked        a guardrail of the key's policy objects to the content
│   ├── UpstreamRefused       the provider judged the request itself wrong
│   └── Unsupported           the model or provider cannot do what is asked
├── Unauthenticated           no key, or one we do not know
├── PermissionDenied          a key that may not do this
├── Conflict                  another process or request holds what this one needs
├── Overloaded                a queue or concurrency bound is reached; wait and try again
│   ├── RateLimited           a rate is used up
│   ├── ConcurrencyExceeded   as many requests are under way as may be
│   ├── UpstreamRateLimited   the provider's rate is used up, not the key's
│   └── BudgetExceeded        money is used up; waiting does not help
├── Unavailable               a part we need does not answer
│   ├── UpstreamUnavailable   the provider refused, broke or cannot be reached
│   └── StoreUnavailable      Valkey or Postgres does not answer
├── DeadlineExceeded          it took longer than it may
├── Cancelled                 the caller went away
├── UpstreamError             the provider answered with something unusable
├── ConfigError               the configuration file is wrong
├── ModelError                model files are missing, damaged or of a kind we cannot run
└── Internal                  a fault of ours; details are in the log only

Leaves say what was wrong and what to do. A test walks the tree and fails on a class that lacks a row in either table.
"""

from collections.abc import Iterator
from typing import ClassVar

import msgspec
from grpc import StatusCode


class TrunklineError(Exception):
    """Root of the tree. `reason` is a stable slug that clients may branch on; the message is for people."""

    reason: ClassVar[str] = "internal_error"
    code: ClassVar[StatusCode] = StatusCode.INTERNAL
    http_status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        retry_after_s: float | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        """The request field that is wrong, if one is."""
        self.retry_after_s = retry_after_s
        """Seconds after which the same request may pass; None where waiting is no help or the time is unknown."""
        self.headers = headers
        """Sent along with the answer, also as trailing metadata: names in lower case."""


class InvalidRequest(TrunklineError):
    """Raised when the caller can mend the request."""

    reason = "invalid_request"
    code = StatusCode.INVALID_ARGUMENT
    http_status = 400


class ModelNotFound(InvalidRequest):
    """Raised for a model that is not configured, or not allowed for this key: both look the same from outside."""

    reason = "model_not_found"
    code = StatusCode.NOT_FOUND
    http_status = 404


class RouteNotFound(InvalidRequest):
    """Raised for a URL we do not serve."""

    reason = "not_found"
    code = StatusCode.UNIMPLEMENTED
    http_status = 404


class MethodNotAllowed(InvalidRequest):
    """Raised for a URL we serve with another method."""

    reason = "method_not_allowed"
    code = StatusCode.UNIMPLEMENTED
    http_status = 405


class BodyTooLarge(InvalidRequest):
    """Raised before a body over the limit is read."""

    reason = "request_too_large"
    http_status = 413


class HeadTooLarge(InvalidRequest):
    """Raised before anybody knows who asks: URL and headers together are over their limit."""

    reason = "head_too_large"
    http_status = 431


class ContextTooLong(InvalidRequest):
    """Raised when the prompt does not fit the model's context; retrying the same model cannot help."""

    reason = "context_length_exceeded"


class ContentBlocked(InvalidRequest):
    """Raised when a guardrail objects; the message names the check, never what it found."""

    reason = "content_blocked"


class UpstreamRefused(InvalidRequest):
    """Raised when the provider judged the request itself wrong; its own words are the message."""

    reason = "upstream_refused"


class Unsupported(InvalidRequest):
    """Raised for a feature that the model or provider does not have: never silently dropped."""

    reason = "unsupported_parameter"


class Unauthenticated(TrunklineError):
    """Raised when no key was sent or nobody has that key."""

    reason = "invalid_api_key"
    code = StatusCode.UNAUTHENTICATED
    http_status = 401


class PermissionDenied(TrunklineError):
    """Raised when the key is known but may not do this."""

    reason = "permission_denied"
    code = StatusCode.PERMISSION_DENIED
    http_status = 403


class Conflict(TrunklineError):
    """Raised when another process or request holds what this one needs."""

    reason = "conflict"
    code = StatusCode.ALREADY_EXISTS
    http_status = 409


class Overloaded(TrunklineError):
    """Raised when a bound is reached: queue, slots, concurrent streams. Refused before any work is done."""

    reason = "overloaded"
    code = StatusCode.RESOURCE_EXHAUSTED
    http_status = 503
    retryable = True


class RateLimited(Overloaded):
    """Raised by admission before anything is spent."""

    reason = "rate_limit_exceeded"
    http_status = 429


class ConcurrencyExceeded(Overloaded):
    """Raised by admission when as many requests are under way as the key, team or model may have."""

    reason = "concurrency_exceeded"
    http_status = 429


class UpstreamRateLimited(Overloaded):
    """Raised when every provider that could answer is over its own rate; its reason is not that of the key's rate."""

    reason = "upstream_rate_limited"
    http_status = 429


class BudgetExceeded(Overloaded):
    """Raised by admission; a retry before the period ends cannot pass."""

    reason = "budget_exceeded"
    http_status = 429
    retryable = False


class Unavailable(TrunklineError):
    """Raised when a part we need does not answer."""

    reason = "unavailable"
    code = StatusCode.UNAVAILABLE
    http_status = 503
    retryable = True


class UpstreamUnavailable(Unavailable):
    """Raised when the provider cannot be reached or refuses for reasons of its own."""

    reason = "upstream_unavailable"
    http_status = 502


class StoreUnavailable(Unavailable):
    """Raised when Valkey or Postgres did not answer in time."""

    reason = "store_unavailable"


class DeadlineExceeded(TrunklineError):
    """Raised when one of the clocks of a request ran out."""

    reason = "timeout"
    code = StatusCode.DEADLINE_EXCEEDED
    http_status = 504
    retryable = True


class Cancelled(TrunklineError):
    """Raised when the caller went away; nobody reads the answer."""

    reason = "cancelled"
    code = StatusCode.CANCELLED
    http_status = 499


class UpstreamError(TrunklineError):
    """Raised when the provider's answer is unusable: broken stream, malformed body, an error of its own."""

    reason = "upstream_error"
    code = StatusCode.ABORTED
    http_status = 502
    retryable = True


class ConfigError(TrunklineError):
    """Raised for a configuration that cannot be served; the message names the path inside the file."""

    reason = "invalid_config"
    code = StatusCode.FAILED_PRECONDITION


class ModelError(TrunklineError):
    """Raised when model files are missing, damaged or of a kind we cannot run."""

    reason = "model_error"
    code = StatusCode.FAILED_PRECONDITION


class Internal(TrunklineError):
    """Raised at the edge in place of anything unforeseen; the cause is in the log, never in the answer."""


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
    **dict.fromkeys((400, 404, 405, 413, 422, 431), "invalid_request_error"),
    401: "authentication_error",
    403: "permission_error",
    409: "conflict_error",
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


def error_classes(root: type[TrunklineError] = TrunklineError) -> Iterator[type[TrunklineError]]:
    """Every class of the tree, the root included."""
    yield root
    for child in root.__subclasses__():
        yield from error_classes(child)


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
