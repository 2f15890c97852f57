"""Trying one deployment after another, or two at once, within one deadline and one budget of attempts."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from trunkline_gateway.catalogue import Offer
from trunkline_gateway.fleet.deployments import Fleet
from trunkline_gateway.fleet.hedges import Hedges
from trunkline_gateway.fleet.meters import FAILED, LOST, WON
from trunkline_gateway.fleet.planning import Planned
from trunkline_gateway.fleet.racing import race
from trunkline_gateway.legs import Job, Leg, Legs, Trip
from trunkline_gateway.plan import Target
from trunkline_gateway.providers.base import AttemptFailed
from trunkline_gateway.telemetry import Meters
from trunkline_gateway.turn import Turn
from trunkline_kit.errors import DeadlineExceeded
from trunkline_kit.tracing import Tracing
from trunkline_policy.retries import Allowance, Rest, Try, next_try

NO_RETRY = ("x-should-retry", "false")
B = TypeVar("B")
R = TypeVar("R")
Start = Callable[[], Coroutine[Any, Any, Leg[B]]]


class Attempts:
    """Runs plans. Holds nothing of a request."""

    def __init__(self, tracing: Tracing, meters: Meters, fleet: Fleet, dice: random.Random) -> None:
        self._legs = Legs(tracing, meters, fleet)
        self._fleet = fleet
        self._hedges = Hedges(fleet)
        self._dice = dice

    async def run(self, turn: Turn, offer: Offer, plan: Planned, deadline_s: float, job: Job[B, R]) -> R:
        """What the first attempt that succeeds comes to. `deadline_s` is on the loop's clock.

        Raises what the last failed attempt said when nothing is left to try, DeadlineExceeded when time is up. Where
        nobody may be asked at all, what the one said that may be asked soonest.
        """
        trip = Trip(turn, offer, plan, deadline_s, job)
        failed: AttemptFailed | None = None
        while step := self._next(trip):
            if step.wait_s:
                await asyncio.sleep(step.wait_s)
            try:
                return await self._go(trip, step.place)
            except AttemptFailed as error:
                failed = error
        if failed is not None:
            if turn.attempts >= max(2, offer.retries.max_attempts):
                # A client's retries multiply with ours.
                failed.error.headers = (*failed.error.headers, NO_RETRY)
            raise failed.error from failed
        if asyncio.get_running_loop().time() >= deadline_s:
            raise DeadlineExceeded("the request's time was up before it could be sent to a provider")
        raise self._fleet.refusal(target.place for target in plan.chains.places)

    def _next(self, trip: Trip[B, R]) -> Try[Target] | None:
        if trip.turn.is_left:
            return None
        now_s, retries, offers = self._fleet.clock.monotonic_s(), trip.offer.retries, trip.plan.offers
        allowance = Allowance(
            attempts_max=retries.max_attempts,
            deadline_s=now_s + trip.deadline_s - asyncio.get_running_loop().time(),
            wait_s_max=retries.wait_s_max,
        )

        def rest_of(target: Target) -> Rest:
            rest = self._fleet.rest_of(target.place, now_s)
            if rest.tripped_s and not offers[target.model].watch.last_resort:
                return Rest(max(rest.told_s, rest.tripped_s))
            return rest

        return next_try(trip.plan.chains, trip.turn.failures, allowance, now_s, self._dice.random(), rest_of)

    async def _go(self, trip: Trip[B, R], target: Target) -> R:
        """One step of the plan. Raises AttemptFailed when it has failed, or both of its attempts have."""
        after_s = self._hedges.after_s(trip.offer, target) if trip.job.is_prompt(target) else None
        legs = [self._legs.add(trip, target)]
        try:
            if after_s is None:
                leg = await self._legs.begin(trip, legs[0])
            else:
                leg = await self._raced(trip, legs, after_s)
            return await self._finished(trip, leg)
        except AttemptFailed:
            raise
        except BaseException:
            for leg in legs:
                self._legs.leave(trip, leg)
            raise

    async def _finished(self, trip: Trip[B, R], leg: Leg[B]) -> R:
        if leg.begun is None:
            raise AssertionError("an attempt that has begun has something to show for it")
        trip.turn.flight = leg.flight
        try:
            return await trip.job.finish(trip.turn, leg.begun)
        except AttemptFailed as failed:
            trip.turn.flight, trip.turn.pieces = None, 0
            self._legs.fail(trip, leg, failed)
            raise

    async def _raced(self, trip: Trip[B, R], legs: list[Leg[B]], after_s: float) -> Leg[B]:
        """The first attempt, and after `after_s` a second one beside it, if it may be sent; the one that is faster."""
        offer, first = trip.offer, legs[0]

        def second() -> Start[B] | None:
            other = self._hedges.second(offer, trip.plan.chains, trip.turn, first.tried.target)
            if other is None:
                return None
            legs.append(self._legs.add(trip, other, is_hedge=True))
            return lambda: self._legs.begin(trip, legs[1])

        winner: Leg[B] | None = None
        try:
            winner = await race(lambda: self._legs.begin(trip, first), after_s, second)
        finally:
            if len(legs) > 1:
                result = FAILED if winner is None else WON if winner is legs[1] else LOST
                self._fleet.meters.hedged(offer.name, result)
        for leg in legs:
            if leg is not winner and not leg.is_over:
                self._legs.lose(trip, leg)
        trip.turn.answering, trip.turn.target = winner.number, winner.tried.target
        return winner
