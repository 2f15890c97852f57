"""Loops beside the requests, which go on whatever happens: bookkeeping is no reason to stop a gateway."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import NoReturn

log = logging.getLogger(__name__)

PAUSE_S = 1.0
"""After a failure that nobody foresaw."""


async def forever(what: str, step: Callable[[], Awaitable[object]]) -> NoReturn:
    """Do `step` again and again until cancelled. What it raises is in the log as a failure of `what`."""
    while True:
        try:
            await step()
        except Exception:
            log.exception("usage ledger: %s failed; it goes on in %g s", what, PAUSE_S)
            await asyncio.sleep(PAUSE_S)
