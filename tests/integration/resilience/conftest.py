"""Gateways with a real Valkey, and what they write down."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from trunkline_gateway.ledger.rows import AttemptRow, decode_rows
from trunkline_gateway.ledger.stream import FIELD, STREAM
from trunkline_testkit.valkey import ValkeyServer, valkey_server

SOON_S = 5.0


@pytest.fixture
def valkey() -> Iterator[ValkeyServer]:
    with tempfile.TemporaryDirectory(prefix="tl-") as short, valkey_server(Path(short)) as server:
        yield server


@pytest.fixture
def booked(valkey: ValkeyServer, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """A tree whose rows wait in Valkey, because their Postgres is never there."""

    def made(tree: dict[str, Any], **prices: str) -> dict[str, Any]:
        stores = {"redis": valkey.url, "database": "postgresql://127.0.0.1:1/nowhere?sslmode=disable"}
        priced = [{"provider": "up", "model": "*", **prices}] if prices else []
        return {
            **tree,
            "stores": stores,
            "ledger": {"spool_dir": str(tmp_path / "spool")},
            "prices": {"overrides": priced},
        }

    return made


@pytest.fixture
def rows(valkey: ValkeyServer) -> Callable[[int], Awaitable[list[AttemptRow]]]:
    """The first so many rows, once they are there. A row may be delivered twice."""

    async def found(count: int) -> list[AttemptRow]:
        async with Redis.from_url(valkey.url) as client, asyncio.timeout(SOON_S):
            while True:
                entries: list[Any] = await client.xrange(STREAM) or []
                seen = {row.attempt_id: row for _, fields in entries for row in decode_rows(fields[FIELD])}
                if len(seen) >= count:
                    return list(seen.values())
                await asyncio.sleep(0.005)

    return found
