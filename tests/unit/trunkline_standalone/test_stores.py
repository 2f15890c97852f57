import pytest

from trunkline_kit.errors import ConfigError
from trunkline_kit.secrets import Secret
from trunkline_kit.settings import Stores
from trunkline_standalone.home import make_home
from trunkline_standalone.stores import StoreUrls, open_stores, store_urls

ENVIRONMENT = {
    "TRUNKLINE_REDIS_URL": "redis://one",
    "TRUNKLINE_DATABASE_URL": "postgresql://one",
    "OTHER": "redis://two",
}


def test_embedded_when_nothing_is_said():
    assert store_urls(Stores(), {}) == StoreUrls(redis=None, database=None)


def test_the_environment_is_asked():
    assert store_urls(Stores(), ENVIRONMENT) == StoreUrls(
        redis=Secret("redis://one"), database=Secret("postgresql://one")
    )


def test_the_file_comes_first():
    found = store_urls(Stores(redis="env:OTHER", database="postgresql://host/db"), ENVIRONMENT)
    assert found == StoreUrls(redis=Secret("redis://two"), database=Secret("postgresql://host/db"))


def test_a_reference_that_leads_nowhere():
    with pytest.raises(ConfigError, match="env:NOT_THERE"):
        store_urls(Stores(redis="env:NOT_THERE"), ENVIRONMENT)


async def test_given_stores_start_nothing_and_dial_nothing(tmp_path):
    urls = StoreUrls(redis=Secret("redis://127.0.0.1:9"), database=Secret("postgresql://u@127.0.0.1:9/d"))
    home = make_home(tmp_path)
    async with open_stores(urls, home, "") as stores:
        assert set(stores.checks()) == {"valkey", "postgres"}
    assert not home.valkey.exists()
    assert not home.postgres.exists()
