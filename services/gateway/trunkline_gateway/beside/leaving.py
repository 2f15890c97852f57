"""What happens with attempts whose caller leaves while they are under way."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from trunkline_gateway.beside.drains import Drains, Undisturbed
from trunkline_gateway.errands import Errand
from trunkline_gateway.turn import Turn
from trunkline_kit.errors import TrunklineError

R = TypeVar("R")


async def attended(
    drains: Drains,
    turn: Turn,
    errand: Errand,
    attempts: Coroutine[Any, Any, R],
    rest: Callable[[R], Awaitable[None]],
    discard: Callable[[R], None],
) -> R:
    """What `attempts` come to. Cancelled, it cancels them, unless the one under way is charged for anyway.

    Then `turn.unread` ends it: no other attempt is made, and `rest` gets the result. `discard` gets one that came in
    the very moment of the cancellation and that nobody wants.
    """
    if not (errand.may_bill and drains.crew.is_working):
        return await attempts
    work = Undisturbed(drains.crew, attempts)
    try:
        return await work.result()
    except asyncio.CancelledError:
        if not (_is_charged(turn, errand) and drains.take()):
            late = await work.end()
            if late is not None:
                discard(late)
            raise
        turn.is_left, turn.unread = True, _unread(work, rest)
        raise


def _is_charged(turn: Turn, errand: Errand) -> bool:
    """Whether an attempt is under way that its provider charges for; not for a caller whose key was stopped."""
    if turn.standing is not None and turn.standing.cut_because:
        return False
    return any(one.target.provider in errand.bills and not one.failed and not one.is_connecting for one in turn.tried)


def _unread(work: Undisturbed[R], rest: Callable[[R], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    async def read() -> None:
        try:
            await rest(await work.result())
        except asyncio.CancelledError:
            await work.end()
            raise
        except TrunklineError:
            # It failed after all, and the one who asked is not there to be told.
            return

    return read
