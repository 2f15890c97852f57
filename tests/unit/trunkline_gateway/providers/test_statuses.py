"""What a provider's statuses mean."""

import pytest

from trunkline_gateway.plan import FailureKind
from trunkline_gateway.providers.base import AttemptFailed
from trunkline_gateway.providers.statuses import in_stream, judge
from trunkline_kit.errors import BodyTooLarge, ContextTooLong, UpstreamError, UpstreamRateLimited, UpstreamRefused

NOW_S = 1_700_000_000.0


def body(message="m", code="c", kind="t"):
    return f'{{"error":{{"message":"{message}","type":"{kind}","param":"p","code":"{code}"}}}}'.encode()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (500, FailureKind.BROKEN),
        (503, FailureKind.BROKEN),
        (529, FailureKind.BROKEN),
        (302, FailureKind.BROKEN),
        (408, FailureKind.BROKEN),
        (401, FailureKind.ACCOUNT),
        (403, FailureKind.UNFIT),
        (404, FailureKind.UNFIT),
        (429, FailureKind.LIMITED),
    ],
)
def test_statuses_that_another_attempt_may_mend(status, kind):
    found = judge("up", status, {}, body("sk-secret"), NOW_S)
    assert isinstance(found, AttemptFailed)
    assert found.kind is kind
    assert found.error.http_status in {429, 502}
    assert "sk-secret" not in found.error.message, "what a provider says of our credentials stays here"


@pytest.mark.parametrize("status", [400, 409, 422])
def test_refusals_are_the_callers_in_the_providers_words(status):
    found = judge("up", status, {}, body("too hot"), NOW_S)
    assert isinstance(found, UpstreamRefused)
    assert (found.message, found.param) == ("too hot", "p")


def test_special_refusals():
    assert isinstance(judge("up", 413, {}, b"<html>", NOW_S), BodyTooLarge)


@pytest.mark.parametrize("data", [b"", b"<html>", b"{}", b"[]", b'{"error":"flat"}', b'{"detail":"x"}', b"\xff"])
def test_bodies_of_any_shape_are_understood(data):
    assert judge("up", 400, {}, data, NOW_S).message


def test_a_spent_account_is_not_a_rate():
    found = judge("up", 429, {}, body(code="insufficient_quota"), NOW_S)
    assert (found.kind, type(found.error)) == (FailureKind.ACCOUNT, UpstreamError)
    limited = judge("up", 429, {"retry-after": "3"}, body(), NOW_S)
    assert isinstance(limited.error, UpstreamRateLimited)
    assert limited.error.retry_after_s == 3


@pytest.mark.parametrize(
    "headers", [{"retry-after-ms": "3000"}, {"retry-after": "3"}, {"retry-after": "Tue, 14 Nov 2023 22:13:23 GMT"}]
)
@pytest.mark.parametrize("status", [429, 503])
def test_every_way_of_saying_when_comes_along(status, headers):
    assert judge("up", status, headers, body(), NOW_S).error.retry_after_s == 3


def test_what_another_model_may_judge_otherwise_is_the_callers_error_if_none_does():
    too_long = judge("up", 400, {}, body(message="maximum context length is 9", code="400"), NOW_S)
    assert (too_long.kind, type(too_long.error)) == (FailureKind.CONTEXT, ContextTooLong)
    filtered = judge("up", 400, {}, body(code="content_filter"), NOW_S)
    assert (filtered.kind, type(filtered.error)) == (FailureKind.POLICY, UpstreamRefused)
    assert filtered.error.message == "m"


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (b'{"type":"invalid_request_error","code":"context_length_exceeded"}', FailureKind.CONTEXT),
        (b'{"code":"content_filter"}', FailureKind.POLICY),
        (b'{"type":"rate_limit_error"}', FailureKind.LIMITED),
        (b'{"message":"oops"}', FailureKind.BROKEN),
    ],
)
def test_errors_inside_a_stream_mean_the_same(said, kind):
    assert in_stream("up", said).kind is kind


def test_a_refusal_inside_a_stream_is_the_callers():
    assert isinstance(in_stream("up", b'{"type":"invalid_request_error","message":"no"}'), UpstreamRefused)
