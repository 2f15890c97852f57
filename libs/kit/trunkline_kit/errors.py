"""Every error a caller can meet. How one looks over HTTP and gRPC is in `error_shapes`.

TrunklineError
├── InvalidRequest            the caller can mend the request
│   ├── ModelNotFound         no such model, or not for this key
│   ├── RouteNotFound         no such URL
│   ├── ObjectNotFound        no such key, team or other thing that can be managed
│   ├── ResponseNotFound      no such response to continue
│   ├── MethodNotAllowed      the URL takes another method
│   ├── BodyTooLarge          over the body limit
│   ├── MediaTypeNotSupported a body that is not what the URL takes
│   ├── HeadTooLarge          URL and headers over their limit
│   ├── ContextTooLong        prompt and answer do not fit the model
│   ├── ContentBlocked        a guardrail of the key's policy objects to the content
│   ├── IdempotencyKeyReused  the key came with another request before
│   ├── UpstreamRefused       the provider judged the request itself wrong
│   └── Unsupported           the model or provider cannot do what is asked
├── Unauthenticated           no key, or one we do not know
│   └── KeyRevoked            the key stopped while its request was under way
├── PermissionDenied          a key that may not do this
├── Conflict                  another process or request holds what this one needs
│   ├── IdempotencyKeyInUse   the same request is still being answered
│   └── VersionMismatch       somebody else has changed it meanwhile
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


class ObjectNotFound(InvalidRequest):
    """Raised for a key, team or other managed thing that is not there."""

    reason = "object_not_found"
    code = StatusCode.NOT_FOUND
    http_status = 404


class ResponseNotFound(InvalidRequest):
    """Raised for a request that continues a response which is not there for it. OpenAI's code and status."""

    reason = "previous_response_not_found"


class MethodNotAllowed(InvalidRequest):
    """Raised for a URL we serve with another method."""

    reason = "method_not_allowed"
    code = StatusCode.UNIMPLEMENTED
    http_status = 405


class BodyTooLarge(InvalidRequest):
    """Raised before a body over the limit is read."""

    reason = "request_too_large"
    http_status = 413


class MediaTypeNotSupported(InvalidRequest):
    """Raised for a body whose headers say that it is not JSON, or compressed."""

    reason = "unsupported_media_type"
    http_status = 415


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


class IdempotencyKeyReused(InvalidRequest):
    """Raised for another request with an idempotency key that came before: never answered with that one's answer."""

    reason = "idempotency_key_reused"
    http_status = 422


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


class KeyRevoked(Unauthenticated):
    """Raised in requests that are under way when their key is revoked, disabled, rotated out or has expired."""

    reason = "key_revoked"


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


class IdempotencyKeyInUse(Conflict):
    """Raised when the same request has been answered elsewhere for longer than this one may wait."""

    reason = "idempotency_key_in_use"
    retryable = True


class VersionMismatch(Conflict):
    """Raised for a change to something that is no longer as its changer saw it."""

    reason = "version_mismatch"
    http_status = 412


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


def error_classes(root: type[TrunklineError] = TrunklineError) -> Iterator[type[TrunklineError]]:
    """Every class of the tree, the root included."""
    yield root
    for child in root.__subclasses__():
        yield from error_classes(child)
