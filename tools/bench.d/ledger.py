"""CPU that the ledger adds to a request: noted before it is sent, counted, settled, delivered to a real Valkey.

One process, no HTTP, no Postgres: what comes out of Valkey later is the consumers' work. With the journal of attempts
in flight and without it, and what the same would cost in Valkey instead: a round trip before each attempt.
"""

import argparse
import asyncio
import json
import platform
import tempfile
import time
from pathlib import Path
from uuid import uuid4

from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from trunkline_gateway.auth import Principal
from trunkline_gateway.ledger.bookkeeping import Bookkeeper
from trunkline_gateway.ledger.books import Books
from trunkline_gateway.ledger.journal import Journal, open_journal
from trunkline_gateway.ledger.meters import JournalMeters, LedgerMeters
from trunkline_gateway.ledger.opening import Streamed
from trunkline_gateway.ledger.spool import Spool
from trunkline_gateway.ledger.stream import STREAM, UsageStream
from trunkline_gateway.plan import Target
from trunkline_gateway.prices.pricing import Pricing, Quote
from trunkline_gateway.surface import Surface
from trunkline_gateway.turn import Tried, Turn
from trunkline_gateway.usage import usage_of
from trunkline_kit.clock import SystemClock
from trunkline_kit.lifecycle import background
from trunkline_kit.stores.valkey import ValkeyOptions, open_valkey
from trunkline_policy.costs import Price, Rates
from trunkline_testkit.valkey import valkey_server

TARGET = Target(model="gpt-4o-mini", provider="openai", provider_model="gpt-4o-mini-2024-07-18")
PRICE = Price(rates=Rates(input=150_000_000, output=600_000_000))
PRICING = Pricing(
    {("openai", TARGET.provider_model): (Quote(since_s=0, price=PRICE, version="genai-prices-2026-11/x"),)}
)
BODY = b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"' + b"Write about gateways. " * 40 + b'"}]}'
PIECES = 50
CONCURRENT = 32
ROW_BYTES = 270
"""What a row takes in the journal."""


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tools/bench ledger", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--requests", type=int, default=20_000, metavar="N", help="per case (20000)")
    parser.add_argument("--folder", type=Path, default=None, help="where the journal is (a temporary folder)")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder, valkey_server(Path(folder)) as server:
        rows = asyncio.run(measured(server.url, Path(folder), options.requests))
    if options.json:
        print(json.dumps({"bench": "ledger", "python": platform.python_version(), "rows": rows}))
        return 0
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    return 0


async def measured(url: str, folder: Path, requests: int) -> list[dict[str, object]]:
    async with open_valkey(url, ValkeyOptions(connections=CONCURRENT, timeout_s=5)) as client:
        await kept(client, folder, None, requests // 10)
        rows = []
        for name in ("without a journal", "with a journal"):
            journal = open_journal(folder, JournalMeters(CollectorRegistry())) if name.startswith("with a") else None
            rows.append({"case": name, **await kept(client, folder, journal, requests)})
        alone, together = await set_there(client, 1), await set_there(client, CONCURRENT)
    return [
        *rows,
        {"case": "SET in Valkey instead, one at a time", **alone},
        {"case": f"SET in Valkey instead, {CONCURRENT} at once", **together},
    ]


def turn_of() -> Turn:
    return Turn(
        surface=Surface.CHAT,
        principal=Principal(key_id="search-dev", team="search", org="acme"),
        request_id="req-0123456789abcdef01234567",
        traceparent="",
        started_s=0.0,
        model=TARGET.model,
        stream=True,
        trace_id="0" * 32,
        target=TARGET,
        tried=[Tried(target=TARGET, started_s=0.0, ended_s=1.0)],
        usage=usage_of(300, PIECES),
        outcome="ok",
    )


async def kept(client: Redis, folder: Path, journal: Journal | None, requests: int) -> dict[str, object]:
    """Batches of `CONCURRENT` requests that begin, stream and end together; all in one turn of the loop each."""
    registry, clock = CollectorRegistry(), SystemClock()
    stream = UsageStream(client, client, "bench", 10**9)
    books = Books(Streamed(stream), Spool(folder, 1 << 20), LedgerMeters(registry), clock, journal)
    keeper = Bookkeeper(books, clock, registry)
    parts = {"note": 0.0, "count": 0.0, "settle": 0.0}
    cpu_s = time.process_time()
    async with background(books.run()):
        for _ in range(requests // CONCURRENT):
            turns = [turn_of() for _ in range(CONCURRENT)]
            moments = [time.process_time()]
            for turn in turns:
                keeper.begin(turn, BODY)
            moments.append(time.process_time())
            for progress in map(keeper.progress, turns):
                for piece in range(PIECES if progress is not None else 0):
                    progress(piece, 0.5)  # type: ignore[misc]  # not None here
            moments.append(time.process_time())
            for turn in turns:
                keeper.settle(turn, PRICING, BODY)
            moments.append(time.process_time())
            for index, name in enumerate(parts):
                parts[name] += moments[index + 1] - moments[index]
            await asyncio.sleep(0)
    # As the gateway does: what sends rows has ended before the journal goes.
    await books.close()
    cpu_s = time.process_time() - cpu_s
    await client.delete(STREAM)
    told: dict[str, object] = {f"{name}_us": round(spent_s * 1e6 / requests, 2) for name, spent_s in parts.items()}
    return {**told, "all_cpu_us": round(cpu_s * 1e6 / requests, 2)}


async def set_there(client: Redis, concurrent: int, requests: int = 4_000) -> dict[str, object]:
    """A key with a life for each attempt, as an alternative to the journal."""
    payload, waits_s, left = bytes(ROW_BYTES), [], iter(range(requests))

    async def worker() -> None:
        for _ in left:
            began_s = time.perf_counter()
            await client.set(f"attempt:{uuid4().hex}", payload, ex=600)
            waits_s.append(time.perf_counter() - began_s)

    cpu_s = time.process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(concurrent):
            group.create_task(worker())
    cpu_s = time.process_time() - cpu_s
    waits_s.sort()
    p50_us, p99_us = waits_s[len(waits_s) // 2] * 1e6, waits_s[len(waits_s) * 99 // 100] * 1e6
    return {"wait_p50_us": round(p50_us), "wait_p99_us": round(p99_us), "all_cpu_us": round(cpu_s * 1e6 / requests)}
