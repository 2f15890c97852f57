"""What a provider's HTTP answer other than 200 means for the caller and for the next attempt. Pure."""

from collections.abc import Mapping

import msgspec

from trunkline_gateway.chunks import ErrorLook, error_of
from trunkline_gateway.providers.aws_errors import HEADER, kind_at_amazon
from trunkline_gateway.providers.base import AttemptFailed
from trunkline_gateway.providers.google_errors import google_error
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
from trunkline_policy.faults import (
    BAD_CREDENTIALS,
    OF_THE_MODEL,
    FailureKind,
    asked_wait_s,
    kind_of_refusal,
    kind_of_status,
)


class _Body(msgspec.Struct, frozen=True):
    error: msgspec.Raw = msgspec.Raw(b"")
    message: str = ""
    detail: msgspec.Raw = msgspec.Raw(b"")


_ERRORS: dict[FailureKind, type[TrunklineError]] = {
    FailureKind.LIMITED: UpstreamRateLimited,
    FailureKind.ACCOUNT: UpstreamError,
    FailureKind.UNFIT: UpstreamError,
}
_decode = msgspec.json.Decoder(_Body).decode


def judge(provider: str, status: int, headers: Mapping[str, str], body: bytes, now_s: float) -> Exception:
    """The exception to raise: AttemptFailed where another attempt may help, an InvalidRequest where it may not.

    A provider's 401 or 403 is about our credentials, never about the caller's key, so it does not surface as one.
    """
    said = said_by(body)
    amazon = kind_at_amazon(headers.get(HEADER, ""))
    kind = amazon or kind_of_status(status, _word(said.code), said.type or "", said.message)
    if kind is None and status == 413:
        return BodyTooLarge(said.message or f"provider {provider!r} says the request is too large")
    if kind is None:
        return refusal(provider, said)
    if kind in OF_THE_MODEL:
        return AttemptFailed(kind, refusal(provider, said, kind))
    error = _ERRORS.get(kind, UpstreamUnavailable)
    wait_s = asked_wait_s(headers, now_s)
    if wait_s is None and (google := google_error(body)) is not None:
        wait_s = google.wait_s
    bad = _word(said.code) in BAD_CREDENTIALS or amazon is FailureKind.ACCOUNT
    return AttemptFailed(kind, error(_text(provider, kind, 401 if bad else status), retry_after_s=wait_s))


def _text(provider: str, kind: FailureKind, status: int) -> str:
    """What the caller is told. The provider's own words may be about our account, which is nobody else's business."""
    if kind is FailureKind.LIMITED:
        return f"provider {provider!r} is over its rate; try again later"
    if kind is FailureKind.ACCOUNT and status != 401:
        return f"the gateway's account at provider {provider!r} has no credit left; tell who runs it"
    if status in {401, 403}:
        return f"provider {provider!r} did not accept the gateway's credentials (HTTP {status}); tell who runs it"
    if kind is FailureKind.UNFIT and status == 400:
        return f"provider {provider!r} does not serve the gateway's account as it is; tell who runs it"
    if kind is FailureKind.UNFIT:
        return f"provider {provider!r} does not know this model or URL (HTTP {status}); tell who runs the gateway"
    return f"provider {provider!r} answered with HTTP {status}"


def refusal(provider: str, said: ErrorLook, kind: FailureKind | None = None) -> InvalidRequest:
    """The provider's own verdict on the request, in its own words."""
    message = said.message or f"provider {provider!r} refused the request without saying why"
    error = ContextTooLong if kind is FailureKind.CONTEXT else UpstreamRefused
    return error(message, param=said.param)


def in_stream(provider: str, raw: bytes) -> Exception:
    """What an error object inside a stream that began with 200 means."""
    said = error_of(raw)
    if said.type == "invalid_request_error" or kind_of_refusal(_word(said.code), said.type or "") is not None:
        kind = kind_of_refusal(_word(said.code), said.type or "", said.message)
        found = refusal(provider, said, kind)
        return found if kind is None else AttemptFailed(kind, found)
    if said.type == "rate_limit_error" or said.code in {429, "rate_limit_exceeded"}:
        return AttemptFailed(FailureKind.LIMITED, UpstreamRateLimited(f"provider {provider!r} is over its rate"))
    return AttemptFailed(FailureKind.BROKEN, stream_error(provider, said))


def stream_error(provider: str, said: ErrorLook) -> TrunklineError:
    """The error a caller gets for a provider's error in mid-stream."""
    return UpstreamError(f"provider {provider!r} broke off: {said.message or 'it did not say why'}")


def said_by(body: bytes) -> ErrorLook:
    """The error object of an error body, whatever its shape."""
    if (google := google_error(body)) is not None:
        return ErrorLook(message=google.message, type=google.status, code=google.reason or None)
    try:
        found = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ErrorLook(message="")
    if raw := bytes(found.error):
        return error_of(raw)
    return ErrorLook(message=found.message or bytes(found.detail)[:500].decode(errors="replace").strip('"'))


def _word(code: str | int | None) -> str:
    return "" if code is None else str(code)
