"""What is charged for. The rows and the limits that follow from it: test_entries, test_gate."""

import pytest

from trunkline_gateway.auth import Principal
from trunkline_gateway.plan import Target
from trunkline_gateway.prices.charges import is_charged, reported
from trunkline_gateway.surface import Surface
from trunkline_gateway.turn import Tried, Turn
from trunkline_gateway.usage import Usage
from trunkline_policy.costs import Tokens

TARGET = Target("m", "up", "x")


def tried(failed=""):
    return Tried(target=TARGET, started_s=0.0, failed=failed)


@pytest.mark.parametrize(
    ("outcome", "attempts", "charged"),
    [
        ("ok", [tried()], True),
        ("ok", [tried("timeout"), tried()], True),
        ("broken", [tried()], True),
        ("cancelled", [tried()], True),
        ("cancelled", [tried("timeout")], False),
        ("cancelled", [], False),
        ("cached", [], False),
        ("upstream_refused", [tried()], False),
        ("invalid_request", [tried()], False),
        ("timeout", [tried("timeout")], False),
    ],
)
def test_only_an_attempt_that_was_taken_on_is_charged_for(outcome, attempts, charged):
    turn = Turn(
        surface=Surface.CHAT,
        principal=Principal(key_id="k"),
        request_id="r",
        traceparent="",
        started_s=0.0,
        outcome=outcome,
        tried=attempts,
    )
    assert is_charged(turn) is charged


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        (None, None),
        (Usage(), None),
        (Usage(total_tokens=5), None),
        (Usage(prompt_tokens=0), Tokens()),
        (Usage(completion_tokens=3), Tokens(output=3)),
    ],
)
def test_an_explicit_zero_is_a_report_and_nothing_is_none(usage, tokens):
    assert reported(usage) == tokens
