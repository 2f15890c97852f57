import json

import pytest

from trunkline_gateway.plan import FailureKind
from trunkline_gateway.providers.base import AttemptFailed
from trunkline_gateway.providers.google_errors import GoogleError, google_error
from trunkline_gateway.providers.statuses import judge
from trunkline_kit.errors import ContextTooLong, UpstreamError, UpstreamRateLimited, UpstreamRefused

NOW_S = 1_700_000_000.0


def body(status, *details, message="m", code=400):
    return json.dumps({"error": {"code": code, "message": message, "status": status, "details": [*details]}}).encode()


def retry(delay):
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}


def info(reason):
    return {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"}


HELP = {"@type": "type.googleapis.com/google.rpc.Help", "links": [{"url": "https://e.example"}]}


def test_what_is_said():
    found = google_error(body("RESOURCE_EXHAUSTED", HELP, retry("17.5s"), info("RATE_LIMIT_EXCEEDED")))
    assert found == GoogleError(status="RESOURCE_EXHAUSTED", reason="RATE_LIMIT_EXCEEDED", message="m", wait_s=17.5)
    assert google_error(b"[%b]" % body("INTERNAL")) == GoogleError(status="INTERNAL", message="m")


@pytest.mark.parametrize(("delay", "wait_s"), [("0s", 0), ("999999999s", 3600), ("-3s", None), ("soon", None)])
def test_waits(delay, wait_s):
    assert google_error(body("UNAVAILABLE", retry(delay))).wait_s == wait_s


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff", b'{"error":"x"}', b'{"error":{"message":"m"}}'])
def test_what_is_not_googles(data):
    assert google_error(data) is None


@pytest.mark.parametrize(
    ("status", "data", "kind", "error"),
    [
        (400, body("INVALID_ARGUMENT", info("API_KEY_INVALID")), FailureKind.ACCOUNT, UpstreamError),
        (401, body("UNAUTHENTICATED", info("ACCESS_TOKEN_EXPIRED")), FailureKind.ACCOUNT, UpstreamError),
        (403, body("PERMISSION_DENIED", info("SERVICE_DISABLED")), FailureKind.ACCOUNT, UpstreamError),
        (403, body("PERMISSION_DENIED"), FailureKind.UNFIT, UpstreamError),
        (400, body("FAILED_PRECONDITION"), FailureKind.UNFIT, UpstreamError),
        (404, body("NOT_FOUND"), FailureKind.UNFIT, UpstreamError),
        (429, body("RESOURCE_EXHAUSTED", retry("3s")), FailureKind.LIMITED, UpstreamRateLimited),
        (503, body("UNAVAILABLE"), FailureKind.BROKEN, None),
        (
            400,
            body(
                "INVALID_ARGUMENT",
                message="The input token count (9) exceeds the maximum number of tokens allowed (8).",
            ),
            FailureKind.CONTEXT,
            ContextTooLong,
        ),
    ],
)
def test_what_it_means(status, data, kind, error):
    found = judge("up", status, {}, data, NOW_S)
    assert isinstance(found, AttemptFailed)
    assert found.kind is kind
    assert error is None or type(found.error) is error
    if kind in {FailureKind.ACCOUNT, FailureKind.UNFIT}:
        assert found.error.http_status == 502
        assert found.error.message != "m"


def test_a_wait_in_the_body_counts_where_no_header_has_one():
    data = body("RESOURCE_EXHAUSTED", retry("3s"))
    assert judge("up", 429, {}, data, NOW_S).error.retry_after_s == 3
    assert judge("up", 429, {"retry-after": "7"}, data, NOW_S).error.retry_after_s == 7


def test_an_invalid_key_is_told_as_one():
    found = judge("up", 400, {}, body("INVALID_ARGUMENT", info("API_KEY_INVALID"), message="API key AIza"), NOW_S)
    assert "did not accept the gateway's credentials" in found.error.message
    assert "AIza" not in found.error.message


def test_another_refusal_is_the_callers_in_googles_words():
    found = judge("up", 400, {}, body("INVALID_ARGUMENT", message="bad schema"), NOW_S)
    assert (type(found), found.message) == (UpstreamRefused, "bad schema")
