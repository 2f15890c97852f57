"""Errors over HTTP and gRPC: nothing of them is lost on the way."""

from grpc import StatusCode
from hypothesis import given
from hypothesis import strategies as st

from trunkline_kit import errors
from trunkline_kit.error_shapes import from_grpc_status, grpc_status, openai_body
from trunkline_kit.errors import RateLimited, error_classes

CLASSES = [cls for cls in error_classes() if cls.__module__ == errors.__name__]


def test_openai_body_carries_message_type_param_and_code():
    body = openai_body(errors.InvalidRequest("temperature must be at most 2", param="temperature"))
    assert body.error.message == "temperature must be at most 2"
    assert (body.error.type, body.error.param, body.error.code) == (
        "invalid_request_error",
        "temperature",
        "invalid_request",
    )


@given(st.sampled_from(CLASSES), st.text(), st.none() | st.text(), st.none() | st.integers(0, 10**6))
def test_an_error_survives_the_way_over_grpc(cls, message, param, retry_after_ms):
    retry_after_s = None if retry_after_ms is None else retry_after_ms / 1000
    status = grpc_status(cls(message, param=param, retry_after_s=retry_after_s))
    trailing = dict(status.trailing_metadata)
    back = from_grpc_status(
        status.code,
        status.details,
        reason=trailing["trunkline-reason"],
        param=trailing.get("trunkline-param"),
        retry_after_s=int(trailing["retry-after-ms"]) / 1000 if "retry-after-ms" in trailing else None,
    )
    assert (back.reason, back.message, back.param, back.retry_after_s) == (cls.reason, message, param, retry_after_s)
    assert back.http_status == cls.http_status


def test_a_status_that_is_not_ours_becomes_the_nearest_class():
    assert isinstance(from_grpc_status(StatusCode.UNAVAILABLE, "gone"), errors.Unavailable)
    assert isinstance(from_grpc_status(StatusCode.DATA_LOSS, "?"), errors.Internal)
    assert RateLimited("later", retry_after_s=2).retryable
