"""An answer on its way to any number of callers: written once, read by each at its own pace."""

import asyncio
import math
from collections.abc import Callable

from trunkline_gateway.idempotency.answers import Answered
from trunkline_gateway.sink import Headers, Sink
from trunkline_kit.errors import DeadlineExceeded, IdempotencyKeyInUse, TrunklineError

AHEAD_BYTES_MAX = 1024 * 1024
"""How much may wait for the slowest reader before the provider has to wait as well."""
WRITE_BYTES_MAX = 64 * 1024
"""About how much a reader is given at a time."""
WRITE_S = 30.0
"""How long a reader may leave that unread; then it is told so, if it hears, and dropped."""
RETRY_S = 1.0
REPLAYED = ("idempotent-replayed", "true")


class _Reader:
    """How much of it a reader has."""

    __slots__ = ("chunks", "size_bytes")

    def __init__(self) -> None:
        self.chunks = 0
        self.size_bytes = 0


def _nobody_cares() -> None:
    """What happens to an answer that is not worked out for anybody's sake."""


class Recording:
    """A sink for whoever works the answer out; `play` is for those who want it.

    A stream of more than `kept_bytes_max` is never kept: what all of its readers have is dropped, nobody can join it
    then, and without a reader it is `abandoned`.
    """

    def __init__(self, kept_bytes_max: float = math.inf, abandoned: Callable[[], None] = _nobody_cares) -> None:
        self._kept_bytes_max = kept_bytes_max
        self._abandoned = abandoned
        self._headers: Headers = []
        self._chunks: list[bytes] = []
        """Without the first `_dropped`."""
        self._dropped = 0
        self._is_stream = False
        self._has_begun = False
        self._ended: bool | TrunklineError = False
        """True for complete; else what is wrong with it."""
        self._is_replay = False
        self.size_bytes = 0
        self._changed = asyncio.Event()
        self._moved = asyncio.Event()
        self._readers: set[_Reader] = set()

    @property
    def has_dropped(self) -> bool:
        """Whether its beginning is gone, so that nobody can join it any more."""
        return self._dropped > 0

    @property
    def answered(self) -> Answered | None:
        """The complete answer; None before it is, for one that broke, and for one of which only the end is left."""
        is_all = self._ended is True and not self._dropped
        return Answered(self._is_stream, self._headers, self._chunks) if is_all else None

    def load(self, answer: Answered) -> None:
        """One that was finished before."""
        self._headers, self._chunks, self._is_stream = list(answer.headers), list(answer.chunks), answer.is_stream
        self._has_begun = self._ended = self._is_replay = True
        self._tell()

    async def whole(self, body: bytes, headers: Headers) -> None:
        self._headers, self._chunks, self.size_bytes = list(headers), [body], len(body)
        self._has_begun = self._ended = True
        self._tell()

    async def open(self, headers: Headers) -> None:
        self._headers, self._is_stream, self._has_begun = list(headers), True, True
        self._tell()

    async def events(self, chunks: list[bytes]) -> None:
        self._chunks += chunks
        self.size_bytes += sum(map(len, chunks))
        self._tell()
        if self._trim():
            # A cancellation has its effect where one waits.
            await asyncio.sleep(0)
        while self._readers and self.size_bytes - min(one.size_bytes for one in self._readers) > AHEAD_BYTES_MAX:
            self._moved.clear()
            await self._moved.wait()

    async def done(self) -> None:
        self._ended = True
        self._tell()

    async def broken(self, error: TrunklineError) -> None:
        self.fail(error)

    def fail(self, error: TrunklineError) -> None:
        """It ends here. Once it has ended, nothing happens."""
        if self._ended is False:
            self._ended = error
            self._tell()

    async def play(self, sink: Sink, *, is_replay: bool) -> None:
        """Into a caller's sink, from the beginning.

        Raises TrunklineError where there is no answer, IdempotencyKeyInUse where its beginning is gone.
        """
        if self._dropped:
            text = (
                "the request with this idempotency key has too long an answer to join it; send it again when it is over"
            )
            raise IdempotencyKeyInUse(text, retry_after_s=RETRY_S)
        reader = _Reader()
        self._readers.add(reader)
        try:
            await self._until_begun()
            headers = [*self._headers, REPLAYED] if is_replay or self._is_replay else self._headers
            if not self._is_stream:
                await sink.whole(self._chunks[0], headers)
                return
            await sink.open(headers)
            await self._play_events(sink, reader)
        finally:
            self._readers.discard(reader)
            self._trim()
            self._moved.set()

    async def _until_begun(self) -> None:
        while not self._has_begun:
            if isinstance(self._ended, TrunklineError):
                raise self._ended
            await self._changed.wait()

    async def _play_events(self, sink: Sink, reader: _Reader) -> None:
        while True:
            fresh = self._next(reader)
            if fresh:
                if not await _written(sink, fresh):
                    await sink.broken(DeadlineExceeded(f"the caller read nothing for {WRITE_S:g} s"))
                    return
                reader.chunks += len(fresh)
                reader.size_bytes += sum(map(len, fresh))
                self._trim()
                self._moved.set()
            elif self._ended is True:
                await sink.done()
                return
            elif self._ended is not False:
                await sink.broken(self._ended)
                return
            else:
                await self._changed.wait()

    def _next(self, reader: _Reader) -> list[bytes]:
        """What this reader is to be given next: one chunk, or more as long as they are small."""
        first = reader.chunks - self._dropped
        size_bytes, last = 0, first
        while last < len(self._chunks) and size_bytes < WRITE_BYTES_MAX:
            size_bytes += len(self._chunks[last])
            last += 1
        return self._chunks[first:last]

    def _trim(self) -> bool:
        """Drop what nobody needs of an answer that is too long to be kept. Whether nobody is left to need any."""
        if not self._is_stream or self.size_bytes <= self._kept_bytes_max:
            return False
        if self._readers:
            least = min(one.chunks for one in self._readers)
            del self._chunks[: least - self._dropped]
            self._dropped = least
            return False
        if self._ended is not False:
            return False
        self._abandoned()
        return True

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


async def _written(sink: Sink, chunks: list[bytes]) -> bool:
    """Whether the reader has taken them in time."""
    try:
        async with asyncio.timeout(WRITE_S):
            await sink.events(chunks)
    except TimeoutError:
        return False
    return True
