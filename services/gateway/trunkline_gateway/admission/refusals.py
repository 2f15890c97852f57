"""A refusal in words and headers. Pure."""

from collections.abc import Iterable, Sequence

from trunkline_gateway.admission.levels import Measure, Rule
from trunkline_gateway.sink import Headers
from trunkline_kit.errors import BudgetExceeded, ConcurrencyExceeded, RateLimited, TrunklineError

PATIENCE_MS = 120_000
"""OpenAI's SDKs wait no longer than this for a retry (openai-python, `_base_client.py`, read 2026-11-24)."""

SHARE_WAIT_MS = 5_000
"""A store that is away is asked again all the time: nobody is told to wait as if it stayed away."""

_NO_RETRY = ("x-should-retry", "false")

Row = tuple[int, int]
"""What remains, and in how many ms all of it is back."""


def duration(ms: int) -> str:
    """As OpenAI writes it: `120ms`, `6s`, `1m0s`, `2h30m0s`. Rounded up."""
    if ms < 1000:
        return f"{max(0, ms)}ms"
    minutes, seconds = divmod(-(-ms // 1000), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{seconds}s"
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"


def limit_headers(rules: Sequence[Rule], rows: Sequence[Row]) -> Headers:
    """`x-ratelimit-*` of the tightest limit on requests and on tokens, as far as there are any."""
    headers: Headers = []
    for measure in (Measure.REQUESTS, Measure.TOKENS):
        found = [(row, rule.limit) for rule, row in zip(rules, rows, strict=True) if rule.measure is measure]
        if not found:
            continue
        (remaining, reset_ms), limit = min(found, key=lambda item: item[0][0])
        name = measure.value
        headers.append((f"x-ratelimit-limit-{name}", str(limit)))
        headers.append((f"x-ratelimit-remaining-{name}", str(remaining)))
        headers.append((f"x-ratelimit-reset-{name}", duration(reset_ms)))
    return headers


def refusal(rule: Rule, wait_ms: int, headers: Iterable[tuple[str, str]]) -> TrunklineError:
    """The error for a request that `rule` refuses. `wait_ms` -1 means that it can never pass."""
    who = f"{rule.level.value} {rule.name!r}"
    retry_after_s = None if wait_ms < 0 else wait_ms / 1000
    found = list(headers)
    if (wait_ms < 0 or wait_ms > PATIENCE_MS) and rule.measure is not Measure.BUDGET:
        found.append(_NO_RETRY)
    if rule.measure is Measure.CONCURRENT:
        text = f"{who} has its limit of {rule.text} under way; wait until one has ended"
        return ConcurrencyExceeded(text, retry_after_s=retry_after_s, headers=tuple(found))
    if rule.measure is Measure.BUDGET:
        again = "" if wait_ms < 0 else f"; the next period begins in {duration(wait_ms)}"
        text = f"this request does not fit what is left of the budget of {who}, {rule.text}{again}"
        return BudgetExceeded(text, retry_after_s=retry_after_s, headers=tuple(found))
    if wait_ms < 0:
        text = f"this request alone is larger than the limit of {who}, {rule.text}; send less or ask for fewer tokens"
    else:
        text = f"{who} is over its limit of {rule.text}; try again in {duration(wait_ms)}"
    return RateLimited(text, retry_after_s=retry_after_s, headers=tuple(found))


def share_refusal(rule: Rule, wait_ms: int, headers: Iterable[tuple[str, str]]) -> TrunklineError:
    """The same, decided by one gateway's share of the limit: as soon as the store is back, more may fit."""
    error = refusal(rule, min(wait_ms, SHARE_WAIT_MS) if wait_ms >= 0 else wait_ms, headers)
    found = (*error.headers, ("x-trunkline-admission", "degraded"))
    text = f"{error.message}; this gateway holds to its share while the store of limits is away"
    return type(error)(text, param=error.param, retry_after_s=error.retry_after_s, headers=found)


def with_note(error: TrunklineError, note: str) -> TrunklineError:
    """The same, saying one thing more."""
    text = f"{error.message}; {note}"
    return type(error)(text, param=error.param, retry_after_s=error.retry_after_s, headers=error.headers)
