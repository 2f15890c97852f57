"""What a provider's statuses mean."""

import pytest

from trunkline_gateway.plan import FailureKind
from trunkline_gateway.providers.base import AttemptFailed
from trunkline_gateway.providers.statuses import RETRY_AFTER_S_MAX, judge, retry_after_s
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
        (401, FailureKind.UNFIT),
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
    assert isinstance(judge("up", 400, {}, body(code="context_length_exceeded"), NOW_S), ContextTooLong)
    assert isinstance(judge("up", 413, {}, b"<html>", NOW_S), BodyTooLarge)


@pytest.mark.parametrize("data", [b"", b"<html>", b"{}", b"[]", b'{"error":"flat"}', b'{"detail":"x"}', b"\xff"])
def test_bodies_of_any_shape_are_understood(data):
    assert judge("up", 400, {}, data, NOW_S).message


def test_a_spent_account_is_not_a_rate():
    found = judge("up", 429, {}, body(code="insufficient_quota"), NOW_S)
    assert (found.kind, type(found.error)) == (FailureKind.UNFIT, UpstreamError)
    limited = judge("up", 429, {"retry-after": "3"}, body(), NOW_S)
    assert isinstance(limited.error, UpstreamRateLimited)
    assert limited.error.retry_after_s == 3


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "250"}, 0.25),
        ({"x-ms-retry-after-ms": "250"}, 0.25),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:30 GMT"}, 10.0),
        ({"retry-after": "Tue, 14 Nov 2022 22:13:30 GMT"}, 0.0),
        ({"retry-after": "1e99"}, RETRY_AFTER_S_MAX),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_every_way_of_saying_when(headers, seconds):
    assert retry_after_s(headers, NOW_S) == seconds
