"""Responses in a store that is away. The rest is tested with the route, against a real one."""

import pytest

from trunkline_gateway.responses.valkey import ValkeyStates
from trunkline_kit.clock import ManualClock
from trunkline_kit.errors import StoreUnavailable
from trunkline_kit.stores.valkey import open_valkey


@pytest.mark.parametrize("query", ["", "?cluster=true"], ids=["one server", "a cluster"])
async def test_a_store_that_is_away_is_said(query):
    clock = ManualClock()
    async with open_valkey(f"redis://127.0.0.1:9/{query}") as client:
        states = ValkeyStates(client, clock)
        for asked in (
            states.check,
            lambda: states.put("a", {"x": b"1"}, 10.0),
            lambda: states.get("a", ["x"]),
            lambda: states.delete("a", ["x"]),
        ):
            with pytest.raises(StoreUnavailable, match=r"(Connection|Cluster)"):
                await asked()
            clock.advance(1)
