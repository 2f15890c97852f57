"""How an account at Cohere is opened. Over sockets: tests/integration/test_gateway_cohere.py."""

import pytest

from trunkline_gateway.providers.cohere import open_cohere
from trunkline_kit.clock import ManualClock
from trunkline_kit.errors import ConfigError
from trunkline_kit.providers import CohereProvider


async def test_an_account():
    async with open_cohere("up", CohereProvider(api_key="env:KEY"), {"KEY": "k"}, ManualClock(), 4) as found:
        assert (found.kind, await found.check("m")) == ("cohere", "api.cohere.com, not probed")


async def test_a_key_that_is_not_there():
    with pytest.raises(ConfigError, match="env:GONE"):
        async with open_cohere("up", CohereProvider(api_key="env:GONE"), {}, ManualClock(), 4):
            pass
