"""Every error of the tree has a body that SDKs read and headers that keep them from useless retries."""

import msgspec
import pytest
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException

from trunkline_gateway.http_errors import from_framework, in_stream, problem
from trunkline_kit.errors import (
    BudgetExceeded,
    InvalidRequest,
    Overloaded,
    TrunklineError,
    UpstreamUnavailable,
    error_classes,
)


@pytest.mark.parametrize("kind", [kind for kind in error_classes() if kind is not TrunklineError])
def test_every_error_has_one_shape(kind):
    found = problem(kind("what to do", param="p", retry_after_s=1.2))
    body = msgspec.json.decode(found.body)["error"]
    assert set(body) == {"message", "type", "param", "code"}
    assert (body["message"], body["param"], body["code"]) == ("what to do", "p", kind.reason)
    headers = dict(found.headers)
    assert headers[b"retry-after"] == b"2"
    assert headers[b"retry-after-ms"] == b"1200"
    assert int(headers[b"content-length"]) == len(found.body)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (InvalidRequest("x"), False),
        (Overloaded("x"), False),
        (UpstreamUnavailable("x"), True),
        (BudgetExceeded("x"), True),
    ],
)
def test_sdks_are_told_where_a_retry_cannot_help(error, said):
    assert (dict(problem(error).headers).get(b"x-should-retry") == b"false") is said


def test_framework_errors_are_ours():
    assert from_framework(NotFoundException(), "GET", "/x")[0].reason == "not_found"
    error, headers = from_framework(MethodNotAllowedException(headers={"allow": "POST"}), "GET", "/x")
    assert (error.reason, headers) == ("method_not_allowed", [(b"allow", b"POST")])
    assert from_framework(HTTPException(detail="odd", status_code=418), "GET", "/x")[0].http_status == 400
    assert "odd" not in from_framework(HTTPException(detail="odd", status_code=500), "GET", "/x")[0].message


def test_an_error_inside_a_stream_is_one_event():
    assert msgspec.json.decode(in_stream(Overloaded("busy")))["error"]["code"] == "overloaded"
