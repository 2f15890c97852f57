"""What a refused caller is told."""

import pytest

from trunkline_gateway.admission.levels import Level, Measure, Rule
from trunkline_gateway.admission.refusals import duration, limit_headers, refusal, share_refusal
from trunkline_kit.errors import BudgetExceeded, ConcurrencyExceeded, RateLimited


def rule(measure, limit=10, text="10 of them"):
    return Rule(level=Level.TEAM, name="t", measure=measure, limit=limit, key="k", text=text)


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (-5, "0ms"),
        (120, "120ms"),
        (6_000, "6s"),
        (6_001, "7s"),
        (60_000, "1m0s"),
        (61_000, "1m1s"),
        (3_600_000, "1h0m0s"),
        (9_000_000, "2h30m0s"),
    ],
)
def test_durations_are_written_as_openai_writes_them(ms, text):
    assert duration(ms) == text


def test_headers_tell_of_the_tightest_limit():
    rules = [rule(Measure.REQUESTS, 10), rule(Measure.REQUESTS, 100), rule(Measure.BUDGET), rule(Measure.TOKENS, 50)]
    rows = [(7, 6_000), (3, 60_000), (1, 0), (0, 500)]
    assert limit_headers(rules, rows) == [
        ("x-ratelimit-limit-requests", "100"),
        ("x-ratelimit-remaining-requests", "3"),
        ("x-ratelimit-reset-requests", "1m0s"),
        ("x-ratelimit-limit-tokens", "50"),
        ("x-ratelimit-remaining-tokens", "0"),
        ("x-ratelimit-reset-tokens", "500ms"),
    ]


@pytest.mark.parametrize(
    ("measure", "wait_ms", "kind", "says"),
    [
        (Measure.REQUESTS, 1_500, RateLimited, "team 't' is over its limit of 10 of them; try again in 2s"),
        (Measure.TOKENS, -1, RateLimited, "alone is larger than the limit of team 't'"),
        (Measure.CONCURRENT, 1_000, ConcurrencyExceeded, "under way"),
        (Measure.BUDGET, 60_000, BudgetExceeded, "the next period begins in 1m0s"),
        (Measure.BUDGET, -1, BudgetExceeded, "budget of team 't', 10 of them"),
    ],
)
def test_each_measure_has_its_own_error(measure, wait_ms, kind, says):
    error = refusal(rule(measure), wait_ms, [("x-some", "header")])
    assert type(error) is kind
    assert says in error.message
    assert error.headers[0] == ("x-some", "header")
    assert error.retry_after_s == (None if wait_ms < 0 else wait_ms / 1000)


@pytest.mark.parametrize(("wait_ms", "told"), [(1_000, False), (120_000, False), (120_001, True), (-1, True)])
def test_clients_are_kept_from_waiting_in_vain(wait_ms, told):
    error = refusal(rule(Measure.REQUESTS), wait_ms, [])
    assert (("x-should-retry", "false") in error.headers) is told


def test_a_refusal_by_a_share_says_so_and_does_not_send_anybody_away_for_long():
    error = share_refusal(rule(Measure.REQUESTS), 600_000, [])
    assert "its share while the store of limits is away" in error.message
    assert dict(error.headers) == {"x-trunkline-admission": "degraded"}
    assert error.retry_after_s == 5
    assert share_refusal(rule(Measure.REQUESTS), -1, []).retry_after_s is None
