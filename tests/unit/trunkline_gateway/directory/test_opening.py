"""How far a gateway may rely on keys that it knows from a database."""

import pytest

from trunkline_gateway.directory.mirror import Mirror
from trunkline_gateway.directory.objects import Changes
from trunkline_gateway.directory.opening import DirectoryOptions, MirroredKeys, open_directory
from trunkline_kit.clock import ManualClock
from trunkline_kit.errors import ConfigError
from trunkline_kit.secrets import Secret


class Empty:
    async def changes(self, since=None):
        return Changes(revision=0, mark="m", whole=since is None)


async def test_keys_are_missing_until_they_were_read_and_outdated_when_that_is_long_ago():
    clock = ManualClock()
    mirror = Mirror(Empty(), clock)
    keys = MirroredKeys(mirror, stale_s=60)
    assert "does not answer yet" in keys.missing()
    assert keys.outdated()
    await mirror.load()
    assert (keys.missing(), keys.outdated()) == ("", "")
    clock.advance(60)
    assert keys.outdated() == ""
    clock.advance(1)
    assert "too long" in keys.outdated()
    assert "may be a new one" in keys.missing(), "a key that is not known is not wrong for that"
    keys.stale_s = 600
    assert keys.outdated() == ""


async def test_a_url_that_makes_no_sense_is_said():
    options = DirectoryOptions(database=Secret("mysql://canary@host/db"))
    with pytest.raises(ConfigError, match=r"stores\.database") as wrong:
        async with open_directory(options, ManualClock()):
            pass
    assert "canary" not in str(wrong.value) + repr(options)
