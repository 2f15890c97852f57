"""A stream on its way: held until it means something, passed on as it comes. Cut short, it never looks complete."""

import asyncio
from collections.abc import Callable
from contextlib import nullcontext, suppress

import msgspec

from trunkline_gateway.chunks import Chunk, error_of, is_meaningful
from trunkline_gateway.plan import Target
from trunkline_gateway.providers.base import AttemptFailed, Call, ChunkStream, Provider, Terms
from trunkline_gateway.providers.statuses import in_stream, stream_error
from trunkline_gateway.relay.alarm import alarm
from trunkline_gateway.sink import Sink
from trunkline_gateway.standing import Standing
from trunkline_gateway.usage import Usage
from trunkline_kit.errors import DeadlineExceeded, KeyRevoked, TrunklineError, UpstreamError
from trunkline_policy.faults import FailureKind
from trunkline_policy.pace import Pace

HELD_CHUNKS_MAX = 64
HELD_BYTES_MAX = 256 * 1024
"""How much start-up chatter is held back before the reply is begun without meaning; Bifrost holds as much."""


ENDING_S = 5.0
"""How long what is left to say at the very end may wait for a caller that does not read."""
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
    events_per_s_min: float = 0.0
    """0 for any."""
    pace_s: float = 60.0
    """Of waiting for the provider: over so long a time there must be as many."""

    @property
    def pace(self) -> Pace | None:
        """Of one stream, from its first event on."""
        return Pace(self.events_per_s_min, self.pace_s) if self.events_per_s_min > 0 else None

    def patience_s(self, pace: Pace | None) -> float:
        """How long the next event may take."""
        return self.idle_s if pace is None else min(self.idle_s, pace.patience_s)


class Nowhere:
    """Takes events that nobody is there to get."""

    async def events(self, chunks: list[bytes]) -> None:
        pass


class Relay:
    """Passes one started stream on to one sink."""

    def __init__(
        self, call: Call, provider_name: str, clocks: Clocks, standing: Standing | None = None, *, keep: bool
    ) -> None:
        self._call = call
        self._scope = standing.scope if standing is not None else nullcontext
        self.provider = provider_name
        self._clocks = clocks
        self.relayed = Relayed(chunks=[] if keep else None)
        self.progress: Callable[[int, float], None] | None = None
        """Told how many events were passed on, and when on the loop's clock, before the caller gets them."""
        self._pace = clocks.pace
        self.keeps_open = False
        """Whether a cancellation leaves the stream `unread` instead of cutting it."""
        self.unread: ChunkStream | None = None
        """What a cancellation has left open: for `drain`, or to be cut."""

    async def run(self, started: Started, sink: Sink) -> None:
        """Relay to the end and tell the sink how it ended. Cancelled, it cuts the stream, or leaves it `unread`.

        A stream whose every choice has a finish reason is complete, however its end looked.
        """
        stream = started.stream
        try:
            try:
                error = await self._pumped(started, sink)
            except asyncio.CancelledError:
                self.unread = stream if self.keeps_open else None
                raise
            if len(self.relayed.finished) >= self._call.choices:
                self.relayed.complete = True
                await self._say_ending(stream, sink)
                await sink.done()
                await stream.release()
            else:
                # First the provider: a caller who does not read must not hold its connection.
                stream.cut()
                await sink.broken(error)
        finally:
            if self.unread is None:
                stream.cut()

    async def drain(self, started: Started) -> None:
        """Read what nobody stayed for, until the end or until a clock runs out, for what it says of its usage."""
        stream, self.unread, self.relayed.chunks = started.stream, None, None
        try:
            await self._pumped(started, Nowhere())
            if len(self.relayed.finished) >= self._call.choices:
                await stream.release()
        finally:
            stream.cut()

    async def _say_ending(self, stream: ChunkStream, sink: Sink) -> None:
        """What a dialect wants said of a complete answer, where the provider's last words never came."""
        datas, _ = self._pass(stream.ending())
        if datas:
            # A caller that does not read is the sink's to give up.
            with suppress(TimeoutError):
                async with asyncio.timeout(ENDING_S):
                    await sink.events(datas)

    async def _pumped(self, started: Started, sink: Sink | Nowhere) -> TrunklineError:
        """Pass everything on; returns what is wrong with the stream if it is not complete now."""
        try:
            with self._scope():
                await self._pump(started, sink)
        except KeyRevoked as error:
            self.relayed.was_cut = True
            return error
        except TimeoutError:
            return too_slow(self.provider, self._clocks, self._pace)
        except AttemptFailed as failed:
            return failed.error
        except TrunklineError as error:
            return error
        return UpstreamError(f"provider {self.provider!r} ended its stream without finishing")

    async def _pump(self, started: Started, sink: Sink | Nowhere) -> None:
        loop = asyncio.get_running_loop()
        clocks, pace = self._clocks, self._pace
        deadline_s = clocks.deadline_s
        batch: list[Chunk] | None = started.held
        async with alarm(deadline_s) as clock:
            while batch is not None:
                datas, error = self._pass(batch)
                if datas:
                    self.relayed.pieces += len(datas)
                    if self.progress is not None:
                        self.progress(self.relayed.pieces, loop.time())
                    await sink.events(datas)
                if error is not None:
                    raise error
                asked_s = loop.time()
                clock.move(min(deadline_s, asked_s + clocks.patience_s(pace)))
                batch = await started.stream.next()
                clock.move(deadline_s)
                if pace is not None:
                    pace.came(len(batch or ()), loop.time() - asked_s)

    def _pass(self, batch: list[Chunk]) -> tuple[list[bytes], TrunklineError | None]:
        """Note what matters; what the caller gets of it, and the error that ends it there, if one does."""
        relayed = self.relayed
        datas: list[bytes] = []
        for chunk in batch:
            if chunk.error:
                return datas, stream_error(self.provider, error_of(chunk.error))
            if chunk.malformed:
                relayed.malformed += 1
                if relayed.malformed > MALFORMED_MAX:
                    return datas, UpstreamError(f"provider {self.provider!r} sent too much that makes no sense")
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


def too_slow(provider: str, clocks: Clocks, pace: Pace | None) -> TrunklineError:
    """Which of the clocks has run out."""
    if asyncio.get_running_loop().time() >= clocks.deadline_s:
        return DeadlineExceeded(f"provider {provider!r} stopped in mid-stream: the request's total time is up")
    if pace is not None and pace.patience_s < clocks.idle_s:
        limit = f"fewer than {clocks.events_per_s_min:g} events/s came over {clocks.pace_s:g} s"
        return DeadlineExceeded(f"provider {provider!r} was too slow in mid-stream: {limit}")
    return DeadlineExceeded(f"provider {provider!r} stopped in mid-stream: nothing came for {clocks.idle_s:g} s")
