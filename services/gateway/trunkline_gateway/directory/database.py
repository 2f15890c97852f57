"""Transactions on the directory's tables, each with a deadline, and what becomes of it when Postgres is away."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from trunkline_gateway.directory.schema import COMPONENT, MIGRATIONS
from trunkline_kit.errors import ConfigError, InvalidRequest, StoreUnavailable
from trunkline_kit.migrations import migrate, require_migrated

log = logging.getLogger(__name__)

TRANSACTION_TIMEOUT_S = 5.0
"""For all of a transaction, with waiting for a connection and for other writers."""
LOAD_TIMEOUT_S = 30.0
"""For reading everything there is, and for bringing the schema up to date."""

_DOWN = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)
_GONE = (asyncpg.UndefinedTableError, asyncpg.UndefinedFunctionError)
"""The tables are not there though we made them: the database was replaced. They are made again at the next use."""


class Database:
    """A pool, and the schema in it."""

    def __init__(self, pool: asyncpg.Pool, *, may_migrate: bool = True) -> None:
        self._pool = pool
        self._may_migrate = may_migrate
        self._ready = False

    async def prepare(self) -> None:
        """Bring the schema up to date, or check that it is. Raises StoreUnavailable, ConfigError."""
        if self._ready:
            return
        async with self._answering(LOAD_TIMEOUT_S), self._pool.acquire() as connection:
            if self._may_migrate:
                await migrate(connection, COMPONENT, MIGRATIONS)
            else:
                await require_migrated(connection, COMPONENT, MIGRATIONS)
        self._ready = True

    @asynccontextmanager
    async def connected(self, timeout_s: float = TRANSACTION_TIMEOUT_S) -> AsyncIterator[asyncpg.Connection]:
        """A connection for single statements. Raises StoreUnavailable, InvalidRequest for text it cannot hold."""
        await self._prepared()
        async with self._answering(timeout_s), self._pool.acquire() as connection:
            yield connection

    @asynccontextmanager
    async def reading(self, timeout_s: float = TRANSACTION_TIMEOUT_S) -> AsyncIterator[asyncpg.Connection]:
        """A transaction in which everything is as of one moment. Raises as `connected`."""
        async with (
            self.connected(timeout_s) as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[asyncpg.Connection]:
        """A transaction; all or nothing. Raises as `connected`."""
        async with self.connected() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection that is held for as long as the block lasts. Raises StoreUnavailable."""
        await self._prepared()
        async with self._answering(None):
            connection = await self._pool.acquire(timeout=TRANSACTION_TIMEOUT_S)
            try:
                yield connection
            finally:
                await self._pool.release(connection, timeout=TRANSACTION_TIMEOUT_S)

    async def _prepared(self) -> None:
        """For a database that came after the start: a schema that is not ours is no reason to stop serving then."""
        try:
            await self.prepare()
        except ConfigError as error:
            raise StoreUnavailable(error.message) from error

    @asynccontextmanager
    async def _answering(self, timeout_s: float | None) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(timeout_s):
                yield
        except asyncpg.DataError as error:
            text = "the database cannot hold what was sent: a NUL character, half of a character, or a number too large"
            raise InvalidRequest(text) from error
        except _GONE as error:
            self._ready = False
            raise _down(error) from error
        except _DOWN as error:
            raise _down(error) from error


_REFUSALS = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
)
"""Who we are, which database, what we may: waiting mends none of them. Their words hold names, and nothing sent."""


def _down(error: Exception) -> StoreUnavailable:
    """Says the kind of failure only, but for refusals: the library's words may hold what was sent."""
    if isinstance(error, _REFUSALS):
        return StoreUnavailable(
            f"Postgres refuses the directory: {error.args[0] if error.args else type(error).__name__};"
            " whoever runs this gateway must mend stores.database, or the user's rights there"
        )
    return StoreUnavailable(
        f"the directory's database does not answer ({type(error).__name__}); try again when Postgres is back"
    )
