"""Connections to Valkey or Redis, to one server or to a cluster."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from msgspec import Struct
from redis.asyncio import Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.driver_info import DriverInfo
from redis.exceptions import RedisClusterException, RedisError

from trunkline_kit.errors import ConfigError, StoreUnavailable
from trunkline_kit.stores.valkey_url import WRONG_SCHEME, Cluster, cluster_of, plain_url

DOWN = (RedisError, RedisClusterException, OSError, TimeoutError)
"""What a client raises where the store does not do what it is asked. A cluster of which no node can be reached, or
that serves only some slots, raises what is no RedisError."""


class ValkeyOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of one pool."""

    timeout_s: float = 0.5
    """For one command and for connecting. A store that is slower counts as down: requests do not wait for it."""
    connections: int = 64
    """To one server, or to each node of a cluster."""


def open_valkey_cluster(cluster: Cluster, options: ValkeyOptions) -> RedisCluster:
    """Finds the node of every key by itself, also after a failover. May do a command twice when a node is lost."""
    seed = Redis.from_url(cluster.url_of(cluster.seeds[0])).connection_pool
    kwargs = {
        name: value
        for name, value in seed.connection_kwargs.items()
        if name in {"username", "password"} or name.startswith("ssl")
    }
    nodes = []
    for address in cluster.seeds:
        host, _, port = address.rpartition(":")
        nodes.append(ClusterNode(host, int(port)))
    return RedisCluster(
        startup_nodes=nodes,
        driver_info=DriverInfo(name="trunkline", lib_version=None),
        max_connections=options.connections,
        socket_timeout=options.timeout_s,
        socket_connect_timeout=options.timeout_s,
        ssl=cluster.node_url.startswith("rediss:"),
        **kwargs,
    )


@asynccontextmanager
async def open_valkey(url: str, options: ValkeyOptions | None = None) -> AsyncIterator[Redis]:
    """A client for `redis://…`, `rediss://…` or `unix:///path`. Nothing is dialled before the first command.

    For a cluster (see `cluster_of`) it takes the same commands; the keys of one command, pipeline or transaction must
    share a hash tag. Raises ConfigError for a URL that makes no sense.
    """
    options = options or ValkeyOptions()
    cluster = cluster_of(url)
    if cluster is not None:
        spread = open_valkey_cluster(cluster, options)
        try:
            yield cast("Redis", spread)
        finally:
            await spread.aclose()
        return
    try:
        client = Redis.from_url(
            plain_url(url),
            # Left to itself, the library looks for its own version on disk at every new connection.
            driver_info=DriverInfo(name="trunkline", lib_version=None),
            max_connections=options.connections,
            socket_timeout=options.timeout_s,
            socket_connect_timeout=options.timeout_s,
        )
    except ValueError as error:
        raise ConfigError(WRONG_SCHEME) from error
    async with client:
        yield client


async def ping_valkey(client: Redis) -> str:
    """The server's version, for `/readyz`. Raises StoreUnavailable."""
    try:
        info = await client.info("server")
    except DOWN as error:
        raise StoreUnavailable(f"Valkey does not answer: {type(error).__name__}") from error
    version = info.get("valkey_version")
    if version:
        return f"Valkey {version}"
    return f"Redis {info.get('redis_version', 'of unknown version')}"
