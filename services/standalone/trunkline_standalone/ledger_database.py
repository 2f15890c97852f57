"""Where the ledger of a command is: the file's database, the environment's, or that of a running `trunkline up`."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeVar

import asyncpg

from trunkline_kit.config import load
from trunkline_kit.errors import Unavailable
from trunkline_kit.settings import Stores
from trunkline_kit.stores.postgres import PostgresOptions, open_postgres
from trunkline_standalone.embedded.postgres import database_url
from trunkline_standalone.embedded.sockets import sockets_folder
from trunkline_standalone.stores import store_urls

QUERY_TIMEOUT_S = 60.0
"""A year of a busy company is read for longer than a gateway would wait for anything."""

T = TypeVar("T")


def ledger_url(config: Path | None, home: Path, environment: Mapping[str, str]) -> str:
    """Raises Unavailable where there is none, ConfigError for a file that cannot be read."""
    stores = load(config).settings.stores if config else Stores()
    database = store_urls(stores, environment).database
    if database is not None:
        return database.reveal()
    folder = sockets_folder(home.expanduser().absolute(), environment.get("XDG_RUNTIME_DIR", ""))
    if not folder.is_dir():
        raise Unavailable(
            f"no `trunkline up` runs on {home}; start it, or name the database with --config or TRUNKLINE_DATABASE_URL"
        )
    return database_url(folder)


async def opened_ledger(
    config: Path | None, home: Path, environment: Mapping[str, str], work: Callable[[asyncpg.Pool], Awaitable[T]]
) -> T:
    """Run something with the database. Raises what `ledger_url` and the work raise."""
    options = PostgresOptions(connections=1, command_timeout_s=QUERY_TIMEOUT_S)
    async with open_postgres(ledger_url(config, home, environment), options) as pool:
        return await work(pool)
