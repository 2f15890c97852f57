import pytest

from trunkline_kit.errors import ConfigError, StoreUnavailable
from trunkline_kit.stores.valkey import ValkeyOptions, open_valkey, ping_valkey


async def test_nobody_there_is_said_at_once():
    async with open_valkey("redis://127.0.0.1:9", ValkeyOptions(timeout_s=0.2)) as client:
        with pytest.raises(StoreUnavailable, match="does not answer"):
            await ping_valkey(client)


async def test_a_url_that_makes_no_sense():
    with pytest.raises(ConfigError, match="redis://"):
        async with open_valkey("http://127.0.0.1"):
            pass


async def test_a_missing_socket_is_down_too():
    async with open_valkey("unix:///nowhere/valkey.sock") as client:
        with pytest.raises(StoreUnavailable):
            await ping_valkey(client)


async def test_a_cluster_of_which_no_node_can_be_reached_is_down_too():
    async with open_valkey("redis://127.0.0.1:9/?cluster=true", ValkeyOptions(timeout_s=0.2)) as client:
        with pytest.raises(StoreUnavailable, match="RedisClusterException"):
            await ping_valkey(client)
