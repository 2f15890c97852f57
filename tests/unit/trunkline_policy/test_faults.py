"""What an answer other than 200 means, and what a provider asks to wait."""

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_policy.faults import (
    AGAIN,
    BAD_CREDENTIALS,
    OF_THE_DEPLOYMENT,
    OF_THE_MODEL,
    RETRY_AFTER_S_MAX,
    FailureKind,
    asked_wait_s,
    kind_of_refusal,
    kind_of_status,
)

NOW_S = 1_700_000_000.0
statuses = st.integers(300, 599)
words = st.sampled_from(["", "insufficient_quota", "rate_limit_exceeded", "context_length_exceeded", "content_filter"])


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (500, "", FailureKind.BROKEN),
        (502, "", FailureKind.BROKEN),
        (503, "slow_down", FailureKind.BROKEN),
        (529, "overloaded_error", FailureKind.BROKEN),
        (408, "", FailureKind.BROKEN),
        (302, "", FailureKind.BROKEN),
        (429, "rate_limit_exceeded", FailureKind.LIMITED),
        (429, "insufficient_quota", FailureKind.ACCOUNT),
        (401, "invalid_api_key", FailureKind.ACCOUNT),
        (402, "", FailureKind.ACCOUNT),
        (403, "", FailureKind.UNFIT),
        (403, "billing_not_active", FailureKind.ACCOUNT),
        (404, "model_not_found", FailureKind.UNFIT),
        (400, "context_length_exceeded", FailureKind.CONTEXT),
        (400, "content_filter", FailureKind.POLICY),
        (400, "content_policy_violation", FailureKind.POLICY),
        (400, "unknown_parameter", None),
        (413, "", None),
        (422, "", None),
        (498, "", FailureKind.POLICY),
    ],
)
def test_statuses(status, code, kind):
    assert kind_of_status(status, code) is kind
    assert kind_of_status(status, error_type=code) is kind


@given(statuses, words, words)
def test_every_answer_means_something_and_what_cannot_succeed_is_never_tried_again(status, code, error_type):
    kind = kind_of_status(status, code, error_type)
    assert kind is None or kind in FailureKind
    if 400 <= status < 500 and status not in {408, 429} and not code and not error_type:
        assert kind not in AGAIN or status not in {400, 401, 402, 403, 404, 409, 413, 415, 422}
    if "insufficient_quota" in {code, error_type}:
        assert kind is FailureKind.ACCOUNT


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 4096 tokens.",
        "prompt is too long: 9 > 8",
        "exceeds the Context Window",
        "Input is too long for requested model.",
        "too many tokens: total number of tokens cannot exceed 4081",
    ],
)
def test_servers_without_a_code_for_it_say_it_in_words(message):
    assert kind_of_status(400, "400", "BadRequestError", message) is FailureKind.CONTEXT
    assert kind_of_status(500, message=message) is FailureKind.BROKEN


def test_a_spent_account_is_not_the_callers_mistake():
    said = "Your credit balance is too low to access the Anthropic API."
    assert kind_of_status(400, "", "invalid_request_error", said) is FailureKind.ACCOUNT
    assert kind_of_status(403, message=said) is FailureKind.ACCOUNT


@pytest.mark.parametrize(
    "words", ["Your credit balance is too low", "API_KEY_INVALID", "insufficient_quota", "ACCESS_TOKEN_EXPIRED"]
)
@pytest.mark.parametrize("status", [400, 403, 404, 413, 422, 429, 500])
def test_what_a_provider_repeats_of_a_callers_words_shuts_no_account(status, words):
    for message in (f"Invalid value: '{words}'. Supported values are: 'auto'.", f"'{words}'", f"\n{words}"):
        assert kind_of_status(status, "invalid_value", "invalid_request_error", message) is not FailureKind.ACCOUNT


def test_the_kinds_are_told_apart():
    assert not AGAIN & OF_THE_MODEL
    assert FailureKind.ACCOUNT not in OF_THE_DEPLOYMENT | AGAIN
    assert kind_of_refusal("", "content_filter") is FailureKind.POLICY
    assert kind_of_refusal("other") is None


@pytest.mark.parametrize("reason", sorted(BAD_CREDENTIALS | {"BILLING_DISABLED", "CONSUMER_SUSPENDED"}))
@pytest.mark.parametrize("status", [400, 403])
def test_googles_reasons_say_more_than_its_statuses(status, reason):
    assert kind_of_status(status, reason) is FailureKind.ACCOUNT
    assert kind_of_status(400, "", "FAILED_PRECONDITION") is FailureKind.UNFIT
    assert kind_of_status(400, "", "INVALID_ARGUMENT") is None


@given(st.floats(0, RETRY_AFTER_S_MAX, allow_nan=False))
def test_the_three_forms_say_the_same(wait_s):
    in_ms = asked_wait_s({"retry-after-ms": repr(wait_s * 1000)}, NOW_S)
    in_s = asked_wait_s({"retry-after": repr(wait_s)}, NOW_S)
    as_date = asked_wait_s({"retry-after": formatdate(NOW_S + wait_s, usegmt=True)}, NOW_S)
    assert in_ms == pytest.approx(wait_s)
    assert in_s == wait_s
    assert as_date is not None
    assert abs(as_date - wait_s) <= 1.0, "a date has whole seconds"


def test_milliseconds_go_before_seconds_and_dates_in_the_past_mean_now():
    assert asked_wait_s({"retry-after-ms": "250", "retry-after": "9"}, NOW_S) == 0.25
    assert asked_wait_s({"x-ms-retry-after-ms": "20"}, NOW_S) == 0.02
    assert asked_wait_s({"retry-after": formatdate(NOW_S - 60)}, NOW_S) == 0.0


@given(st.text(max_size=40))
def test_whatever_it_says_the_wait_is_bounded_or_unknown(said):
    wait_s = asked_wait_s({"retry-after": said, "retry-after-ms": said}, NOW_S)
    assert wait_s is None or 0 <= wait_s <= RETRY_AFTER_S_MAX


@pytest.mark.parametrize("said", ["", "soon", "-1", "nan", "inf", "Wed, 99 Foo 2026 00:00:00 GMT"])
def test_what_cannot_be_understood_is_no_wait(said):
    assert asked_wait_s({"retry-after": said}, NOW_S) is None
