import pytest

from trunkline_kit.errors import ConfigError, StoreUnavailable
from trunkline_kit.stores.postgres import PostgresOptions, open_postgres, ping_postgres


async def test_nobody_there_is_said_at_once():
    options = PostgresOptions(connect_timeout_s=0.5)
    async with open_postgres("postgresql://nobody@127.0.0.1:9/none", options) as pool:
        with pytest.raises(StoreUnavailable, match="does not answer"):
            await ping_postgres(pool)


async def test_a_url_that_makes_no_sense():
    with pytest.raises(ConfigError, match="postgresql://"):
        async with open_postgres("http://127.0.0.1/x"):
            pass
