"""The engine as the event loop sees it: one thread that steps the batcher, commands in, deltas out.

The thread owns the batcher and the model; the loop owns the streams. Commands cross by a thread-safe queue, all deltas
of a step by one `call_soon_threadsafe`. What is buffered for a slow reader is bounded by the tokens of a slot.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

from msgspec import Struct, structs

from trunkline_kit.errors import Conflict, Internal, Overloaded, TrunklineError, Unavailable
from trunkline_worker.batching import Batcher, check_length
from trunkline_worker.generation import Delta, GenerationRequest
from trunkline_worker.load import EngineLoad

_log = logging.getLogger(__name__)

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

    def __init__(self, batcher: Batcher) -> None:
        self._batcher = batcher
        self._commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._streams: dict[str, asyncio.Queue[Outcome]] = {}
        """By ticket: a caller's id may come back before the last deltas of its first use have crossed over."""
        self._tickets: dict[str, str] = {}
        self._admitted = 0
        self._load = EngineLoad(max_running=batcher.slots)
        self._changed = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = False
        self._failure: TrunklineError | None = None
        self._loop = asyncio.get_running_loop()

    @property
    def load(self) -> EngineLoad:
        """As of the last step; `waiting` counts what the engine has not seen yet too."""
        unseen = len(self._streams) - self._load.running - self._load.waiting
        waiting = self._load.waiting + max(0, unseen)
        return structs.replace(self._load, waiting=waiting, draining=self._draining)

    @property
    def failure(self) -> TrunklineError | None:
        """Why the engine died; None while it lives."""
        return self._failure

    async def changed(self) -> None:
        """Return when the load has changed, or the engine has died."""
        await self._changed.wait()

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Delta, None]:
        """The deltas of one request, the last with a finish reason. Closing the iterator early frees the slot.

        Raises InvalidRequest, ContextTooLong, Conflict for an id that is running, Overloaded when the queue is full,
        Unavailable when draining, Internal when the engine died.
        """
        ticket, stream = self._admit(request)
        done = False
        try:
            while not done:
                outcome = await stream.get()
                if isinstance(outcome, TrunklineError):
                    raise outcome
                done = outcome.finish is not None
                if done:
                    self._forget(request.request_id, ticket)
                yield outcome
        finally:
            if not done:
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
            while self._obey():
                self._deliver(self._batcher.step() if self._batcher.has_work else [])
        except Exception as error:  # noqa: BLE001 - the edge of the thread: whatever it was, callers must hear of it
            _log.error("the engine has died", exc_info=error)
            self._loop.call_soon_threadsafe(self._die)

    def _admit(self, request: GenerationRequest) -> tuple[str, asyncio.Queue[Outcome]]:
        self._check(request)
        self._admitted += 1
        ticket = f"{request.request_id}#{self._admitted}"
        stream: asyncio.Queue[Outcome] = asyncio.Queue()
        self._tickets[request.request_id] = ticket
        self._streams[ticket] = stream
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
        if len(self._streams) >= self._batcher.places:
            raise Overloaded(f"all {self._batcher.places} places of this worker are taken", retry_after_s=1.0)

    def _forget(self, request_id: str, ticket: str) -> None:
        self._streams.pop(ticket, None)
        if self._tickets.get(request_id) == ticket:
            del self._tickets[request_id]
        if not self._streams:
            self._idle.set()

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
        ended = self._batcher.cancel(command.request_id)
        if ended is not None:
            self._deliver([ended])

    def _deliver(self, deltas: Sequence[Delta]) -> None:
        self._loop.call_soon_threadsafe(self._receive, deltas, self._batcher.load())

    def _receive(self, deltas: Sequence[Delta], load: EngineLoad) -> None:
        for delta in deltas:
            stream = self._streams.get(delta.request_id)
            if stream is not None:
                stream.put_nowait(delta)
        self._load = load
        self._announce()

    def _die(self) -> None:
        self._failure = Internal("the model engine has failed; this worker must be restarted")
        for stream in self._streams.values():
            stream.put_nowait(self._failure)
        self._announce()

    def _announce(self) -> None:
        announced, self._changed = self._changed, asyncio.Event()
        announced.set()


@asynccontextmanager
async def open_engine(batcher: Batcher, grace_s: float) -> AsyncIterator[Engine]:
    """Run the engine's thread for the block; at its end drain for `grace_s` seconds, then stop."""
    engine = Engine(batcher)
    thread = threading.Thread(target=engine.run, name="engine", daemon=True)
    thread.start()
    try:
        yield engine
    finally:
        await engine.drain(grace_s)
        engine.stop()
        await asyncio.to_thread(thread.join)
