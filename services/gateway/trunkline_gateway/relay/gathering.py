"""A whole answer out of a provider's stream: nothing is sent on before it is complete, so all of it may fail over."""

import asyncio
from collections.abc import Callable

import msgspec

from trunkline_gateway.chunks import chunk_of, lenient
from trunkline_gateway.providers.base import Answer, AttemptFailed, Call, PieceStream
from trunkline_gateway.providers.statuses import in_stream
from trunkline_gateway.relay import assembly
from trunkline_gateway.relay.runs import compacted
from trunkline_gateway.relay.streaming import Clocks, Started, too_slow
from trunkline_gateway.usage import Usage
from trunkline_kit.errors import TrunklineError, UpstreamError
from trunkline_policy.faults import FailureKind

PAUSE_SHARE = 0.05
"""Of the time since it began: so much longer may an answer take for being read in gulps."""
PAUSE_S_MAX = 0.1

_UNREADABLE = "sent something that is not OpenAI's JSON"

Heard = Callable[[int], None]
"""Told about how many events have come so far."""


class Begun(msgspec.Struct, frozen=True):
    """A stream that has said something, and what it said."""

    stream: PieceStream
    held: list[bytes]


def begun_of(started: Started, stream: PieceStream, provider: str) -> Begun:
    """Raises AttemptFailed for a beginning that cannot be read."""
    if any(chunk.malformed for chunk in started.held):
        stream.cut()
        raise _broken(provider, _UNREADABLE)
    return Begun(stream, [chunk.data for chunk in started.held])


async def gathered(begun: Begun, call: Call, provider: str, clocks: Clocks, heard: Heard) -> Answer:
    """The answer that a started stream stands for. Raises AttemptFailed for one that is not complete, or damaged.

    A stream whose every choice has a finish reason is complete, however its end looked.
    """
    stream = begun.stream
    try:
        failed = await _read(begun, provider, clocks, heard)
        compact = compacted([*begun.held, *_rest(stream)])
        finished, usage = _looked_at(compact, provider)
        if finished < call.choices:
            raise failed or _broken(provider, "ended its stream without finishing")
        if failed is None:
            await stream.release()
    finally:
        stream.cut()
    body = assembly.whole(compact) or assembly.whole([lenient(data) for data in compact])
    if body is None:
        raise _broken(provider, "sent a stream that makes no whole answer")
    return stream.translated(Answer(body=body, usage=usage))


async def _read(begun: Begun, provider: str, clocks: Clocks, heard: Heard) -> AttemptFailed | None:
    """Read everything that comes; what ended it early."""
    loop, events, pace = asyncio.get_running_loop(), len(begun.held), clocks.pace
    began_s = read_s = loop.time()
    try:
        async with asyncio.timeout_at(min(clocks.deadline_s, began_s + clocks.patience_s(pace))) as clock:
            pause_s, before = 0.0, 0
            while (count := await begun.stream.more(pause_s)) is not None:
                heard(events + count)
                now_s = loop.time()
                if pace is not None:
                    pace.came(count - before, now_s - read_s)
                if count > before:
                    # Comments, and bytes that make no event, are no sign of life.
                    clock.reschedule(min(clocks.deadline_s, now_s + clocks.patience_s(pace)))
                pause_s, before, read_s = min(PAUSE_S_MAX, (now_s - began_s) * PAUSE_SHARE), count, now_s
    except TimeoutError:
        return AttemptFailed(FailureKind.SILENT, too_slow(provider, clocks, pace))
    except AttemptFailed as failed:
        return failed
    except TrunklineError as error:
        return AttemptFailed(FailureKind.BROKEN, error)
    return None


def _rest(stream: PieceStream) -> list[bytes]:
    """What was read. Raises AttemptFailed for what cannot be cut into events."""
    try:
        return stream.rest()
    except UpstreamError as error:
        raise AttemptFailed(FailureKind.BROKEN, error) from error


def _looked_at(compact: list[bytes], provider: str) -> tuple[int, Usage | None]:
    """How many choices have ended, and the usage.

    Raises AttemptFailed for an error, and for what cannot be read: the caller would not see what is missing.
    """
    finished: set[int] = set()
    usage: Usage | None = None
    for data in compact:
        chunk = chunk_of(data)
        if chunk.error:
            raise in_stream(provider, chunk.error)
        if chunk.malformed:
            raise _broken(provider, _UNREADABLE)
        finished.update(chunk.finished)
        usage = chunk.usage or usage
    return len(finished), usage


def _broken(provider: str, what: str) -> AttemptFailed:
    return AttemptFailed(FailureKind.BROKEN, UpstreamError(f"provider {provider!r} {what}"))
