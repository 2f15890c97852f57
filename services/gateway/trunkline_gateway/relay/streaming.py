"""A stream on its way: held until it means something, passed on as it comes. Cut short, it never looks complete."""

import asyncio
from collections.abc import Callable
from contextlib import nullcontext

import msgspec

from trunkline_gateway.chunks import Chunk, error_of, is_meaningful
from trunkline_gateway.plan import Target
from trunkline_gateway.providers.base import AttemptFailed, Call, ChunkStream, Provider, Terms
from trunkline_gateway.providers.statuses import in_stream, stream_error
from trunkline_gateway.sink import Sink
from trunkline_gateway.standing import Standing
from trunkline_gateway.usage import Usage
from trunkline_kit.errors import DeadlineExceeded, KeyRevoked, TrunklineError, UpstreamError
from trunkline_policy.faults import FailureKind

HELD_CHUNKS_MAX = 64
HELD_BYTES_MAX = 256 * 1024
"""How much start-up chatter is held back before the reply is begun without meaning; Bifrost holds as much."""


MALFORMED_MAX = 8
"""Events of one stream that make no sense and are left out; one more, and the stream is taken for broken."""


class Started(msgspec.Struct, frozen=True):
    """A stream that has said something, and what it said."""

    stream: ChunkStream
    held: list[Chunk]
    """What made no sense included."""


class Relayed(msgspec.Struct, kw_only=True):
    """What came of a stream."""

    finished: set[int] = msgspec.field(default_factory=set)
    """Indexes of the choices that have a finish reason."""
    pieces: int = 0
    """Events that were passed on."""
    malformed: int = 0
    """Events that made no sense and were left out."""
    usage: Usage | None = None
    complete: bool = False
    was_cut: bool = False
    """Its key stopped while it ran."""
    chunks: list[bytes] | None = None
    """Everything that was said, where somebody wants to keep it."""

    @property
    def outcome(self) -> str:
        """How the request ended."""
        if self.complete:
            return "ok"
        return KeyRevoked.reason if self.was_cut else "broken"


async def begin(provider: Provider, call: Call, target: Target, terms: Terms) -> Started:
    """Open a stream and wait for its first meaningful event. Raises AttemptFailed."""
    return await begun(await provider.stream(call, target, terms), target)


async def begun(stream: ChunkStream, target: Target) -> Started:
    """A stream that was opened, once its first meaningful event is there. Cuts it when that fails."""
    try:
        return Started(stream, await _first_meaning(stream, target.provider))
    except BaseException:
        stream.cut()
        raise


async def _first_meaning(stream: ChunkStream, provider_name: str) -> list[Chunk]:
    held: list[Chunk] = []
    held_bytes = 0
    while True:
        try:
            batch = await stream.next()
        except UpstreamError as error:
            raise AttemptFailed(FailureKind.BROKEN, error) from error
        if batch is None:
            text = f"provider {provider_name!r} ended its stream before it said anything"
            raise AttemptFailed(FailureKind.BROKEN, UpstreamError(text))
        held += batch
        for chunk in batch:
            # Nothing has been sent yet, so an error rescues more than the text that came just before it.
            if chunk.error:
                raise in_stream(provider_name, chunk.error)
            held_bytes += len(chunk.data)
        if any(is_meaningful(chunk) for chunk in batch):
            return held
        if len(held) > HELD_CHUNKS_MAX or held_bytes > HELD_BYTES_MAX:
            return held


class Clocks(msgspec.Struct, frozen=True, kw_only=True):
    idle_s: float
    deadline_s: float
    """On the loop's clock."""


class Relay:
    """Passes one started stream on to one sink."""

    def __init__(
        self, call: Call, provider_name: str, clocks: Clocks, standing: Standing | None = None, *, keep: bool
    ) -> None:
        self._call = call
        self._scope = standing.scope if standing is not None else nullcontext
        self._provider = provider_name
        self._clocks = clocks
        self.relayed = Relayed(chunks=[] if keep else None)
        self.progress: Callable[[int, float], None] | None = None
        """Told how many events were passed on, and when on the loop's clock, before the caller gets them."""

    async def run(self, started: Started, sink: Sink) -> None:
        """Relay to the end and tell the sink how it ended. Cancelled, it cuts the stream.

        A stream whose every choice has a finish reason is complete, however its end looked.
        """
        stream = started.stream
        try:
            error = await self._pumped(started, sink)
            if len(self.relayed.finished) >= self._call.choices:
                self.relayed.complete = True
                await sink.done()
                await stream.release()
            else:
                # First the provider: a caller who does not read must not hold its connection.
                stream.cut()
                await sink.broken(error)
        finally:
            stream.cut()

    async def _pumped(self, started: Started, sink: Sink) -> TrunklineError:
        """Pass everything on; returns what is wrong with the stream if it is not complete now."""
        try:
            with self._scope():
                await self._pump(started, sink)
        except KeyRevoked as error:
            self.relayed.was_cut = True
            return error
        except TimeoutError:
            return too_slow(self._provider, self._clocks)
        except AttemptFailed as failed:
            return failed.error
        except TrunklineError as error:
            return error
        return UpstreamError(f"provider {self._provider!r} ended its stream without finishing")

    async def _pump(self, started: Started, sink: Sink) -> None:
        loop = asyncio.get_running_loop()
        deadline_s, idle_s = self._clocks.deadline_s, self._clocks.idle_s
        batch: list[Chunk] | None = started.held
        async with asyncio.timeout_at(deadline_s) as clock:
            while batch is not None:
                datas, error = self._pass(batch)
                if datas:
                    self.relayed.pieces += len(datas)
                    if self.progress is not None:
                        self.progress(self.relayed.pieces, loop.time())
                    await sink.events(datas)
                if error is not None:
                    raise error
                clock.reschedule(min(deadline_s, loop.time() + idle_s))
                batch = await started.stream.next()
                clock.reschedule(deadline_s)

    def _pass(self, batch: list[Chunk]) -> tuple[list[bytes], TrunklineError | None]:
        """Note what matters; what the caller gets of it, and the error that ends it there, if one does."""
        relayed = self.relayed
        datas: list[bytes] = []
        for chunk in batch:
            if chunk.error:
                return datas, stream_error(self._provider, error_of(chunk.error))
            if chunk.malformed:
                relayed.malformed += 1
                if relayed.malformed > MALFORMED_MAX:
                    return datas, UpstreamError(f"provider {self._provider!r} sent too much that makes no sense")
                continue
            relayed.finished.update(chunk.finished)
            if chunk.usage is not None:
                relayed.usage = chunk.usage
                if chunk.bare_usage and not self._call.wants_usage:
                    continue
            # What was only there to be looked at has nothing to pass on.
            if chunk.data:
                datas.append(chunk.data)
        if relayed.chunks is not None:
            relayed.chunks += [chunk.data for chunk in batch if chunk.data]
        return datas, None


def too_slow(provider: str, clocks: Clocks) -> TrunklineError:
    """Which of the clocks has run out."""
    late = asyncio.get_running_loop().time() >= clocks.deadline_s
    limit = "the request's total time is up" if late else f"nothing came for {clocks.idle_s:g} s"
    return DeadlineExceeded(f"provider {provider!r} stopped in mid-stream: {limit}")
