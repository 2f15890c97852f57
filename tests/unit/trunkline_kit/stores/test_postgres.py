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


@pytest.mark.parametrize("mark", ["/", "#", "?"])
async def test_a_password_that_was_not_quoted_is_not_told(mark):
    async def use():
        async with open_postgres(f"postgresql://me:hunter2{mark}@127.0.0.1/x"):
            pass

    with pytest.raises(ConfigError, match="%2F") as refused:
        await use()
    assert "hunter2" not in str(refused.value)
    assert refused.value.__context__ is None
