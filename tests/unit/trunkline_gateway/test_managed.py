"""The directory as the gateway uses it. With a database: the integration tests."""

import pytest

from trunkline_gateway.config import GatewayConfig
from trunkline_gateway.directory.objects import Actor, Draft, Kind
from trunkline_gateway.hashing import Hasher
from trunkline_gateway.managed import NOTHING_MADE, open_managed
from trunkline_kit.clock import ManualClock
from trunkline_kit.config import decode
from trunkline_kit.errors import StoreUnavailable
from trunkline_kit.settings import Settings
from trunkline_kit.tenants import Team


def config(*teams):
    return GatewayConfig.from_settings(decode({"teams": {name: {} for name in teams}}, Settings))


@pytest.fixture
async def managed():
    async with open_managed(config("search"), None, Hasher(), ManualClock()) as opened:
        yield opened


async def test_without_a_database_the_file_is_all_there_is(managed):
    assert managed.snapshot is NOTHING_MADE
    assert (managed.stored.missing(), managed.stored.outdated()) == ("", "")
    assert (await managed.registry.get(Kind.TEAM, "search")).declared
    assert "only what the file declares" in await managed.check()
    with pytest.raises(StoreUnavailable, match="no database"):
        await managed.registry.create(Draft(kind=Kind.TEAM, id="x", spec=Team()), Actor(id="a", request_id="r"))


async def test_there_is_nothing_to_follow(managed):
    async with managed.following(None):
        assert managed.mirror is None


async def test_another_configuration_is_taken_up(managed):
    managed.apply(config("ads"))
    assert (await managed.registry.get(Kind.TEAM, "ads")).id == "ads"
