"""What went wrong with an attempt, and what that says about trying again: here, elsewhere, or not at all."""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from enum import Enum

RETRY_AFTER_S_MAX = 3600.0
"""A provider that asks for more is taken to mean this much."""


class FailureKind(Enum):
    """What a failed attempt says about trying that target again. The value is its label in metrics."""

    BROKEN = "broken"
    """Refused, cut off, or an error of the provider's own: may work a moment later."""
    SILENT = "timeout"
    """A clock ran out: trying again would only double the wait."""
    LIMITED = "rate_limited"
    """Over the provider's rate: may work once that has passed."""
    UNFIT = "unfit"
    """No such model, one that we may not use, or a feature it does not have: the same again every time."""
    ACCOUNT = "account"
    """Credentials or credit of the whole account: none of its models can answer."""
    CONTEXT = "context_window"
    """Prompt and answer do not fit the model: only a model with a larger window helps."""
    POLICY = "content_policy"
    """The provider's filter objects to the content: only another model may judge otherwise."""


AGAIN = frozenset({FailureKind.BROKEN, FailureKind.LIMITED})
"""What the same target may get over while the request lasts."""
OF_THE_MODEL = frozenset({FailureKind.CONTEXT, FailureKind.POLICY})
"""What every deployment of the model would say again."""
OF_THE_DEPLOYMENT = frozenset({FailureKind.BROKEN, FailureKind.SILENT})
"""What counts against the health of the deployment. The others tell of the request, the account or the model's name."""

_CREDENTIALS = frozenset({401, 402})
_NOT_HERE = frozenset({403, 404})
"""A 403 is often about one model only: it must not stop a whole account."""
_REFUSALS = frozenset({400, 409, 413, 415, 422})
_BLOCKED = 498
"""Cohere's own, for what its filter objects to. Source: Cohere API reference, "Errors" (read 2026-11-25)."""
_SPENT = frozenset(
    {
        "insufficient_quota",
        "credit_balance_exhausted",
        "billing_hard_limit_reached",
        "billing_not_active",
        "billing_error",
    }
)
BAD_CREDENTIALS = frozenset({"API_KEY_INVALID", "ACCESS_TOKEN_EXPIRED", "CREDENTIALS_MISSING"})
"""Google's reasons: an invalid key is a 400 there."""
_OF_THE_ACCOUNT = frozenset(
    {
        *BAD_CREDENTIALS,
        "BILLING_DISABLED",
        "SERVICE_DISABLED",
        "CONSUMER_INVALID",
        "CONSUMER_SUSPENDED",
        "API_KEY_SERVICE_BLOCKED",
        "API_KEY_HTTP_REFERRER_BLOCKED",
        "API_KEY_IP_ADDRESS_BLOCKED",
    }
)
"""Google's reasons that hold for a whole project. Source: `google/api/error_reason.proto` (read 2026-11-25)."""
_NOT_SERVED = "FAILED_PRECONDITION"
"""Google's 400 where an account may not be served as it is: its country without billing, a model that is not ready."""
_CONTEXT = frozenset({"context_length_exceeded", "context_window_exceeded", "string_above_max_length"})
_CONTEXT_TEXT = re.compile(
    r"maximum context length|context window|prompt is too long|context length of"
    r"|exceeds the maximum number of tokens allowed|input is too long for|too many tokens: ",
    re.IGNORECASE,
)
"""How servers say it that have no code for it: vLLM, SGLang, llama.cpp, Anthropic, Google, Bedrock, Cohere.

Read 2026-11-25. It may be a caller's words that are found: they choose fallbacks for that request and nothing else.
"""
_SPENT_TEXT = re.compile(r"Your credit balance is too low\b")
"""How Anthropic begins to say so, in a 400 that looks like a mistake of the caller's.

Providers repeat what callers wrote: words anywhere else may be a caller's, who could shut the account for everybody.
"""
_SPENT_STATUSES = frozenset({400, 403})
_POLICY = frozenset({"content_policy_violation", "content_filter", "responsible_ai_policy_violation"})


def kind_of_status(status: int, code: str = "", error_type: str = "", message: str = "") -> FailureKind | None:
    """What an HTTP answer other than 200 means; None: the request itself is wrong, and would be anywhere.

    The others are the body's own words, empty where it has none. Sources: OpenAI, "Error codes", and Microsoft, "Azure
    OpenAI content filtering" (read 2026-11-24).
    """
    words = {code, error_type}
    if words & (_SPENT | _OF_THE_ACCOUNT) or status in _CREDENTIALS or _is_spent(status, message):
        return FailureKind.ACCOUNT
    if status == 429:
        return FailureKind.LIMITED
    if status in _NOT_HERE:
        return FailureKind.UNFIT
    if _NOT_SERVED in words:
        return FailureKind.UNFIT
    if status in _REFUSALS:
        return kind_of_refusal(code, error_type, message)
    return FailureKind.POLICY if status == _BLOCKED else FailureKind.BROKEN


def _is_spent(status: int, message: str) -> bool:
    """The only verdict on an account by words: they must be the first that the provider says."""
    return status in _SPENT_STATUSES and _SPENT_TEXT.match(message) is not None


def kind_of_refusal(code: str, error_type: str = "", message: str = "") -> FailureKind | None:
    """What a provider that judged the request wrong objects to; None for anything that another model would too."""
    words = {code, error_type}
    if words & _CONTEXT or _CONTEXT_TEXT.search(message):
        return FailureKind.CONTEXT
    return FailureKind.POLICY if words & _POLICY else None


def asked_wait_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """What a provider asks to wait: `retry-after-ms`, Azure's name for it, or `Retry-After` as seconds or as a date.

    Names are in lower case, or the mapping does not care. `now_s` is since the epoch. None where it asks for nothing
    that can be understood.
    """
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        if (wait_ms := _number(headers.get(name, ""))) is not None:
            return min(RETRY_AFTER_S_MAX, wait_ms / 1000)
    text = headers.get("retry-after", "")
    if (seconds := _number(text)) is not None:
        return min(RETRY_AFTER_S_MAX, seconds)
    return _until_s(text, now_s)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None


def _until_s(text: str, now_s: float) -> float | None:
    try:
        at_s = parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
    return min(RETRY_AFTER_S_MAX, max(0.0, at_s - now_s))
