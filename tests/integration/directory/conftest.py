"""A directory's store over a database of its own, in one Postgres for each module."""

import pytest

from trunkline_gateway.directory.store import DirectoryStore
from trunkline_kit.stores.postgres import open_postgres
from trunkline_testkit.databases import new_database, running_postgres


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running_postgres(tmp_path_factory.mktemp("pg")) as url:
        yield url


@pytest.fixture
async def url(server):
    return await new_database(server)


@pytest.fixture
async def pool(url):
    async with open_postgres(url) as opened:
        yield opened


@pytest.fixture
def store(pool):
    return DirectoryStore(pool)
