"""One deadline and one budget over all attempts, hedges included; everybody who keeps a record hears of each."""

import asyncio
from random import Random

import pytest
from prometheus_client import CollectorRegistry

from trunkline_gateway.attempts import Attempts
from trunkline_gateway.auth import Principal
from trunkline_gateway.catalogue import Offer
from trunkline_gateway.fleet.deployments import Fleet, watch_of
from trunkline_gateway.fleet.meters import FleetMeters
from trunkline_gateway.fleet.planning import Planned
from trunkline_gateway.ledger.rows import HEDGE_LOST
from trunkline_gateway.plan import FailureKind, Target
from trunkline_gateway.providers.base import AttemptFailed
from trunkline_gateway.surface import Surface
from trunkline_gateway.telemetry import Meters
from trunkline_gateway.turn import Turn
from trunkline_gateway.usage import usage_of
from trunkline_kit.clock import ManualClock
from trunkline_kit.errors import (
    ContextTooLong,
    DeadlineExceeded,
    InvalidRequest,
    UpstreamRateLimited,
    UpstreamUnavailable,
)
from trunkline_kit.settings import Breaker, Hedge, Retries, Timeouts
from trunkline_kit.tracing import Tracing
from trunkline_policy.hedging import SAMPLES_MIN
from trunkline_policy.retries import Chains

A, B, BIG = Target("m", "a", "x"), Target("m", "b", "x"), Target("big", "a", "y")
BROKEN = AttemptFailed(FailureKind.BROKEN, UpstreamUnavailable("broken"))
NEVER = "never"


def offer(max_attempts=3, hedge=None, breaker=None, name="m", **timeouts):
    return Offer(
        name=name,
        targets=(A, B) if name == "m" else (BIG,),
        fallbacks=(),
        timeouts=Timeouts(**timeouts),
        retries=Retries(max_attempts=max_attempts, wait_s_max=30.0),
        hedge=hedge,
        watch=watch_of(breaker or Breaker(), (A.place, B.place), 60.0),
    )


def turn(stream=True):
    return Turn(
        surface=Surface.CHAT,
        principal=Principal(key_id="k"),
        request_id="r",
        traceparent="",
        started_s=0.0,
        stream=stream,
    )


class Script:
    """Attempts with given results, in the order they are asked for; knows who was asked, and what was discarded."""

    def __init__(self, *results, endings=()):
        self._results = list(results)
        self._endings = list(endings)
        self.asked = []
        self.discarded = []
        self.cancelled = []
        self.go = asyncio.Event()

    def is_prompt(self, target):
        return True

    async def begin(self, target, terms):
        self.asked.append(target)
        result = self._results.pop(0)
        try:
            if result is NEVER:
                await asyncio.Event().wait()
            if isinstance(result, tuple):
                await self.go.wait()
                result = result[0]
        except asyncio.CancelledError:
            self.cancelled.append(target)
            raise
        if isinstance(result, Exception):
            raise result
        return result

    async def finish(self, made, begun):
        ending = self._endings.pop(0) if self._endings else begun
        if isinstance(ending, Exception):
            raise ending
        if ending is NEVER:
            await asyncio.Event().wait()
        return ending

    def discard(self, begun):
        self.discarded.append(begun)


class Bench:
    def __init__(self):
        self.registry = CollectorRegistry()
        self.clock = ManualClock(1000.0)
        self.fleet = Fleet(self.clock, FleetMeters(self.registry))
        self.attempts = Attempts(Tracing(), Meters(self.registry), self.fleet, Random(1))

    async def run(self, script, given, made, in_s=5.0, chains=Chains(places=(A, B))):  # noqa: B008 - frozen
        plan = Planned(chains, {"m": given, "big": offer(name="big")})
        return await self.attempts.run(made, given, plan, asyncio.get_running_loop().time() + in_s, script)

    def usual(self, took_s=0.0):
        """The first token of A always takes that long."""
        for _ in range(SAMPLES_MIN):
            self.fleet.of(A.place).times.add(took_s)

    def count(self, name, **labels):
        return self.registry.get_sample_value(name, labels)


@pytest.fixture
def bench():
    return Bench()


async def test_the_first_success_is_the_answer(bench):
    script, made = Script(BROKEN, "yes"), turn()
    assert await bench.run(script, offer(), made) == "yes"
    assert script.asked == [A, B]
    assert (made.target, made.attempts, made.final.target) == (B, 2, B)
    assert made.history == "a/x;upstream_unavailable;0ms, b/x;ok;0ms"


async def test_the_last_failure_is_told_when_the_budget_is_spent(bench):
    with pytest.raises(UpstreamUnavailable, match="broken"):
        await bench.run(Script(BROKEN, BROKEN), offer(max_attempts=2), turn())


async def test_what_the_caller_must_hear_ends_it_at_once(bench):
    script = Script(InvalidRequest("wrong"))
    with pytest.raises(InvalidRequest):
        await bench.run(script, offer(), turn())
    assert script.asked == [A]
    assert bench.fleet.of(A.place).in_flight == 0


async def test_silence_before_the_first_token_goes_to_the_next(bench):
    assert await bench.run(Script(NEVER, "yes"), offer(first_token_s=0.01), turn()) == "yes"


async def test_nothing_outlives_the_deadline(bench):
    script = Script(NEVER)
    with pytest.raises(DeadlineExceeded):
        await bench.run(script, offer(first_token_s=5), turn(), in_s=0.01)
    assert script.asked == [A]


async def test_a_pause_that_would_miss_the_deadline_is_not_begun(bench):
    limited = AttemptFailed(FailureKind.LIMITED, UpstreamRateLimited("slow down", retry_after_s=9.0))
    script = Script(limited, limited)
    with pytest.raises(UpstreamRateLimited):
        await bench.run(script, offer(max_attempts=9), turn())
    assert script.asked == [A, B]


async def test_a_model_that_is_too_short_leads_to_a_longer_one(bench):
    script = Script(AttemptFailed(FailureKind.CONTEXT, ContextTooLong("too long")), "yes")
    chains = Chains(places=(A, B), on_context=(BIG,))
    assert await bench.run(script, offer(), turn(), chains=chains) == "yes"
    assert script.asked == [A, BIG]


async def test_nobody_is_asked_who_wants_to_be_left_alone_for_longer_than_is_waited(bench):
    for target in (A, B):
        flight = bench.fleet.send(target.place, offer().watch)
        flight.failed(FailureKind.LIMITED, UpstreamRateLimited("slow down", retry_after_s=60.0))
    script = Script()
    with pytest.raises(UpstreamRateLimited) as caught:
        await bench.run(script, offer(), turn(), in_s=500.0)
    assert caught.value.retry_after_s == 60.0
    assert not script.asked


@pytest.mark.parametrize(("last_resort", "asked"), [(True, [A, B]), (False, [])])
async def test_open_breakers_are_the_last_resort_once_each_or_never(bench, last_resort, asked):
    given = offer(breaker=Breaker(failures=1, open_s=60.0, last_resort=last_resort, outliers=False), max_attempts=9)
    with pytest.raises(UpstreamUnavailable):
        await bench.run(Script(BROKEN, BROKEN), given, turn())
    script = Script(BROKEN, BROKEN)
    with pytest.raises(UpstreamUnavailable):
        await bench.run(script, given, turn())
    assert script.asked == asked


async def test_an_answer_that_breaks_before_anybody_got_it_is_wasted_and_tried_elsewhere(bench):
    script, made = Script("half", "yes", endings=[BROKEN]), turn(stream=False)
    assert await bench.run(script, offer(), made) == "yes"
    assert [tried.is_wasted for tried in made.tried] == [True, False]
    assert made.flight is not None
    assert bench.fleet.of(A.place).in_flight == 0


class Owing(Script):
    """Some of each attempt is billed before it ends."""

    async def begin(self, target, terms):
        terms.witness.billed(usage_of(96, 0))
        return await super().begin(target, terms)


async def test_what_was_billed_before_a_failure_is_wasted(bench):
    made = turn(stream=False)
    assert await bench.run(Owing(BROKEN, "yes"), offer(), made) == "yes"
    assert [tried.is_wasted for tried in made.tried] == [True, False]
    assert made.tried[0].owed.input_tokens == 96
    made = turn(stream=False)
    assert await bench.run(Script(BROKEN, "yes"), offer(), made) == "yes"
    assert [tried.is_wasted for tried in made.tried] == [False, False]


HEDGED = Hedge(after_quantile=0.5, max_extra_ratio=1.0)


async def test_a_slow_first_one_gets_a_second_beside_it_and_loses(bench):
    bench.usual()
    script, made = Script(NEVER, "yes"), turn()
    assert await bench.run(script, offer(hedge=HEDGED), made) == "yes"
    assert script.asked == [A, B]
    assert script.cancelled == [A]
    assert (made.target, made.final.target, made.final.is_hedge) == (B, B, True)
    assert (made.tried[0].failed, made.tried[0].is_wasted) == (HEDGE_LOST, True)
    assert bench.fleet.of(A.place).in_flight == 0
    assert bench.count("trunkline_gateway_hedges_total", model="m", result="won") == 1


async def test_the_first_one_may_win_all_the_same(bench):
    bench.usual()
    script, made = Script(("yes",), NEVER), turn()
    task = asyncio.ensure_future(bench.run(script, offer(hedge=HEDGED), made))
    while len(script.asked) < 2:  # noqa: ASYNC110 - the second is sent by no event of ours
        await asyncio.sleep(0)
    script.go.set()
    assert await task == "yes"
    assert (made.target, made.final.target, made.attempts) == (A, A, 2)
    assert (made.tried[1].failed, made.tried[1].is_hedge) == (HEDGE_LOST, True)
    assert bench.count("trunkline_gateway_hedges_total", model="m", result="lost") == 1


async def test_both_may_fail_and_count_as_two_attempts(bench):
    bench.usual()
    script, made = Script((BROKEN,), (BROKEN,), "yes"), turn()
    script.go.set()
    with pytest.raises(UpstreamUnavailable):
        await bench.run(script, offer(hedge=HEDGED, max_attempts=2), made)
    assert len(made.failures) == made.attempts == 2


async def test_hedges_need_a_usual_time_attempts_left_and_a_budget(bench):
    given = offer(hedge=HEDGED, first_token_s=0.01, max_attempts=1)
    for prepare in (lambda: None, bench.usual):
        prepare()
        with pytest.raises(DeadlineExceeded):
            await bench.run(Script(NEVER), given, turn())
    poor = offer(hedge=Hedge(after_quantile=0.5, max_extra_ratio=0.25), first_token_s=0.01)
    fresh = Bench()
    fresh.usual()
    made = turn()
    assert await fresh.run(Script(NEVER, "yes"), poor, made) == "yes"
    assert [tried.is_hedge for tried in made.tried] == [False, False]
    assert fresh.count("trunkline_gateway_hedges_total", model="m", result="over_budget") == 1


async def test_a_caller_who_leaves_in_a_race_ends_both(bench):
    bench.usual()
    script, made = Script(NEVER, NEVER), turn()
    task = asyncio.ensure_future(bench.run(script, offer(hedge=HEDGED), made))
    while len(script.asked) < 2:  # noqa: ASYNC110 - the second is sent by no event of ours
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(target.provider for target in script.cancelled) == ["a", "b"]
    assert [tried.is_wasted for tried in made.tried] == [True, False]
    assert bench.fleet.of(A.place).in_flight == bench.fleet.of(B.place).in_flight == 0


async def test_a_caller_who_leaves_in_the_middle_frees_the_deployment(bench):
    script, made = Script("half", endings=[NEVER]), turn(stream=False)
    task = asyncio.ensure_future(bench.run(script, offer(), made))
    while made.flight is None:  # noqa: ASYNC110 - set by no event of ours
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert script.discarded == ["half"]
    assert bench.fleet.of(A.place).in_flight == 0
