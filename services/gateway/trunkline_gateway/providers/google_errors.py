"""The error bodies of Google's APIs, as far as they say more than a status does. Pure.

Source: Google, "AIP-193: Errors" and `google/rpc/error_details.proto` (read 2026-11-25).
"""

import re
from typing import Final

import msgspec

from trunkline_policy.faults import RETRY_AFTER_S_MAX

_SECONDS: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s", re.ASCII)


class _Detail(msgspec.Struct, frozen=True, rename="camel"):
    """Of whichever kind: what we know has its own name in each."""

    reason: str = ""
    """Of `ErrorInfo`."""
    retry_delay: str = ""
    """Of `RetryInfo`."""


class _Error(msgspec.Struct, frozen=True):
    status: str
    message: str = ""
    details: list[_Detail] = []


class _Body(msgspec.Struct, frozen=True):
    error: _Error


class GoogleError(msgspec.Struct, frozen=True, kw_only=True):
    status: str
    """Such as RESOURCE_EXHAUSTED."""
    reason: str = ""
    """Closer than the status, such as API_KEY_INVALID; empty where it is not said."""
    message: str = ""
    wait_s: float | None = None
    """How long to wait before asking again; None where it is not said."""


_decode = msgspec.json.Decoder(_Body | list[_Body]).decode


def google_error(body: bytes) -> GoogleError | None:
    """None for what is no error of Google's. Its streams wrap one into a list."""
    try:
        found = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if isinstance(found, list):
        if not found:
            return None
        found = found[0]
    said = found.error
    delays = [seconds for detail in said.details if (seconds := _SECONDS.fullmatch(detail.retry_delay))]
    return GoogleError(
        status=said.status,
        reason=next((detail.reason for detail in said.details if detail.reason), ""),
        message=said.message,
        wait_s=min(RETRY_AFTER_S_MAX, float(delays[0][1])) if delays else None,
    )
