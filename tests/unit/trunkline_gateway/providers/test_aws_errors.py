import json

import pytest

from trunkline_gateway.plan import FailureKind
from trunkline_gateway.providers.aws_errors import kind_at_amazon
from trunkline_gateway.providers.base import AttemptFailed
from trunkline_gateway.providers.statuses import judge
from trunkline_kit.errors import ContextTooLong, UpstreamRefused

NOW_S = 1_700_000_000.0


def judged(status, name, message="the canonical request has AKID and a token"):
    headers = {"x-amzn-errortype": f"{name}:http://internal.amazon.com/coral/"}
    return judge("aws", status, headers, json.dumps({"message": message}).encode(), NOW_S)


@pytest.mark.parametrize(
    ("status", "name", "kind", "shown"),
    [
        (429, "ThrottlingException", FailureKind.LIMITED, 429),
        (400, "ThrottlingException", FailureKind.LIMITED, 429),
        (400, "ServiceQuotaExceededException", FailureKind.LIMITED, 429),
        (429, "ModelNotReadyException", FailureKind.BROKEN, 502),
        (408, "ModelTimeoutException", FailureKind.SILENT, 502),
        (403, "AccessDeniedException", FailureKind.UNFIT, 502),
        (403, "UnrecognizedClientException", FailureKind.ACCOUNT, 502),
        (403, "InvalidSignatureException", FailureKind.ACCOUNT, 502),
        (403, "ExpiredTokenException", FailureKind.ACCOUNT, 502),
        (404, "ResourceNotFoundException", FailureKind.UNFIT, 502),
        (424, "ModelErrorException", FailureKind.BROKEN, 502),
        (500, "InternalServerException", FailureKind.BROKEN, 502),
        (503, "ServiceUnavailableException", FailureKind.BROKEN, 502),
    ],
)
def test_what_each_word_means(status, name, kind, shown):
    found = judged(status, name)
    assert isinstance(found, AttemptFailed)
    assert (found.kind, found.error.http_status) == (kind, shown)
    assert "AKID" not in found.error.message
    assert "credit" not in found.error.message


@pytest.mark.parametrize(
    "message",
    ["Input is too long for requested model.", "The model returned the following errors: prompt is too long: 9 > 8"],
)
def test_a_prompt_that_is_too_long_is_the_models(message):
    found = judged(400, "ValidationException", message)
    assert isinstance(found, AttemptFailed)
    assert (found.kind, type(found.error)) == (FailureKind.CONTEXT, ContextTooLong)


def test_what_is_not_valid_is_the_callers():
    found = judged(400, "ValidationException", "toolConfig is missing")
    assert isinstance(found, UpstreamRefused)
    assert found.message == "toolConfig is missing"


def test_other_words_leave_it_to_the_status():
    assert kind_at_amazon("") is None
    assert kind_at_amazon("NewException") is None
