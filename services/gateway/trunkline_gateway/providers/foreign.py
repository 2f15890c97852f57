"""A provider over HTTP whose protocol no caller speaks: every request and every answer is translated.

What differs from one to the next is its `Wire`: where a request goes, what is signed, how events are framed.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from trunkline_gateway.chunks import Chunk
from trunkline_gateway.dialects.abilities import Abilities
from trunkline_gateway.plan import Target
from trunkline_gateway.providers.base import Answer, AttemptFailed, Call, ChunkStream, Terms
from trunkline_gateway.providers.event_stream import EventReader
from trunkline_gateway.providers.http_account import SSE, Account, Framing, HeaderPairs
from trunkline_gateway.providers.translation import CLIENTS, Translation
from trunkline_kit.clock import Clock
from trunkline_kit.errors import Unsupported
from trunkline_policy.faults import FailureKind


class Wire(Protocol):
    """A protocol over HTTP."""

    @property
    def protocol(self) -> str:
        """Its name in the matrix of dialects."""

    @property
    def framing(self) -> Framing:
        """How its streams come."""

    def path(self, target: Target, *, as_stream: bool) -> str:
        """Where a request goes, below the account's URL; percent-encoded."""

    async def headers(self, path: str, body: bytes) -> HeaderPairs:
        """Credentials that hold for one request, where the session's own do not do. Raises AttemptFailed."""

    def abilities(self, target: Target) -> Abilities | None:
        """What the target's model can do; None for all that the protocol can."""


class Fixed(msgspec.Struct, frozen=True, kw_only=True):
    """A wire whose credentials are the session's, and whose addresses follow from the model's name."""

    protocol: str
    path_of: Callable[[Target, bool], str]
    framing: Framing = SSE

    def path(self, target: Target, *, as_stream: bool) -> str:
        return self.path_of(target, as_stream)

    async def headers(self, path: str, body: bytes) -> HeaderPairs:  # noqa: ARG002 - the Protocol's
        return ()

    def abilities(self, target: Target) -> Abilities | None:  # noqa: ARG002 - the Protocol's
        return None


class Foreign:
    """One account."""

    def __init__(self, kind: str, account: Account, wire: Wire, clock: Clock) -> None:
        self.kind = kind
        self.name = account.name
        self._account = account
        self._wire = wire
        self._clock = clock

    async def whole(self, call: Call, target: Target, terms: Terms) -> Answer:
        translation = self._translation(call)
        body = translation.request(target, self._wire.abilities(target))
        path = self._wire.path(target, as_stream=False)
        data = await self._account.whole(path, body, terms, await self._wire.headers(path, body))
        return translation.answer(data, self.name)

    async def stream(self, call: Call, target: Target, terms: Terms) -> ChunkStream:
        translation = self._translation(call)
        body = translation.request(target, self._wire.abilities(target))
        path = self._wire.path(target, as_stream=True)
        headers = await self._wire.headers(path, body)
        reader = await self._account.stream(path, body, terms, headers, self._wire.framing)
        return ReadEvents(reader, translation.stream())

    def streams_whole(self, call: Call, target: Target) -> bool:  # noqa: ARG002 - the Protocol's
        """No: its events come together in another way."""
        return False

    async def check(self, provider_model: str) -> str | None:  # noqa: ARG002 - the Protocol's
        """Always fit: only a request shows whether a foreign provider answers, and asking costs its rate."""
        return f"{self._account.host}, not probed"

    def _translation(self, call: Call) -> Translation:
        if call.surface not in CLIENTS:
            text = f"provider {self.name!r} answers conversations only, no {call.surface.value}s"
            raise AttemptFailed(FailureKind.UNFIT, Unsupported(text, param="model"))
        return Translation(call, self._wire.protocol, int(self._clock.now_s()))


class Events(Protocol):
    """What a provider's events come to. The same for every cutting."""

    def feed(self, datas: Sequence[bytes]) -> list[Chunk]: ...

    def close(self) -> list[Chunk]: ...


class ReadEvents:
    """A stream under way: read, taken apart, and without our key."""

    __slots__ = ("_ended", "_events", "_is_last", "_reader")

    def __init__(self, reader: EventReader, events: Events, is_last: Callable[[bytes], bool] | None = None) -> None:
        self._reader = reader
        self._events = events
        self._is_last = is_last
        """Whether these data are known to be the last, so that the body's end need not be waited for."""
        self._ended = False

    async def next(self) -> list[Chunk] | None:
        while not self._ended:
            datas = await self._reader.next()
            if datas is None:
                self._ended = True
                chunks = self._events.close()
            else:
                datas, is_over = self._up_to_the_last(datas)
                chunks = self._events.feed(datas)
                if is_over:
                    self._ended = True
                    chunks += self._events.close()
            if chunks:
                return [self._without_key(chunk) for chunk in chunks]
        return None

    def _up_to_the_last(self, datas: list[bytes]) -> tuple[list[bytes], bool]:
        """Whatever comes after it is not a part of the answer; and whether it was there."""
        if self._is_last is not None:
            for index, data in enumerate(datas):
                if self._is_last(data):
                    return datas[: index + 1], True
        return datas, False

    def _without_key(self, chunk: Chunk) -> Chunk:
        return msgspec.structs.replace(chunk, error=self._reader.without_key(chunk.error)) if chunk.error else chunk

    def ending(self) -> list[Chunk]:
        if self._ended:
            return []
        self._ended = True
        return self._events.close()

    async def release(self) -> None:
        await self._reader.release()

    def cut(self) -> None:
        self._reader.cut()
