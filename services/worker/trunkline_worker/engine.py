"""The engine as the event loop sees it: one thread that steps the batcher, commands in, deltas out.

The thread owns the batcher and the model; the loop owns the streams. Commands cross by a thread-safe queue, all deltas
of a step by one `call_soon_threadsafe`. What is buffered for a slow reader is bounded by the tokens of a slot.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

import numpy as np
from msgspec import Struct, structs

from trunkline_kit.clock import Clock, SystemClock
from trunkline_kit.errors import (
    Conflict,
    DeadlineExceeded,
    Internal,
    Overloaded,
    TrunklineError,
    Unavailable,
    Unsupported,
)
from trunkline_worker.batching import Batcher, check_length
from trunkline_worker.generation import Delta, FinishReason, GenerationRequest
from trunkline_worker.load import EngineLoad

_log = logging.getLogger(__name__)

_RETRY_LEAST_S, _RETRY_MOST_S = 1.0, 30.0
_HUNG_S = 1.0
"""How long a thread that failed is waited for."""
_ABORT_GRACE_S = 1.0
"""How long readers may take to notice that their request was aborted."""


class _Cancel(Struct, frozen=True):
    request_id: str


class _Stop(Struct, frozen=True):
    pass


Command: TypeAlias = GenerationRequest | _Cancel | _Stop
Outcome: TypeAlias = Delta | TrunklineError


class DrainResult(Struct, frozen=True, kw_only=True):
    finished: int
    cancelled: int


class Engine:
    """Streams answers. All methods belong to the event loop that opened it."""

    def __init__(self, batcher: Batcher, clock: Clock) -> None:
        self._batcher = batcher
        self._commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._streams: dict[str, asyncio.Queue[Outcome]] = {}
        """By ticket: a caller's id may come back before the last deltas of its first use have crossed over."""
        self._tickets: dict[str, str] = {}
        self._choices: dict[str, int] = {}
        self._answers = 0
        self._admitted = 0
        self._clock = clock
        self._moved_s: float | None = None
        """When the thread last reported; None while there is nothing to do."""
        self._load = batcher.load()
        self._changed = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = False
        self._failure: TrunklineError | None = None
        self._loop = asyncio.get_running_loop()

    @property
    def load(self) -> EngineLoad:
        """As of the last step; `waiting` counts what the engine has not seen yet too."""
        unseen = self._answers - self._load.running - self._load.waiting
        waiting = self._load.waiting + max(0, unseen)
        return structs.replace(self._load, waiting=waiting, draining=self._draining)

    @property
    def failure(self) -> TrunklineError | None:
        """Why the engine died; None while it lives."""
        return self._failure

    def check_progress(self, stall_s: float) -> None:
        """Give the engine up if it has work and has made no step for `stall_s` seconds; busy or idle is not dead."""
        if self._moved_s is not None and self._clock.monotonic_s() - self._moved_s > stall_s:
            _log.error("the engine has work and has made no step for %.0f s", stall_s)
            self._die()

    async def changed(self) -> None:
        """Return when the load has changed, or the engine has died."""
        await self._changed.wait()

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Delta, None]:
        """The deltas of one request, the last of each answer with a finish reason. Closing it early frees the slots.

        Raises InvalidRequest, ContextTooLong, Conflict for an id that is running, Overloaded when the queue is full,
        DeadlineExceeded when it cannot be done in time or was not, Unavailable when draining, Internal when the engine
        died.
        """
        ticket, stream = self._admit(request)
        unfinished = request.choices
        try:
            while unfinished:
                outcome = await stream.get()
                if isinstance(outcome, TrunklineError):
                    raise outcome
                if outcome.finish in _FAILED:
                    raise _FAILED[outcome.finish](outcome)
                if outcome.finish is not None:
                    unfinished -= 1
                if not unfinished:
                    self._forget(request.request_id, ticket)
                yield outcome
        finally:
            if unfinished:
                self._forget(request.request_id, ticket)
                self._commands.put(_Cancel(ticket))

    def abort(self, request_id: str) -> bool:
        """End a running request with the finish reason `aborted`. False if there is none of this id."""
        ticket = self._tickets.get(request_id)
        if ticket is None:
            return False
        self._commands.put(_Cancel(ticket))
        return True

    async def drain(self, grace_s: float) -> DrainResult:
        """Take no new requests, let the running ones end for `grace_s` seconds, then abort the rest."""
        self.refuse()
        before = len(self._tickets)
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._idle.wait()
        cancelled = [request_id for request_id in list(self._tickets) if self.abort(request_id)]
        with suppress(TimeoutError):
            # A reader that stopped reading must not hold the process up.
            async with asyncio.timeout(_ABORT_GRACE_S):
                await self._idle.wait()
        return DrainResult(finished=before - len(cancelled), cancelled=len(cancelled))

    def refuse(self) -> None:
        """Take no new requests from now on; those that are here go on."""
        self._draining = True
        self._announce()

    def stop(self) -> None:
        """Let the thread end after its present step."""
        self._commands.put(_Stop())

    def run(self) -> None:
        """The thread's body: steps while there is work, sleeps on the command queue otherwise."""
        try:
            # The sampler sees overflows for itself, and setting this for every token is slow.
            with np.errstate(over="ignore"):
                while self._obey():
                    self._deliver(self._batcher.step() if self._batcher.has_work else [])
        except Exception as error:  # noqa: BLE001 - the edge of the thread: whatever it was, callers must hear of it
            _log.error("the engine has died", exc_info=error)
            self._loop.call_soon_threadsafe(self._die)

    def _admit(self, request: GenerationRequest) -> tuple[str, asyncio.Queue[Outcome]]:
        self._check(request)
        self._admitted += 1
        self._answers += request.choices
        if self._moved_s is None:
            self._moved_s = self._clock.monotonic_s()
        ticket = f"{request.request_id}#{self._admitted}"
        stream: asyncio.Queue[Outcome] = asyncio.Queue()
        self._tickets[request.request_id] = ticket
        self._streams[ticket] = stream
        self._choices[ticket] = request.choices
        self._idle.clear()
        self._commands.put(structs.replace(request, request_id=ticket))
        self._announce()
        return ticket, stream

    def _check(self, request: GenerationRequest) -> None:
        if self._failure is not None:
            raise self._failure
        if self._draining:
            raise Unavailable("this worker is draining; send the request to another one", retry_after_s=1.0)
        request.check(self._batcher.vocabulary_size)
        check_length(request, self._batcher.slot_tokens)
        if request.request_id in self._tickets:
            raise Conflict(f"a request with the id {request.request_id!r} is running")
        if self._answers + request.choices > self._batcher.places:
            wait_s = min(max(_RETRY_LEAST_S, self._reading_s()), _RETRY_MOST_S)
            raise Overloaded(f"all {self._batcher.places} places of this worker are taken", retry_after_s=wait_s)
        self._check_deadline(request)

    def _check_deadline(self, request: GenerationRequest) -> None:
        """Refuse at once what would only be given up later, when its caller could have gone elsewhere."""
        if request.deadline_s is None:
            return
        left_s = request.deadline_s - self._clock.monotonic_s()
        # Only those of its own class and above are sure to come before it.
        ahead_s = self._reading_s() if request.priority <= 0 else 0.0
        if ahead_s > left_s:
            raise DeadlineExceeded(
                f"{max(0.0, left_s):.1f} s are left, and {ahead_s:.1f} s of prompts are waiting here; "
                "allow more time, or send the request to another worker"
            )

    def _reading_s(self) -> float:
        """How long the prompts that wait will take to read; 0 while the speed is not known."""
        load = self._load
        return load.waiting_tokens / load.prefill_tokens_per_s if load.prefill_tokens_per_s else 0.0

    def _forget(self, request_id: str, ticket: str) -> None:
        self._streams.pop(ticket, None)
        self._answers -= self._choices.pop(ticket, 0)
        if self._tickets.get(request_id) == ticket:
            del self._tickets[request_id]
        if not self._streams:
            self._idle.set()
            self._moved_s = None

    def _obey(self) -> bool:
        """Carry out what was asked meanwhile; wait for something to do if there is no work. False: stop."""
        try:
            command = self._commands.get(block=not self._batcher.has_work)
            while True:
                if isinstance(command, _Stop):
                    return False
                self._carry_out(command)
                command = self._commands.get_nowait()
        except queue.Empty:
            return True

    def _carry_out(self, command: GenerationRequest | _Cancel) -> None:
        if isinstance(command, GenerationRequest):
            self._batcher.add(command)
            return
        self._deliver(self._batcher.cancel(command.request_id))

    def _deliver(self, deltas: Sequence[Delta]) -> None:
        self._loop.call_soon_threadsafe(self._receive, deltas, self._batcher.load())

    def _receive(self, deltas: Sequence[Delta], load: EngineLoad) -> None:
        for delta in deltas:
            stream = self._streams.get(delta.request_id)
            if stream is not None:
                stream.put_nowait(delta)
        self._load = load
        if self._moved_s is not None:
            self._moved_s = self._clock.monotonic_s()
        self._announce()

    def _die(self) -> None:
        if self._failure is not None:
            return
        self._failure = Internal("the model engine has failed; this worker must be restarted")
        for stream in self._streams.values():
            stream.put_nowait(self._failure)
        self._announce()

    def _announce(self) -> None:
        announced, self._changed = self._changed, asyncio.Event()
        announced.set()


@asynccontextmanager
async def open_engine(batcher: Batcher, grace_s: float, clock: Clock | None = None) -> AsyncIterator[Engine]:
    """Run the engine's thread for the block; at its end drain for `grace_s` seconds, then stop."""
    engine = Engine(batcher, clock or SystemClock())
    thread = threading.Thread(target=engine.run, name="engine", daemon=True)
    thread.start()
    try:
        yield engine
    finally:
        await engine.drain(grace_s)
        engine.stop()
        # One that hangs in a model run can be left: it is a daemon, and its process is about to end.
        await asyncio.to_thread(thread.join, None if engine.failure is None else _HUNG_S)


def _unguided(last: Delta) -> Unsupported:
    text = f"what the answer is held to became too complex after {last.usage.completion_tokens} tokens; simplify it"
    return Unsupported(text, param="response_format")


def _too_late(last: Delta) -> DeadlineExceeded:
    if last.usage.completion_tokens:
        return DeadlineExceeded("the time allowed was over before the answer was; allow more, or ask for fewer tokens")
    return DeadlineExceeded("the answer could not begin within the time allowed; try again later, or allow more")


_FAILED: dict[FinishReason, Callable[[Delta], TrunklineError]] = {
    FinishReason.EXPIRED: _too_late,
    FinishReason.UNGUIDED: _unguided,
}
"""Ends that are errors to the caller."""
