"""How far limits and budgets are overshot: gateway processes on one Valkey, 1,000 requests at once over HTTP.

Each case is a key with one limit. `used` is what the provider served, in requests, tokens or thousandths of a dollar;
`over` is how much of it is above the limit.
"""

import argparse
import asyncio
import hashlib
import json
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import aiohttp
from _processes import free_port, running

from trunkline_testkit.upstream import FakeUpstream, open_fake_upstream
from trunkline_testkit.valkey import valkey_server

BURST = 1_000
WORDS = 40
PROMPT_TOKENS = 3
"""What the provider of the tests says of every prompt."""
TOKENS = PROMPT_TOKENS + WORDS
NUSD_PER_TOKEN = 1_000_000
BODY = {"model": "m", "messages": [{"role": "user", "content": " ".join(["word"] * WORDS)}]}
CASES: tuple[tuple[str, dict[str, object], int, dict[str, object], int], ...] = (
    ("requests", {"limits": [{"requests": 317, "per_s": 600}]}, 317, {}, 1),
    ("tokens, max_tokens said", {"limits": [{"tokens": 10_000, "per_s": 600}]}, 10_000, {"max_tokens": WORDS}, TOKENS),
    ("tokens, guessed", {"limits": [{"tokens": 10_000, "per_s": 600}]}, 10_000, {}, TOKENS),
    (
        "USD, max_tokens said",
        {"budgets": [{"amount_usd": 10, "period": "total"}]},
        10_000,
        {"max_tokens": WORDS},
        TOKENS,
    ),
)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tools/bench overshoot", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--gateways", default="1,3,5", metavar="N,N", help="numbers of processes (1,3,5)")
    options = parser.parse_args(argv)
    rows = [row for count in options.gateways.split(",") for row in asyncio.run(measured(int(count)))]
    if options.json:
        print(json.dumps({"bench": "overshoot", "rows": rows}))
        return 0
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    return 0


async def measured(gateways: int) -> list[dict[str, object]]:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(valkey_server(folder))
        upstream = await stack.enter_async_context(open_fake_upstream())
        plain = stack.enter_context(ExitStack())
        urls = []
        for number in range(gateways):
            port = free_port()
            config = folder / f"{number}.yaml"
            config.write_text(json.dumps(settings(port, server.url, upstream)))
            command = [sys.executable, "-m", "trunkline_gateway", "--config", str(config)]
            await asyncio.to_thread(plain.enter_context, running(command, number % 2, port))
            urls.append(f"http://127.0.0.1:{port}")
        for url in urls:
            await asyncio.to_thread(_wait, url)
        return [await _case(index, urls, upstream) for index in range(len(CASES))]


def settings(port: int, redis: str, upstream: FakeUpstream) -> dict[str, object]:
    """YAML's subset that is JSON."""
    free = (f"127.0.0.1:{free_port()}" for _ in iter(int, 1))
    return {
        "listen": {"http": f"127.0.0.1:{port}", "grpc": next(free), "metrics": next(free)},
        "telemetry": {"log_level": "error"},
        "stores": {"redis": redis},
        "server": {"concurrent_requests": 4 * BURST},
        "providers": {"up": {"kind": "openai", "base_url": upstream.base_url}},
        "prices": {"overrides": [{"provider": "up", "input_usd": 1_000, "output_usd": 1_000}]},
        "models": {"m": {"deployments": [{"provider": "up", "model": "m"}]}},
        "keys": list(_keys()),
    }


def _keys() -> Iterator[dict[str, object]]:
    for index, (_, bounds, *_) in enumerate(CASES):
        digest = hashlib.sha256(f"tl-{index}".encode()).hexdigest()
        yield {"id": f"case-{index}", "secret": f"sha256:{digest}", "when_store_is_down": "closed", **bounds}


def _wait(url: str) -> None:
    with urllib.request.urlopen(f"{url}/readyz", timeout=30) as reply:
        reply.read()


async def _case(index: int, urls: list[str], upstream: FakeUpstream) -> dict[str, object]:
    name, _, limit, extra, each = CASES[index]
    before = len(upstream.requests)
    statuses: dict[int, int] = {}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers={"authorization": f"Bearer tl-{index}"}) as http:

        async def one(number: int) -> None:
            async with http.post(f"{urls[number % len(urls)]}/v1/chat/completions", json={**BODY, **extra}) as reply:
                await reply.read()
                statuses[reply.status] = statuses.get(reply.status, 0) + 1

        async with asyncio.TaskGroup() as group:
            for number in range(BURST):
                group.create_task(one(number))
    used = (len(upstream.requests) - before) * each
    return {
        "gateways": len(urls),
        "case": name,
        "limit": limit,
        "used": used,
        "over": max(0, used - limit),
        "statuses": statuses,
    }
