"""One request on its way: to a replica, and to another one as long as nothing of its answer has been given away.

With `resume` an answer goes on elsewhere even then: the next replica reads what was said and says what comes after it.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc

from trunkline.worker.v1 import worker_service_pb2 as pb
from trunkline_gateway.providers.base import AttemptFailed, Terms
from trunkline_gateway.replicas.pool import ReplicaPool
from trunkline_gateway.replicas.replica import Flight, Replica, Wanted
from trunkline_kit.errors import Cancelled, Conflict, DeadlineExceeded, Internal, Overloaded, Unavailable, UpstreamError
from trunkline_kit.rpc import from_rpc_error
from trunkline_policy.faults import FailureKind

RESENDS_MAX = 3
LEAST_S = 0.05
"""With less time left than this nothing is sent any more."""
FAILED, FULL, SILENT, GAVE_UP = "failed", "full", "silent", "gave_up"
OTHER_MODEL = "other_model"
"""Not the one that began the answer, as while a new one is rolled out."""

EOF: Any = grpc.aio.EOF  # type: ignore[attr-defined]  # missing in the stubs
ANEW = object()
"""Read in a step's place by who wants whole answers: what came before is void, it begins again elsewhere."""


class Route:
    """Where one request is and where it has been."""

    def __init__(
        self, pool: ReplicaPool, wanted: Wanted, terms: Terms, *, restarts: bool = False, resumes: bool = False
    ) -> None:
        self.pool = pool
        self.restarts = restarts
        """Whether the request may begin again though it has said something."""
        self.resumes = resumes
        """Whether it may go on from there."""
        self.wanted = wanted
        self._terms = terms
        self._until_s = asyncio.get_running_loop().time() + terms.total_s
        self._tried: list[Replica] = []

    @property
    def left_s(self) -> float:
        return self._until_s - asyncio.get_running_loop().time()

    async def opened(self) -> None:
        """Until it is known where it could go. Raises AttemptFailed."""
        await self.pool.ready(min(self._terms.connect_s, self.left_s))

    def next(self) -> Flight:
        """Raises AttemptFailed."""
        flight = self.pool.pick(self.wanted, self._tried, stays_movable=self.restarts)
        self._tried.append(flight.replica)
        return flight

    def elsewhere(self, cause: str) -> Flight | None:
        """After a failure: the next replica, None where there is none, or no time, or it was tried often enough."""
        if len(self._tried) > RESENDS_MAX or self.left_s < LEAST_S:
            return None
        try:
            flight = self.next()
        except AttemptFailed:
            return None
        self.pool.meters.resent(self.pool.place, cause)
        self._terms.witness.resent()
        return flight

    def blame(self, flight: Flight, error: grpc.aio.AioRpcError) -> str:
        """Note how a call failed. Why another replica may do better; empty where none would."""
        found = from_rpc_error(error)
        if isinstance(found, Overloaded):
            flight.over(complete=False)
            return FULL
        if isinstance(found, Conflict):
            flight.over(complete=False)
            return OTHER_MODEL
        # We did not cancel it: a worker whose grace is over did.
        if isinstance(found, (Unavailable, UpstreamError, Internal, Cancelled)):
            flight.failed()
            self.pool.judge(flight.replica)
            return FAILED
        if isinstance(found, DeadlineExceeded) and self.left_s > LEAST_S:
            # The worker sees that it cannot be in time; another one may be less busy.
            flight.over(complete=False)
            return FULL
        flight.over(complete=False)
        return ""


async def ask(route: Route, call: Callable[[Any, float], Any]) -> Any:
    """One answer from one replica, or from the next. Raises what the last one said."""
    await route.opened()
    flight: Flight | None = route.next()
    while flight is not None:
        try:
            flight.call = call(flight.replica.stub, max(LEAST_S, route.left_s))
            reply = await flight.call
        except grpc.aio.AioRpcError as error:
            cause = route.blame(flight, error)
            flight = route.elsewhere(cause) if cause else None
            if flight is None:
                raise
        except asyncio.CancelledError:
            if not was_revoked(flight):
                flight.over(complete=False)
                raise
            flight = route.elsewhere(SILENT)
        else:
            flight.begun()
            flight.over(complete=True)
            return reply
    raise silent()


class Sent:
    """A generation. Reads like a call; dropping or cancelling it frees the worker's slot."""

    def __init__(self, route: Route, request: pb.GenerateRequest) -> None:
        self._route = route
        self._request = request
        self._said = False
        self._begun = pb.Begun()
        """What has been said, if it may go on from there: of one answer, made by a known model."""
        self._owed = ""
        """The revision that a replica which is to go on has still to name: one that cannot would say all again."""
        self._begin(route.next())

    async def read(self) -> Any:
        """The next step, EOF, or ANEW. Raises AioRpcError, AttemptFailed."""
        while (step := await self._step()) is ANEW:
            if self._said and not self._begun.token_ids:
                self._said = False
                return ANEW
        return step

    def cancel(self) -> None:
        self._flight.over(complete=False)
        self._flight.call.cancel()

    async def _step(self) -> Any:
        """The next step or EOF; ANEW when this replica is given up and another one was asked."""
        flight = self._flight
        try:
            step = await flight.call.read()
        except grpc.aio.AioRpcError as error:
            cause = self._route.blame(flight, error)
            if not cause or not self._go_on(cause):
                raise
            return ANEW
        except asyncio.CancelledError:
            if not was_revoked(flight):
                flight.over(complete=False)
                raise
            if not self._go_on(SILENT):
                raise silent() from None
            return ANEW
        if step is EOF:
            flight.over(complete=True)
            return EOF
        if step.finish_reason == pb.FINISH_REASON_ABORTED and self._go_on(GAVE_UP):
            return ANEW
        return self._heard(step)

    def _heard(self, step: pb.GenerateResponse) -> pb.GenerateResponse:
        self._flight.begun()
        if self._owed and step.revision != self._owed:
            self.cancel()
            raise AttemptFailed(FailureKind.BROKEN, UpstreamError("another worker could not go on with this answer"))
        self._owed = ""
        if step.text or step.logprobs or step.tool_calls or step.finish_reason:
            self._said = True
        if step.finish_reason:
            self._open -= 1
            self._route.pool.learn(self._route.wanted, step.usage.prompt_tokens)
        self._note(step)
        return step

    def _note(self, step: pb.GenerateResponse) -> None:
        if step.revision:
            self._begun.revision = step.revision
        if self._route.resumes and self._request.choices <= 1 and self._begun.revision:
            self._begun.token_ids.extend(step.token_ids)

    def _go_on(self, cause: str) -> bool:
        resumed = bool(self._begun.token_ids)
        if not self._open or (self._said and not self._route.restarts and not resumed):
            return False
        flight = self._route.elsewhere(cause)
        if flight is None:
            return False
        if cause == GAVE_UP:
            self._flight.over(complete=False)
        if resumed:
            self._owed = self._begun.revision
            self._route.pool.meters.resumed(self._route.pool.place)
        self._begin(flight)
        return True

    def _begin(self, flight: Flight) -> None:
        self._flight = flight
        self._open = self._request.choices or 1
        request = self._request
        if self._begun.token_ids:
            request = pb.GenerateRequest()
            request.MergeFrom(self._request)
            request.begun.MergeFrom(self._begun)
        flight.call = flight.replica.stub.Generate(request, timeout=max(LEAST_S, self._route.left_s))


def was_revoked(flight: Flight) -> bool:
    """Whether a cancellation is our own doing to a replica that fell silent, and not our caller's. Ends the flight."""
    task = asyncio.current_task()
    if not flight.revoked or (task is not None and task.cancelling()):
        return False
    flight.failed()
    return True


def silent() -> AttemptFailed:
    text = "the worker says nothing any more, and no other one can take over; send it again"
    return AttemptFailed(FailureKind.BROKEN, UpstreamError(text))
