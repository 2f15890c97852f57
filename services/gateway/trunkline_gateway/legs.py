"""One attempt: sent, timed, traced, counted, and told to everybody who keeps a record of it."""

import asyncio
from typing import Generic, Protocol, TypeVar

import msgspec
from opentelemetry.trace import SpanKind

from trunkline_gateway.catalogue import Offer
from trunkline_gateway.fleet.deployments import Fleet, Flight
from trunkline_gateway.fleet.planning import Planned
from trunkline_gateway.ledger.rows import HEDGE_LOST
from trunkline_gateway.plan import Failure, Target
from trunkline_gateway.providers.base import AttemptFailed, Terms
from trunkline_gateway.surface import OPERATIONS
from trunkline_gateway.telemetry import Meters, end_attempt_span
from trunkline_gateway.turn import Tried, Turn
from trunkline_kit.errors import DeadlineExceeded
from trunkline_kit.tracing import Tracing, traceparent_of
from trunkline_policy.faults import FailureKind

B = TypeVar("B")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Job(Protocol[B, R_co]):
    """What an attempt consists of. Both acts raise AttemptFailed where another attempt may do better."""

    def is_prompt(self, target: Target) -> bool:
        """Whether a first sign of life comes long before the end."""

    async def begin(self, target: Target, terms: Terms) -> B:
        """Up to the first sign of life. Two of these may be under way at once."""

    async def finish(self, turn: Turn, begun: B) -> R_co:
        """What is left to do after it."""

    def discard(self, begun: B) -> None:
        """Somebody else was faster."""


class Trip(Generic[B, R]):
    """One request on its way from attempt to attempt."""

    __slots__ = ("deadline_s", "job", "offer", "plan", "turn")

    def __init__(self, turn: Turn, offer: Offer, plan: Planned, deadline_s: float, job: Job[B, R]) -> None:
        self.turn = turn
        self.offer = offer
        self.plan = plan
        self.deadline_s = deadline_s
        """On the loop's clock."""
        self.job = job


class Leg(Generic[B]):
    """One attempt on its way."""

    __slots__ = ("begun", "flight", "is_over", "number", "tried")

    def __init__(self, tried: Tried, number: int, flight: Flight) -> None:
        self.tried = tried
        self.number = number
        """In `turn.tried`."""
        self.flight = flight
        self.begun: B | None = None
        self.is_over = False
        """It has failed, or was given up."""


class Legs:
    """Sends attempts. Holds nothing of a request."""

    def __init__(self, tracing: Tracing, meters: Meters, fleet: Fleet) -> None:
        self._tracing = tracing
        self._meters = meters
        self._fleet = fleet

    def add(self, trip: Trip[B, R], target: Target, *, is_hedge: bool = False) -> Leg[B]:
        """An attempt that is sent now."""
        turn = trip.turn
        tried = Tried(target=target, started_s=asyncio.get_running_loop().time(), is_hedge=is_hedge)
        turn.tried.append(tried)
        turn.target, turn.answering = target, -1
        return Leg(tried, len(turn.tried) - 1, self._fleet.send(target.place, trip.plan.offers[target.model].watch))

    async def begin(self, trip: Trip[B, R], leg: Leg[B]) -> Leg[B]:
        """Up to its first sign of life. Raises AttemptFailed, when everything about it is noted.

        Cancelled, it leaves that to whoever cancelled it.
        """
        tried, timeouts = leg.tried, trip.offer.timeouts
        is_prompt, left_s = trip.job.is_prompt(tried.target), trip.deadline_s - tried.started_s
        patience_s = min(left_s, timeouts.first_token_s) if is_prompt else left_s
        terms = Terms(connect_s=timeouts.connect_s, total_s=left_s, witness=tried)
        try:
            async with asyncio.timeout_at(tried.started_s + patience_s):
                leg.begun = await self._traced(trip, tried.target, terms)
        except TimeoutError:
            text = f"provider {tried.target.provider!r} did not answer within {patience_s:.3g} s"
            failed = AttemptFailed(FailureKind.SILENT, DeadlineExceeded(text))
        except AttemptFailed as error:
            failed = error
        else:
            tried.ended_s = asyncio.get_running_loop().time()
            leg.flight.answered(is_first_token=is_prompt)
            self._count(tried, "ok")
            return leg
        self.fail(trip, leg, failed)
        raise failed

    def fail(self, trip: Trip[B, R], leg: Leg[B], failed: AttemptFailed) -> None:
        """It is over, at its beginning or in the middle of its answer."""
        tried = leg.tried
        tried.is_wasted = leg.begun is not None or tried.owed is not None
        self._end(leg, failed.error.reason)
        trip.turn.failures.append(
            Failure(tried.target, failed.kind, self._fleet.clock.monotonic_s(), failed.error.retry_after_s)
        )
        leg.flight.failed(failed.kind, failed.error)
        leg.flight.landed()
        self._count(tried, failed.kind.value)

    def lose(self, trip: Trip[B, R], leg: Leg[B]) -> None:
        """Another one was faster. It was worked on, and is paid for."""
        # What it is at work on is charged for too, and nobody will say how much.
        leg.tried.is_wasted, leg.tried.owed = True, None
        self._end(leg, HEDGE_LOST)
        if leg.begun is None:
            leg.flight.given_up(outrun=True)
        else:
            trip.job.discard(leg.begun)
        leg.flight.landed()
        self._count(leg.tried, HEDGE_LOST)

    def leave(self, trip: Trip[B, R], leg: Leg[B]) -> None:
        """The request ends while it is under way: its caller has left, or is told what is wrong with the request."""
        if leg.is_over:
            return
        leg.is_over = True
        leg.tried.is_wasted = leg.tried is not trip.turn.final
        if leg.begun is None:
            leg.flight.given_up()
        else:
            trip.job.discard(leg.begun)
        leg.flight.landed()

    def _count(self, tried: Tried, result: str) -> None:
        """With what its provider has sent to other replicas before."""
        for _ in range(tried.resends):
            self._meters.attempt(tried.target.provider, FailureKind.BROKEN.value)
        self._meters.attempt(tried.target.provider, result)

    def _end(self, leg: Leg[B], reason: str) -> None:
        leg.is_over = True
        leg.tried.ended_s, leg.tried.failed = asyncio.get_running_loop().time(), reason

    async def _traced(self, trip: Trip[B, R], target: Target, terms: Terms) -> B:
        """Under a span of its own, whose context goes to the provider."""
        turn, begin = trip.turn, trip.job.begin
        if self._tracing.tracer is None:
            return await begin(target, _with(terms, turn.traceparent))
        span = self._tracing.start(f"{OPERATIONS[turn.surface]} {target.provider_model}", kind=SpanKind.CLIENT)
        try:
            with self._tracing.use(span):
                result = await begin(target, _with(terms, traceparent_of(span.get_span_context())))
        except BaseException as error:
            end_attempt_span(span, turn, target, error)
            raise
        end_attempt_span(span, turn, target, None)
        return result


def _with(terms: Terms, traceparent: str) -> Terms:
    if not traceparent:
        return terms
    return msgspec.structs.replace(terms, traceparent=traceparent)
