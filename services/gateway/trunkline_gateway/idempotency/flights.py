"""Requests with an idempotency key under way: each is worked out once, for all who ask.

The work belongs to no caller: one who leaves may come back for the answer. In this process they share it as it comes;
at other gateways they wait until it is finished, and get it from the store. Where the store is away, each gateway
keeps to itself: an answer is worth more than the certainty that it is paid once.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable
from typing import NoReturn

from prometheus_client import CollectorRegistry, Counter

from trunkline_gateway.beside.crew import Crew
from trunkline_gateway.body_room import Held
from trunkline_gateway.http_errors import unforeseen
from trunkline_gateway.idempotency.answers import Answers, Ask, Found, MemoryAnswers, decode_answer, encode_answer
from trunkline_gateway.idempotency.recording import Recording
from trunkline_gateway.sink import Sink
from trunkline_kit.clock import Clock
from trunkline_kit.errors import (
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    StoreUnavailable,
    TrunklineError,
    Unavailable,
)
from trunkline_kit.lifecycle import background
from trunkline_kit.resilience import Idempotency

LEASE_S = 10.0
"""So long after a gateway died in the middle of a request another one may work on it."""
RENEW_EVERY_S = 3.0
POLL_S, POLL_S_MAX = 0.05, 0.5
"""How often another gateway is asked for, the longer the rarer."""
RETRY_S = 1.0
UNATTENDED_MAX = 64
"""Requests, of all tenants, that are worked out though all their callers have left; one more is cancelled."""
FIRST, JOINED, REPLAYED, MISMATCH, BUSY, ALONE = "first", "joined", "replayed", "mismatch", "busy", "alone"
RESULTS = (FIRST, JOINED, REPLAYED, MISMATCH, BUSY, ALONE)

Work = Callable[[Sink], Awaitable[None]]


class Flight:
    """One request that is worked out."""

    def __init__(self, ask: Ask, answers: Answers, answer_bytes_max: int, forget: Callable[["Flight"], None]) -> None:
        self.ask = ask
        self._forget = forget
        self.answers = answers
        """Where it is claimed."""
        self.owner = secrets.token_bytes(16)
        self.recording = Recording(answer_bytes_max, self.cancel)
        self.callers = 0
        self.task: asyncio.Task[None] | None = None

    def cancel(self) -> None:
        """Nobody wants it any more. Whoever sends it again gets an answer of its own, not the end of this one."""
        self._forget(self)
        if self.task is not None:
            self.task.cancel()


class Flights:
    """Of one gateway process."""

    def __init__(
        self, answers: Answers | None, settings: Idempotency, clock: Clock, registry: CollectorRegistry | None = None
    ) -> None:
        self.settings = settings
        """May be changed while requests run."""
        self.crew = Crew("answering a request with an idempotency key")
        self._local = MemoryAnswers(clock, settings.memory_bytes)
        self._answers: Answers = self._local if answers is None else answers
        self._flying: dict[str, Flight] = {}
        self._asked = Counter(
            "trunkline_gateway_idempotent_requests",
            "Requests with an idempotency key: worked out, shared, given again, refused; alone: without the store.",
            ("result",),
            registry=registry,
        )

    async def answer(self, ask: Ask, sink: Sink, work: Work, held: Held | None = None) -> None:
        """The answer to this request into `sink`, out of `work` or from whoever had it before.

        What `work` takes of the room for bodies stays `held` until it is over. Raises IdempotencyKeyReused,
        IdempotencyKeyInUse, and what `work` raises.
        """
        flight = self._flying.get(ask.key)
        is_first = flight is None
        if flight is None:
            flight = self._flying[ask.key] = Flight(ask, self._answers, self.settings.answer_bytes_max, self._forget)
            flight.task = self.crew.start(self._fly(flight, work))
            if held is not None:
                kept = held.keep()
                flight.task.add_done_callback(lambda _: kept.release())
        else:
            self._compare(ask, flight.ask.fingerprint)
            self._asked.labels(BUSY if flight.recording.has_dropped else JOINED).inc()
        flight.callers += 1
        try:
            await flight.recording.play(sink, is_replay=not is_first)
        finally:
            flight.callers -= 1
            self._bound(flight)

    def _compare(self, ask: Ask, fingerprint: bytes) -> None:
        if ask.fingerprint != fingerprint:
            self._asked.labels(MISMATCH).inc()
            raise IdempotencyKeyReused("this idempotency key came with another request before; use a new one for each")

    def _bound(self, flight: Flight) -> None:
        """Its caller has left, or has all of it."""
        if not flight.callers and sum(not other.callers for other in self._flying.values()) > UNATTENDED_MAX:
            flight.cancel()

    def _forget(self, flight: Flight) -> None:
        """The next request with its key is another flight. Done twice it is done once."""
        if self._flying.get(flight.ask.key) is flight:
            del self._flying[flight.ask.key]

    async def _fly(self, flight: Flight, work: Work) -> None:
        try:
            if await self._is_ours(flight):
                await self._worked(flight, work)
        except TrunklineError as error:
            flight.recording.fail(error)
        except Exception:
            flight.recording.fail(unforeseen())
            raise
        finally:
            self._forget(flight)
            flight.recording.fail(Unavailable("this gateway is stopping; send it again", retry_after_s=RETRY_S))

    async def _is_ours(self, flight: Flight) -> bool:
        """Whether it is to be worked out here; else its answer is there. Waits for another gateway that works on it."""
        loop, pause_s = asyncio.get_running_loop(), POLL_S
        due_s = loop.time() + self.settings.wait_s
        while (found := await self._claim(flight)) is not None:
            self._compare(flight.ask, found.fingerprint)
            if found.answer is not None:
                self._asked.labels(REPLAYED).inc()
                flight.recording.load(decode_answer(found.answer))
                return False
            if loop.time() >= due_s:
                self._asked.labels(BUSY).inc()
                text = "another request with this idempotency key is still being answered; send it again"
                raise IdempotencyKeyInUse(text, retry_after_s=RETRY_S)
            await asyncio.sleep(pause_s)
            pause_s = min(POLL_S_MAX, pause_s * 2)
        self._asked.labels(FIRST).inc()
        return True

    async def _claim(self, flight: Flight) -> Found | None:
        """Answers that could not be brought to the store, or came too late for it, are in this process."""
        here = self._local.find(flight.ask)
        if here is not None and here.answer is not None:
            return here
        try:
            return await flight.answers.claim(flight.ask, flight.owner, LEASE_S)
        except StoreUnavailable:
            self._asked.labels(ALONE).inc()
            flight.answers = self._local
            return await self._local.claim(flight.ask, flight.owner, LEASE_S)

    async def _worked(self, flight: Flight, work: Work) -> None:
        try:
            async with background(self._renewing(flight)):
                await work(flight.recording)
        finally:
            await self._finish(flight)

    async def _renewing(self, flight: Flight) -> NoReturn:
        while True:
            await asyncio.sleep(RENEW_EVERY_S)
            # Lost or away, the work is done all the same: it is paid for.
            with contextlib.suppress(StoreUnavailable):
                await flight.answers.renew(flight.ask, flight.owner, LEASE_S)

    async def _finish(self, flight: Flight) -> None:
        """Only complete answers are kept: what failed may be tried again."""
        ask, owner, answered, settings = flight.ask, flight.owner, flight.recording.answered, self.settings
        kept = None
        if answered is not None and flight.recording.size_bytes <= settings.answer_bytes_max:
            kept = encode_answer(answered)
        try:
            if kept is None:
                await flight.answers.release(ask, owner)
                return
            if await flight.answers.keep(ask, owner, kept, settings.ttl_s):
                return
        except StoreUnavailable:
            if kept is None:
                return
        # Away, or not ours any more: whoever sends it again here still finds what it was given.
        await self._local.claim(ask, owner, LEASE_S)
        await self._local.keep(ask, owner, kept, settings.ttl_s)
