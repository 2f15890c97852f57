"""A connection on which Postgres says that something has changed."""

import asyncio
import logging
from collections.abc import Callable
from typing import NoReturn

import asyncpg

from trunkline_gateway.directory.database import Database
from trunkline_gateway.directory.schema import CHANNEL
from trunkline_kit.errors import StoreUnavailable

log = logging.getLogger(__name__)

RETRY_S = 1.0
CHECK_EVERY_S = 15.0
"""A connection that is dead without saying so is found out by a statement on it."""
_CHECK_TIMEOUT_S = 5.0


async def listen(database: Database, heard: Callable[[], None]) -> NoReturn:
    """Call `heard` at every change until cancelled, over a new connection where one is lost.

    And once at the beginning of each connection: what was said before it is unknown. The log says once that there is
    none, and once that there is one again.
    """
    is_down = False
    while True:
        try:
            async with database.listening() as connection:
                if is_down:
                    log.info("directory: listening for changes again")
                is_down = False
                await _listen_on(connection, heard)
        except StoreUnavailable as error:
            if not is_down:
                log.warning("directory: cannot listen for changes, asking for them instead: %s", error.message)
            is_down = True
        except Exception:  # a fault of ours: changes are still asked for
            if not is_down:
                log.exception("directory: listening for changes failed; tried again each %g s", RETRY_S)
            is_down = True
        await asyncio.sleep(RETRY_S)


async def _listen_on(connection: asyncpg.Connection, heard: Callable[[], None]) -> None:
    """Return when the connection is lost, or raise as asyncpg does."""
    lost = asyncio.Event()

    def on_change(*_: object) -> None:
        heard()

    def on_end(_: object) -> None:
        lost.set()

    connection.add_termination_listener(on_end)
    try:
        await connection.add_listener(CHANNEL, on_change)
        heard()
        while not lost.is_set():
            try:
                async with asyncio.timeout(CHECK_EVERY_S):
                    await lost.wait()
            except TimeoutError:
                await connection.execute("SELECT 1", timeout=_CHECK_TIMEOUT_S)
    finally:
        if not connection.is_closed():
            connection.remove_termination_listener(on_end)
            await connection.remove_listener(CHANNEL, on_change)
    raise StoreUnavailable("the connection was lost")
