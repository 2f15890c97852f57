"""A pool of connections to Valkey or Redis."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct
from redis.asyncio import Redis
from redis.driver_info import DriverInfo
from redis.exceptions import RedisError

from trunkline_kit.errors import ConfigError, StoreUnavailable


class ValkeyOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of one pool."""

    timeout_s: float = 0.5
    """For one command and for connecting. A store that is slower counts as down: requests do not wait for it."""
    connections: int = 64


@asynccontextmanager
async def open_valkey(url: str, options: ValkeyOptions | None = None) -> AsyncIterator[Redis]:
    """A client for `redis://…`, `rediss://…` or `unix:///path`. Nothing is dialled before the first command.

    Raises ConfigError for a URL that makes no sense.
    """
    options = options or ValkeyOptions()
    try:
        client = Redis.from_url(
            url,
            # Left to itself, the library looks for its own version on disk at every new connection.
            driver_info=DriverInfo(name="trunkline", lib_version=None),
            max_connections=options.connections,
            socket_timeout=options.timeout_s,
            socket_connect_timeout=options.timeout_s,
        )
    except ValueError as error:
        raise ConfigError("stores.redis must start with redis://, rediss:// or unix://") from error
    async with client:
        yield client


async def ping_valkey(client: Redis) -> str:
    """The server's version, for `/readyz`. Raises StoreUnavailable."""
    try:
        info = await client.info("server")
    except (RedisError, OSError, TimeoutError) as error:
        raise StoreUnavailable(f"Valkey does not answer: {type(error).__name__}") from error
    version = info.get("valkey_version")
    return f"Valkey {version}" if version else f"Redis {info.get('redis_version', 'of unknown version')}"
