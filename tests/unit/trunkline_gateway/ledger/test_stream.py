"""A stream of usage that is away. The rest is tested against a real one."""

import pytest

from trunkline_gateway.ledger.stream import Entry, UsageStream
from trunkline_kit.errors import StoreUnavailable
from trunkline_kit.stores.valkey import open_valkey


@pytest.mark.parametrize("query", ["", "?cluster=true"], ids=["one server", "a cluster"])
async def test_a_store_that_is_away_is_said(query):
    async with open_valkey(f"redis://127.0.0.1:9/{query}") as client:
        stream = UsageStream(client, client, "one", 10)
        for asked in (
            lambda: stream.put([b"rows"]),
            stream.take,
            stream.claim,
            lambda: stream.finish([Entry(b"1-0", b"rows")]),
            stream.forgets_on_restart,
            stream.forget_consumers,
        ):
            with pytest.raises(StoreUnavailable, match="does not take usage"):
                await asked()
