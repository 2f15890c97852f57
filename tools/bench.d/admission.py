"""CPU that limits and budgets add to a request, at 32 concurrent requests against a real Valkey.

One process, no HTTP: what is measured is estimate, admit and settle of a key with limits on requests, tokens and
concurrency and a team with a budget, so four counters and a lease. The store's own CPU is told apart.
"""

import argparse
import asyncio
import json
import platform
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

from prometheus_client import CollectorRegistry

from trunkline_gateway.admission.admission import Demand
from trunkline_gateway.admission.batching import Patience
from trunkline_gateway.admission.estimation import Estimator
from trunkline_gateway.admission.gate import Gate
from trunkline_gateway.admission.levels import Bounds, Level, Rule, Shelf
from trunkline_gateway.admission.opening import GateOptions, open_gate
from trunkline_gateway.admission.store import open_limit_client
from trunkline_kit.clock import SystemClock
from trunkline_kit.parts import Kit
from trunkline_kit.rpc import Net
from trunkline_kit.secrets import Secret
from trunkline_kit.tenants import Budget, Limit, Period, WhenStoreIsDown
from trunkline_kit.tracing import Tracing
from trunkline_testkit.valkey import valkey_server

TARGET_MS = 0.25
PLENTY = 10**9
BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Write one sentence about gateways. " * 20}]})
KEY_BOUNDS = Bounds(
    (Limit(requests=PLENTY, per_s=60), Limit(tokens=PLENTY, per_s=60), Limit(concurrent=PLENTY)),
)
TEAM_BOUNDS = Bounds((), (Budget(amount_usd=1_000_000, period=Period.MONTH),))


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tools/bench admission", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--requests", type=int, default=10_000, metavar="N", help="per case (10000)")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder, valkey_server(Path(folder)) as server:
        rows = asyncio.run(measured(server.url, options.requests))
    if options.json:
        print(json.dumps({"bench": "admission", "python": platform.python_version(), "rows": rows}))
        return 0
    print("  ".join(f"{name:>14}" for name in rows[0]))
    for row in rows:
        print("  ".join(f"{value!s:>14}" for value in row.values()))
    print(f"target: {TARGET_MS} ms of this process's CPU per request at 32 concurrent")
    return 0


async def measured(url: str, requests: int) -> list[dict[str, object]]:
    team = Shelf({"t": TEAM_BOUNDS}, Level.TEAM).rules("acme", "t")
    rules = (*team, *Shelf({"k": KEY_BOUNDS}, Level.KEY).rules("acme", "k"))
    async with AsyncExitStack() as stack:
        kit = Kit(net=Net(), clock=SystemClock(), tracing=Tracing(), metrics=CollectorRegistry(), environment={})
        gate = await stack.enter_async_context(open_gate(Secret(url), kit, GateOptions(patience=Patience(timeout_s=5))))
        client = await stack.enter_async_context(open_limit_client(url))
        rows: list[dict[str, object]] = []
        for concurrent in (1, 32, 128):
            before_s = await server_cpu_s(client)
            row = await load(gate, rules, requests, concurrent)
            store_ms = (await server_cpu_s(client) - before_s) * 1000 / requests
            rows.append({"concurrent": concurrent, **row, "store_cpu_ms": round(store_ms, 4)})
    return rows


async def server_cpu_s(client: object) -> float:
    info = await client.info("cpu")  # type: ignore[attr-defined]
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


async def load(gate: Gate, rules: tuple[Rule, ...], requests: int, concurrent: int) -> dict[str, object]:
    estimator, body, waits_s = Estimator(), BODY.encode(), []
    left = iter(range(requests))

    async def worker() -> None:
        for _ in left:
            began_s = time.perf_counter()
            estimate = estimator.estimate("m", "k", body, None, 1)
            demand = Demand(
                rules=rules,
                when_down=WhenStoreIsDown.CLOSED,
                total_s=300,
                tokens=estimate.tokens,
                cost_nusd=estimate.tokens * 100,
            )
            ticket = await gate.admission.admit(demand)
            waits_s.append(time.perf_counter() - began_s)
            # A request takes at least a turn of the loop.
            await asyncio.sleep(0)
            gate.admission.settle(ticket, 300, 30_000)
            estimator.learn(estimate, 180, 120)

    cpu_s, wall_s = time.process_time(), time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(concurrent):
            group.create_task(worker())
    cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    waits_s.sort()
    return {
        "cpu_ms": round(cpu_s * 1000 / requests, 4),
        "wait_p50_ms": round(waits_s[len(waits_s) // 2] * 1000, 3),
        "wait_p99_ms": round(waits_s[len(waits_s) * 99 // 100] * 1000, 3),
        "per_s": round(requests / wall_s),
    }
