"""What is charged for. The rows and the limits that follow from it: test_entries, test_gate."""

import pytest

from trunkline_gateway.auth import Principal
from trunkline_gateway.plan import Target
from trunkline_gateway.prices.charges import is_charged, lasted_us, reported
from trunkline_gateway.surface import UNCHARGED, Surface
from trunkline_gateway.turn import Tried, Turn
from trunkline_gateway.usage import Usage
from trunkline_policy.costs import Tokens

TARGET = Target("m", "up", "x")


def tried(failed="", **more):
    return Tried(target=TARGET, started_s=0.0, failed=failed, **more)


def turn_of(attempts, **more):
    return Turn(
        surface=Surface.CHAT,
        principal=Principal(key_id="k"),
        request_id="r",
        traceparent="",
        started_s=0.0,
        tried=attempts,
        **more,
    )


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
    assert is_charged(turn_of(attempts, outcome=outcome)) is charged


@pytest.mark.parametrize("surface", sorted(UNCHARGED, key=str))
def test_what_is_free_is_never_charged_for(surface):
    turn = turn_of([tried()], outcome="ok")
    turn.surface = surface
    assert not is_charged(turn)


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        (None, None),
        (Usage(), None),
        (Usage(total_tokens=5), None),
        (Usage(prompt_tokens=0), Tokens()),
        (Usage(completion_tokens=3), Tokens(output=3)),
        (Usage(search_units=2), Tokens(searches=2)),
        (Usage(search_units=0), Tokens()),
        (Usage(search_units=-1), Tokens()),
        (Usage(prompt_tokens=5, search_units=2), Tokens(uncached_input=5, searches=2)),
    ],
)
def test_an_explicit_zero_is_a_report_and_nothing_is_none(usage, tokens):
    assert reported(usage) == tokens


@pytest.mark.parametrize(
    ("attempt", "stream", "lasted"),
    [
        (tried(ended_s=2.0), False, 2_000_000),
        (tried(ended_s=2.0), True, 5_000_000),
        (tried(), False, 5_000_000),
        (tried("timeout", ended_s=2.0), True, 2_000_000),
    ],
)
def test_a_stream_lasts_to_its_end_and_a_whole_answer_until_it_is_there(attempt, stream, lasted):
    assert lasted_us(turn_of([attempt], stream=stream), attempt, 5.0) == lasted


def test_of_two_attempts_only_the_last_lasts_to_the_end():
    first, last = tried("timeout", ended_s=1.0), tried(ended_s=2.0)
    turn = turn_of([first, last], stream=True)
    assert (lasted_us(turn, first, 5.0), lasted_us(turn, last, 5.0)) == (1_000_000, 5_000_000)


def test_no_attempt_lasts_less_than_nothing():
    early = tried(ended_s=-1.0)
    assert lasted_us(turn_of([early]), early, 0.0) == 0
