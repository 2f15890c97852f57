"""The stores of `trunkline up`: those it is told of, else an embedded Valkey and Postgres in the home folder."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import asyncpg
from msgspec import Struct
from redis.asyncio import Redis

from trunkline_kit.health import Check
from trunkline_kit.secrets import Secret, resolve
from trunkline_kit.settings import Stores
from trunkline_kit.stores.postgres import open_postgres, ping_postgres
from trunkline_kit.stores.valkey import open_valkey, ping_valkey
from trunkline_standalone.embedded.postgres import open_postgres_server
from trunkline_standalone.embedded.sockets import open_sockets
from trunkline_standalone.embedded.valkey import open_valkey_server
from trunkline_standalone.home import Home

REDIS_URL = "TRUNKLINE_REDIS_URL"
DATABASE_URL = "TRUNKLINE_DATABASE_URL"


class StoreUrls(Struct, frozen=True, kw_only=True):
    """Where the stores are; None means embedded."""

    redis: Secret | None = None
    database: Secret | None = None


def store_urls(stores: Stores, environment: Mapping[str, str]) -> StoreUrls:
    """The file's, else the environment's. Raises ConfigError for a reference that leads nowhere."""
    redis = stores.redis or (f"env:{REDIS_URL}" if environment.get(REDIS_URL) else None)
    database = stores.database or (f"env:{DATABASE_URL}" if environment.get(DATABASE_URL) else None)
    return StoreUrls(
        redis=resolve(redis, environment) if redis else None,
        database=resolve(database, environment) if database else None,
    )


class OpenStores:
    """Connections, and their share of `/readyz`. Requests do without them, so none is required."""

    def __init__(self, valkey: Redis, postgres: asyncpg.Pool, urls: StoreUrls) -> None:
        self.urls = urls
        """Where they are: both known now."""
        self._valkey = valkey
        self._postgres = postgres

    def checks(self) -> dict[str, Check]:
        """What `/readyz` shows."""
        return {"valkey": partial(ping_valkey, self._valkey), "postgres": partial(ping_postgres, self._postgres)}


@asynccontextmanager
async def open_stores(urls: StoreUrls, home: Home, runtime_folder: str) -> AsyncIterator[OpenStores]:
    """Start what is embedded, connect to both. Raises Unavailable when an embedded one does not start."""
    async with AsyncExitStack() as stack:
        redis, database = urls.redis, urls.database
        if redis is None or database is None:
            sockets = stack.enter_context(open_sockets(home.path, runtime_folder))
        if redis is None:
            server = open_valkey_server(home.valkey, home.logs / "valkey.log", sockets)
            redis = Secret(await stack.enter_async_context(server))
        if database is None:
            server = open_postgres_server(home.postgres, home.logs / "postgres.log", sockets)
            database = Secret(await stack.enter_async_context(server))
        valkey = await stack.enter_async_context(open_valkey(redis.reveal()))
        postgres = await stack.enter_async_context(open_postgres(database.reveal()))
        yield OpenStores(valkey, postgres, StoreUrls(redis=redis, database=database))
