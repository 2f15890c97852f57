"""A pool of connections to Postgres."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import asyncpg
from msgspec import Struct

from trunkline_kit.errors import ConfigError, StoreUnavailable

_DOWN = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)
"""Whatever asyncpg raises when the server is away, refuses or is too slow."""


class PostgresOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of one pool."""

    connect_timeout_s: float = 2.0
    command_timeout_s: float = 5.0
    connections: int = 8
    idle_s: float = 300.0
    """A connection that was not used for so long is closed."""


@asynccontextmanager
async def open_postgres(url: str, options: PostgresOptions | None = None) -> AsyncIterator[asyncpg.Pool]:
    """A pool for `postgresql://…`. Nothing is dialled before the first query. Raises ConfigError for a bad URL."""
    options = options or PostgresOptions()
    _require_url(url)
    pool = await asyncpg.create_pool(
        url,
        min_size=0,
        max_size=options.connections,
        timeout=options.connect_timeout_s,
        command_timeout=options.command_timeout_s,
        max_inactive_connection_lifetime=options.idle_s,
    )
    try:
        yield pool
    finally:
        pool.terminate()


def _require_url(url: str) -> None:
    """With no connection to open yet the library does not look at it. Raises ConfigError.

    A password with `/`, `#` or `?` in it that was not quoted is taken for a port, which the library's error would tell:
    so none of that error goes on.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        scheme = ""
    else:
        scheme = parts.scheme
    if scheme not in {"postgresql", "postgres"}:
        text = "stores.database must be a URL such as postgresql://user@host:5432/trunkline"
        raise ConfigError(f"{text}; in a password, write @ / # ? : as %40 %2F %23 %3F %3A")


async def ping_postgres(pool: asyncpg.Pool) -> str:
    """The server's version, and pgvector's where it is there, for `/readyz`. Raises StoreUnavailable."""
    try:
        version, vector = await pool.fetchrow(
            "SELECT current_setting('server_version'), (SELECT extversion FROM pg_extension WHERE extname = 'vector')"
        )
    except _DOWN as error:
        raise StoreUnavailable(f"Postgres does not answer: {type(error).__name__}") from error
    return f"PostgreSQL {version}, pgvector {vector}" if vector else f"PostgreSQL {version}, no pgvector"
