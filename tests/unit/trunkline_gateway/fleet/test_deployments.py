"""What is remembered of deployments, and what follows from it."""

import weakref

import pytest
from prometheus_client import CollectorRegistry

from trunkline_gateway.fleet.deployments import ACCOUNT_S, LIMITED_S, Fleet, Watch, watch_of
from trunkline_gateway.fleet.meters import FleetMeters
from trunkline_kit.clock import ManualClock
from trunkline_kit.errors import UpstreamError, UpstreamRateLimited, UpstreamUnavailable
from trunkline_kit.settings import Breaker
from trunkline_policy import breakers, outliers
from trunkline_policy.breakers import Phase
from trunkline_policy.faults import FailureKind

A, B, OTHER = ("up", "x"), ("spare", "x"), ("up", "y")
WATCH = watch_of(Breaker(failures=2, open_s=5.0), (A,), probe_s=10.0)
PAIR = Watch(breaker=breakers.Terms(failures=100), outlier=outliers.Terms(volume_min=5), peers=(A, B))
DOWN = UpstreamUnavailable("provider 'up' is down")


class Bench:
    """A fleet with a clock in hand."""

    def __init__(self):
        self.registry = CollectorRegistry()
        self.clock = ManualClock(1000.0)
        self.fleet = Fleet(self.clock, FleetMeters(self.registry))

    def rest(self, place=A):
        found = self.fleet.rest_of(place, self.clock.monotonic_s())
        now_s = self.clock.monotonic_s()
        return tuple(max(0.0, until_s - now_s) for until_s in (found.told_s, found.tripped_s))

    def fail(self, times=1, kind=FailureKind.BROKEN, error=DOWN, place=A, watch=WATCH):
        for _ in range(times):
            flight = self.fleet.send(place, watch)
            flight.failed(kind, error)
            flight.landed()

    def work(self, times=1, place=A, watch=WATCH, took_s=0.0):
        for _ in range(times):
            flight = self.fleet.send(place, watch)
            self.clock.advance(took_s)
            flight.answered(is_first_token=True)
            flight.landed(complete=True)

    def metric(self, name, **labels):
        return self.registry.get_sample_value(name, labels)


@pytest.fixture
def bench():
    return Bench()


def test_an_unknown_deployment_is_awake(bench):
    assert bench.rest() == (0.0, 0.0)


def test_failures_in_a_row_open_the_breaker_and_one_probe_closes_it(bench):
    bench.fail(2)
    assert bench.rest() == (0.0, 5.0)
    assert bench.metric("trunkline_gateway_breaker_openings_total", provider="up", model="x", cause="failures") == 1
    bench.clock.advance(5.0)
    probe = bench.fleet.send(A, WATCH)
    assert bench.rest() == (0.0, 10.0)
    probe.answered(is_first_token=True)
    assert bench.rest() == (0.0, 0.0)


def test_a_probe_whose_caller_leaves_makes_room_for_another(bench):
    bench.fail(2)
    bench.clock.advance(5.0)
    bench.fleet.send(A, WATCH).given_up()
    assert bench.rest() == (0.0, 0.0)


@pytest.mark.parametrize(("asked_s", "wait_s"), [(7.0, 7.0), (None, LIMITED_S)])
def test_one_over_its_rate_is_left_alone_for_as_long_as_it_says(bench, asked_s, wait_s):
    bench.fail(kind=FailureKind.LIMITED, error=UpstreamRateLimited("slow down", retry_after_s=asked_s))
    assert bench.rest() == (wait_s, 0.0)
    assert bench.rest(OTHER) == (0.0, 0.0)
    refused = bench.fleet.refusal([A])
    assert isinstance(refused, UpstreamRateLimited)
    assert refused.retry_after_s == wait_s


def test_an_account_without_credit_rests_all_its_models_but_trips_none(bench):
    bench.fail(9, FailureKind.ACCOUNT, UpstreamError("no credit left"))
    assert bench.rest(A) == bench.rest(OTHER) == (ACCOUNT_S, 0.0)
    assert bench.rest(B) == (0.0, 0.0)
    assert "no credit left" in bench.fleet.refusal([A, OTHER]).message
    bench.clock.advance(ACCOUNT_S)
    assert bench.rest() == (0.0, 0.0)


@pytest.mark.parametrize("kind", [FailureKind.UNFIT, FailureKind.CONTEXT, FailureKind.POLICY])
def test_what_is_wrong_with_the_request_does_not_count(bench, kind):
    bench.fail(9, kind, UpstreamError("not for this one"))
    assert bench.rest() == (0.0, 0.0)


def test_a_longer_rest_is_not_shortened(bench):
    for asked_s in (30.0, 3.0):
        bench.fail(kind=FailureKind.LIMITED, error=UpstreamRateLimited("slow down", retry_after_s=asked_s))
    assert bench.rest()[0] == 30.0


def test_the_caller_is_told_of_the_one_that_is_soonest_asked_again(bench):
    bench.fail(kind=FailureKind.LIMITED, error=UpstreamRateLimited("a is busy", retry_after_s=30.0))
    bench.fail(kind=FailureKind.LIMITED, error=UpstreamRateLimited("b is busy", retry_after_s=3.0), place=B)
    refused = bench.fleet.refusal([A, B])
    assert refused.message.startswith("b is busy")
    assert refused.retry_after_s == 3.0


@pytest.mark.parametrize("kind", [FailureKind.BROKEN, FailureKind.LIMITED, FailureKind.ACCOUNT])
def test_of_a_failure_no_more_is_kept_than_what_is_said_of_it(bench, kind):
    error = UpstreamUnavailable("provider 'up' is down")
    kept = weakref.ref(error)
    bench.fail(2, kind, error)
    del error
    assert kept() is None, "and with it every frame of its traceback, a caller's request in them"
    assert bench.fleet.refusal([A]).message.startswith("provider 'up' is down; not asked again for")


def test_requests_under_way_are_counted_until_they_land_once(bench):
    flights = [bench.fleet.send(A, WATCH) for _ in range(3)]
    assert bench.metric("trunkline_gateway_deployment_requests", provider="up", model="x") == 3
    for flight in flights:
        flight.landed()
        flight.landed()
    assert bench.fleet.of(A).in_flight == 0


def test_what_a_request_takes_is_learned_from_complete_ones(bench):
    bench.work(took_s=2.0)
    bench.work(took_s=4.0)
    assert bench.fleet.of(A).usual_s == pytest.approx(2.2)


def test_one_that_fails_more_than_the_others_is_put_out_but_never_the_last(bench):
    bench.work(20, B, PAIR)
    bench.work(10, A, PAIR)
    bench.fail(10, watch=PAIR)
    assert bench.fleet.of(A).breaker.phase(bench.clock.monotonic_s()) is Phase.OPEN
    assert bench.metric("trunkline_gateway_breaker_openings_total", provider="up", model="x", cause="outlier") == 1
    bench.fail(40, place=B, watch=PAIR)
    assert bench.fleet.of(B).breaker.phase(bench.clock.monotonic_s()) is Phase.CLOSED


def test_one_that_became_slow_is_put_out(bench):
    def together(seconds_of_a):
        flights = [(bench.fleet.send(place, PAIR), place) for place in (A, B) for _ in range(10)]
        for took_s, place in sorted([(0.3, B), (seconds_of_a, A)]):
            bench.clock.advance(took_s)
            for flight in [flight for flight, where in flights if where == place]:
                flight.answered(is_first_token=True)
                flight.landed(complete=True)

    for _ in range(5):
        together(0.2)
    assert bench.fleet.of(A).breaker.openings == 0
    together(6.0)
    assert bench.fleet.of(A).breaker.phase(bench.clock.monotonic_s()) is Phase.OPEN


def test_first_token_times_are_learned_also_from_those_that_were_outrun_or_silent(bench):
    bench.work(took_s=1.0)
    slow = bench.fleet.send(A, WATCH)
    bench.clock.advance(3.0)
    slow.given_up(outrun=True)
    left = bench.fleet.send(A, WATCH)
    left.given_up()
    bench.fail(kind=FailureKind.SILENT)
    assert len(bench.fleet.of(A).times) == 3


def test_a_changed_configuration_keeps_what_is_known_of_the_rest(bench):
    bench.fail(2)
    bench.fail(2, place=B)
    bench.fleet.keep([A])
    assert bench.rest(A)[1] == 5.0
    assert bench.rest(B) == (0.0, 0.0)
    bench.fleet.forget("up")
    assert bench.rest(A) == (0.0, 0.0)


def test_every_state_is_a_series(bench):
    bench.fail(2)
    values = {
        phase: bench.metric("trunkline_gateway_breaker_state", provider="up", model="x", state=phase.value)
        for phase in Phase
    }
    assert values == {Phase.CLOSED: 0.0, Phase.OPEN: 1.0, Phase.HALF_OPEN: 0.0}
