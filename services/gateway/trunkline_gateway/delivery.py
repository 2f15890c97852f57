"""How an answer gets to its caller: whole or as a stream, out of the cache, and what is kept of it."""

from functools import partial

from msgspec import Struct

from trunkline_gateway.analysis import Analyst
from trunkline_gateway.attempts import Attempts
from trunkline_gateway.beside.drains import Drains
from trunkline_gateway.beside.leaving import attended
from trunkline_gateway.chunks import look, usage_in
from trunkline_gateway.errands import Errand, StreamJob, WholeJob
from trunkline_gateway.ledger.bookkeeping import Bookkeeper
from trunkline_gateway.providers.base import Answer, Call
from trunkline_gateway.relay import assembly
from trunkline_gateway.relay.streaming import Relay, Started
from trunkline_gateway.sink import Sink
from trunkline_gateway.telemetry import Meters
from trunkline_gateway.turn import Turn
from trunkline_kit.clock import Clock
from trunkline_kit.errors import KeyRevoked


class Delivery(Struct, frozen=True, kw_only=True):
    """Holds nothing of a request."""

    analyst: Analyst
    attempts: Attempts
    bookkeeper: Bookkeeper
    drains: Drains
    meters: Meters
    clock: Clock

    async def whole(self, turn: Turn, errand: Errand, sink: Sink) -> None:
        """The complete answer. Raises TrunklineError where nobody gives one."""
        job = WholeJob(errand)
        attempts = self.attempts.run(turn, errand.offer, errand.plan, errand.deadline_s, job)

        async def note(late: Answer) -> None:
            turn.usage = late.usage

        answer = await attended(self.drains, turn, errand, attempts, note, _nothing)
        if turn.flight is not None:
            turn.flight.landed(complete=True)
        turn.usage, turn.outcome, turn.status = answer.usage, "ok", 200
        self.bookkeeper.price(turn, errand.pricing, answer.body)
        over(turn)
        await sink.whole(answer.body, turn.headers())
        slot = errand.slot_for(turn)
        if slot is not None and assembly.ended_cleanly(answer.body):
            await self.analyst.store(turn, slot, answer.body)

    async def stream(self, turn: Turn, errand: Errand, sink: Sink) -> None:
        """A stream, and how it ended. Raises TrunklineError where nobody begins one."""
        job = StreamJob(errand)
        attempts = self.attempts.run(turn, errand.offer, errand.plan, errand.deadline_s, job)

        async def drain(late: Started) -> None:
            await _drained(turn, _relay(turn, errand), late)

        started = await attended(self.drains, turn, errand, attempts, drain, job.discard)
        turn.first_token_s = self.clock.monotonic_s() - turn.started_s
        relay = _relay(turn, errand)
        turn.status = 200
        try:
            await sink.open(turn.headers())
            await relay.run(started, sink)
        finally:
            if relay.unread is not None and self.drains.take():
                turn.unread = partial(_drained, turn, relay, Started(relay.unread, []))
            else:
                started.stream.cut()
            _note(turn, relay)
            turn.outcome = relay.relayed.outcome
            self.meters.malformed(relay.provider, relay.relayed.malformed)
        if turn.outcome != KeyRevoked.reason:
            over(turn)
            await self._keep(turn, errand, relay)

    async def _keep(self, turn: Turn, errand: Errand, relay: Relay) -> None:
        relayed = relay.relayed
        if not relayed.complete:
            self.meters.broken(relay.provider)
        elif (slot := errand.slot_for(turn)) is not None and relayed.chunks and not relayed.malformed:
            kept = assembly.whole(relayed.chunks)
            if kept is not None and assembly.ended_cleanly(kept):
                await self.analyst.store(turn, slot, kept)


async def replayed(turn: Turn, call: Call, body: bytes, sink: Sink) -> bool:
    """A cached answer, in the form that was asked for, with the usage of the original. False: it cannot be."""
    chunks = assembly.stream(body, usage=call.wants_usage) if turn.stream else []
    if chunks is None:
        turn.cache = "miss"
        return False
    turn.outcome, turn.status, turn.usage = "cached", 200, usage_in(look(body).usage)
    if not turn.stream:
        await sink.whole(body, turn.headers())
        return True
    await sink.open(turn.headers())
    await sink.events(chunks)
    await sink.done()
    return True


def over(turn: Turn) -> None:
    """The caller has all there is: what is left to do is not cut."""
    if turn.standing is not None:
        turn.standing.over()


def _relay(turn: Turn, errand: Errand) -> Relay:
    provider = turn.target.provider if turn.target else ""
    relay = Relay(errand.call, provider, errand.clocks, turn.standing, keep=errand.slot is not None)
    relay.progress, relay.keeps_open = errand.progress(), provider in errand.bills
    return relay


async def _drained(turn: Turn, relay: Relay, started: Started) -> None:
    """Read an answer on to its end after its caller has left."""
    try:
        await relay.drain(started)
    finally:
        _note(turn, relay)


def _note(turn: Turn, relay: Relay) -> None:
    """What was used so far."""
    turn.usage, turn.pieces = relay.relayed.usage, relay.relayed.pieces


def _nothing(_: Answer) -> None:
    """A whole answer that nobody wants leaves nothing open."""
