"""What a provider's HTTP answer other than 200 means for the caller and for the next attempt. Pure."""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import msgspec

from trunkline_gateway.chunks import ErrorLook, error_of
from trunkline_gateway.plan import FailureKind
from trunkline_gateway.providers.base import AttemptFailed
from trunkline_kit.errors import (
    BodyTooLarge,
    ContextTooLong,
    InvalidRequest,
    TrunklineError,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamUnavailable,
)

RETRY_AFTER_S_MAX = 3600.0
_CREDENTIALS = frozenset({401, 402, 403})
_REFUSALS = frozenset({400, 409, 415, 422})
_SPENT = frozenset({"insufficient_quota", "credit_balance_exhausted", "billing_hard_limit_reached"})


class _Body(msgspec.Struct, frozen=True):
    error: msgspec.Raw = msgspec.Raw(b"")
    message: str = ""
    detail: msgspec.Raw = msgspec.Raw(b"")


_decode = msgspec.json.Decoder(_Body).decode


def judge(provider: str, status: int, headers: Mapping[str, str], body: bytes, now_s: float) -> Exception:
    """The exception to raise: AttemptFailed where another attempt may help, an InvalidRequest where it may not.

    A provider's 401 or 403 is about our credentials, never about the caller's key, so it does not surface as one.
    """
    said = said_by(body)
    if status == 429:
        return _limited(provider, said, headers, now_s)
    if status in _CREDENTIALS:
        text = f"provider {provider!r} did not accept the gateway's credentials (HTTP {status}); tell who runs it"
        return AttemptFailed(FailureKind.UNFIT, UpstreamError(text))
    if status == 404:
        text = f"provider {provider!r} does not know this model or URL (HTTP 404); tell who runs the gateway"
        return AttemptFailed(FailureKind.UNFIT, UpstreamError(text))
    if status == 413:
        return BodyTooLarge(said.message or f"provider {provider!r} says the request is too large")
    if status in _REFUSALS:
        return refusal(provider, said)
    text = f"provider {provider!r} answered with HTTP {status}"
    return AttemptFailed(FailureKind.BROKEN, UpstreamUnavailable(text, retry_after_s=retry_after_s(headers, now_s)))


def refusal(provider: str, said: ErrorLook) -> InvalidRequest:
    """The provider's own verdict on the request, in its own words."""
    message = said.message or f"provider {provider!r} refused the request without saying why"
    kind = ContextTooLong if said.code == ContextTooLong.reason else UpstreamRefused
    return kind(message, param=said.param)


def in_stream(provider: str, raw: bytes) -> Exception:
    """What an error object inside a stream that began with 200 means."""
    said = error_of(raw)
    if said.type == "invalid_request_error":
        return refusal(provider, said)
    if said.type == "rate_limit_error" or said.code in {429, "rate_limit_exceeded"}:
        return AttemptFailed(FailureKind.LIMITED, UpstreamRateLimited(f"provider {provider!r} is over its rate"))
    return AttemptFailed(FailureKind.BROKEN, stream_error(provider, said))


def stream_error(provider: str, said: ErrorLook) -> TrunklineError:
    """The error a caller gets for a provider's error in mid-stream."""
    return UpstreamError(f"provider {provider!r} broke off: {said.message or 'it did not say why'}")


def said_by(body: bytes) -> ErrorLook:
    """The error object of an error body, whatever its shape."""
    try:
        found = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ErrorLook(message="")
    if raw := bytes(found.error):
        return error_of(raw)
    return ErrorLook(message=found.message or bytes(found.detail)[:500].decode(errors="replace").strip('"'))


def _limited(provider: str, said: ErrorLook, headers: Mapping[str, str], now_s: float) -> AttemptFailed:
    if said.code in _SPENT or said.type in _SPENT:
        text = f"the gateway's account at provider {provider!r} has no credit left; tell who runs it"
        return AttemptFailed(FailureKind.UNFIT, UpstreamError(text))
    wait_s = retry_after_s(headers, now_s)
    text = f"provider {provider!r} is over its rate; try again later"
    return AttemptFailed(FailureKind.LIMITED, UpstreamRateLimited(text, retry_after_s=wait_s))


def retry_after_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """What the provider asks to wait: `retry-after-ms`, Azure's name for it, or `Retry-After` as seconds or date."""
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        if (wait_ms := _number(headers.get(name, ""))) is not None:
            return min(RETRY_AFTER_S_MAX, wait_ms / 1000)
    text = headers.get("retry-after", "")
    if (seconds := _number(text)) is not None:
        return min(RETRY_AFTER_S_MAX, seconds)
    return _until(text, now_s)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None


def _until(text: str, now_s: float) -> float | None:
    try:
        at_s = parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
    return min(RETRY_AFTER_S_MAX, max(0.0, at_s - now_s))
