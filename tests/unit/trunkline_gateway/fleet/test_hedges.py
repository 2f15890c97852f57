"""When, where to, and how often a second attempt is sent."""

import pytest
from prometheus_client import CollectorRegistry

from trunkline_gateway.auth import Principal
from trunkline_gateway.catalogue import Offer
from trunkline_gateway.fleet.deployments import Fleet, Watch
from trunkline_gateway.fleet.hedges import Hedges
from trunkline_gateway.fleet.meters import FleetMeters
from trunkline_gateway.plan import Target
from trunkline_gateway.surface import Surface
from trunkline_gateway.turn import Tried, Turn
from trunkline_kit.clock import ManualClock
from trunkline_kit.errors import UpstreamRateLimited
from trunkline_kit.settings import Hedge, Retries, Timeouts
from trunkline_policy.faults import FailureKind
from trunkline_policy.hedging import SAMPLES_MIN
from trunkline_policy.retries import Chains

A, B, OTHER = Target("m", "a", "x"), Target("m", "b", "x"), Target("n", "a", "y")
CHAINS = Chains(places=(A, B, OTHER))


def offer(ratio=1.0, max_attempts=3):
    return Offer(
        name="m",
        targets=(A, B),
        fallbacks=(),
        timeouts=Timeouts(),
        retries=Retries(max_attempts=max_attempts),
        hedge=Hedge(after_quantile=0.9, max_extra_ratio=ratio),
    )


def turn(*targets):
    tried = [Tried(target=target, started_s=0.0) for target in targets]
    return Turn(
        surface=Surface.CHAT,
        principal=Principal(key_id="k"),
        request_id="r",
        traceparent="",
        started_s=0.0,
        tried=tried,
    )


@pytest.fixture
def fleet():
    return Fleet(ManualClock(), FleetMeters(CollectorRegistry()))


@pytest.fixture
def hedges(fleet):
    for number in range(SAMPLES_MIN):
        fleet.of(A.place).times.add(number / 10)
    return Hedges(fleet)


def test_it_waits_for_as_long_as_is_usual_and_only_for_the_model_that_was_asked_for(hedges):
    assert hedges.after_s(offer(), A) == 1.7
    assert hedges.after_s(offer(), B) is None, "nobody knows what is usual there"
    assert hedges.after_s(offer(), OTHER) is None


def test_it_goes_to_another_deployment_of_the_model_else_to_the_same_one(hedges, fleet):
    hedges.after_s(offer(), A)
    assert hedges.second(offer(), CHAINS, turn(A), A) == B
    hedges.after_s(offer(), A)
    assert hedges.second(offer(), CHAINS, turn(B, A), A) == A
    fleet.send(B.place, Watch()).failed(FailureKind.LIMITED, UpstreamRateLimited("full"))
    hedges.after_s(offer(), A)
    assert hedges.second(offer(), CHAINS, turn(A), A) == A


def test_nothing_more_is_sent_for_a_caller_who_has_left(hedges):
    hedges.after_s(offer(), A)
    left = turn(A)
    left.is_left = True
    assert hedges.second(offer(), CHAINS, left, A) is None
    assert hedges.second(offer(), CHAINS, turn(A), A) == B, "it cost nothing"


def test_attempts_and_extra_requests_are_bounded(hedges):
    hedges.after_s(offer(), A)
    assert hedges.second(offer(max_attempts=1), CHAINS, turn(A), A) is None
    assert hedges.second(offer(), CHAINS, turn(A), A) == B
    assert hedges.second(offer(), CHAINS, turn(A), A) is None, "one request earns one extra request"
