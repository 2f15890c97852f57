"""Time to the first token and throughput over four replicas, by how requests are spread, against two Rust routers.

Replicas are simulated (see _replicas.py): they take the time that reading and writing would take, whatever protocol
they are asked in. Each trace is a list of requests with their moments, the same for everybody, sent whether the earlier
ones are answered or not. Our gateway runs with each of its rules (`seconds`, `round_robin`, `p2c`, `hash`) and speaks
gRPC to the replicas; sglang-router and vllm-router, where they are installed under BENCH_HOME/peers/tz (`pip install
sglang-router vllm-router`), speak HTTP to the same engines, by their policy `cache_aware`. With --real two workers with
the prepared model smollm2-135m-instruct take the place of the simulated ones, for our own rules.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import _traces
import aiohttp
from _processes import free_port, running

HERE = Path(__file__).resolve().parent
OWN = ("seconds", "round_robin", "p2c", "hash")
PEERS = ("sglang-router", "vllm-router")
REPLICAS = 4
GATEWAY_CPU, OTHER_CPU = 0, 1
ATTEMPTS_S, SETTLE_S, TIMEOUT_S = 60.0, 2.0, 120.0


class Subject(NamedTuple):
    """Somebody who spreads requests."""

    url: str
    key: str


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tools/bench balance", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--seconds", type=float, default=20.0, metavar="S", help="of each trace (20)")
    parser.add_argument("--only", default="", metavar="NAMES", help="comma-separated subjects")
    parser.add_argument("--traces", default="", metavar="NAMES", help="comma-separated traces")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--real", action="store_true", help="two real workers")
    options = parser.parse_args(argv)
    os.sched_setaffinity(0, {OTHER_CPU % (os.cpu_count() or 1)})
    traces = _traces.REAL if options.real else _traces.TRACES
    wanted = [name for name in options.traces.split(",") if name] or list(traces)
    names = [name for name in options.only.split(",") if name] or [*OWN, *(() if options.real else installed())]
    rows = []
    for trace in wanted:
        asked = traces[trace].requests(options.seconds, random.Random(options.seed))
        for name in names:
            rows.append({"trace": trace, "subject": name, **measured(name, traces[trace], asked, real=options.real)})
            print(json.dumps(rows[-1]), file=sys.stderr)
    report(rows, as_json=options.json)
    return 0


def installed() -> list[str]:
    return [name for name in PEERS if program(name).exists()]


def program(name: str) -> Path:
    return Path(os.environ.get("BENCH_HOME", "~/.cache/gateway-bench")).expanduser() / "peers/tz/bin" / name


def measured(name: str, trace: _traces.Trace, asked: list[_traces.Request], *, real: bool) -> dict[str, Any]:
    """One subject and one trace, everything freshly started."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        replicas = [
            {"grpc": free_port(), "http": free_port(), "slowness": slowness}
            for slowness in (trace.slowness[:2] if real else trace.slowness)
        ]
        stack.enter_context(real_replicas(replicas, folder) if real else simulated(replicas))
        subject = stack.enter_context(own(name, replicas, folder) if name in OWN else peer(name, replicas))
        return asyncio.run(played(subject, asked))


@contextmanager
def simulated(replicas: list[dict[str, Any]]) -> Iterator[None]:
    command = [sys.executable, str(HERE / "_replicas.py"), json.dumps(replicas)]
    with running(command, OTHER_CPU, replicas[-1]["grpc"]):
        yield


@contextmanager
def real_replicas(replicas: list[dict[str, Any]], folder: Path) -> Iterator[None]:
    """Of SmolLM2, a core each."""
    home = Path.home() / ".cache" / "trunkline-test"
    with ExitStack() as stack:
        for index, replica in enumerate(replicas):
            config = folder / f"worker{index}.yaml"
            listen = {"grpc": f"127.0.0.1:{replica['grpc']}", "metrics": f"127.0.0.1:{free_port()}"}
            worker = {"model": "smollm2-135m-instruct", "threads": 1, "slots": 4, "stall_s": 600}
            config.write_text(json.dumps({"listen": listen, "workers": {"w": worker}}))
            command = [sys.executable, "-m", "trunkline_worker", "--config", str(config), "--worker", "w"]
            command += ["--home", str(home)]
            stack.enter_context(running(command, index, replica["grpc"]))
        yield


@contextmanager
def own(balance: str, replicas: list[dict[str, Any]], folder: Path) -> Iterator[Subject]:
    key, port = f"tl-{secrets.token_urlsafe(24)}", free_port()
    target = "ipv4:" + ",".join(f"127.0.0.1:{replica['grpc']}" for replica in replicas)
    config = {
        "listen": {name: f"127.0.0.1:{free_port()}" for name in ("grpc", "metrics")} | {"http": f"127.0.0.1:{port}"},
        "telemetry": {"log_level": "error"},
        "providers": {"w": {"kind": "worker", "target": target, "balance": balance}},
        "models": {"mock": {"deployments": [{"provider": "w", "model": "mock"}]}},
        "keys": [{"id": "bench", "secret": f"sha256:{sha256(key.encode()).hexdigest()}"}],
    }
    file = folder / "trunkline.yaml"
    file.write_text(json.dumps(config))
    command = [sys.executable, "-m", "trunkline_gateway", "--config", str(file)]
    with running(command, GATEWAY_CPU, port):
        yield Subject(f"http://127.0.0.1:{port}", key)


@contextmanager
def peer(name: str, replicas: list[dict[str, Any]]) -> Iterator[Subject]:
    port = free_port()
    command = [str(program(name)), *(["launch"] if name == "sglang-router" else [])]
    command += ["--worker-urls", *(f"http://127.0.0.1:{replica['http']}" for replica in replicas)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--policy", "cache_aware", "--log-level", "error"]
    command += ["--prometheus-port", str(free_port())]
    with running(command, GATEWAY_CPU, port):
        yield Subject(f"http://127.0.0.1:{port}", "none")


class Seen(NamedTuple):
    """What came of one request."""

    first_s: float
    """After the moment at which it was due; infinite for one that failed."""
    end_s: float
    """Since the trace began."""
    tokens: int
    cached: int


async def played(subject: Subject, asked: list[_traces.Request]) -> dict[str, Any]:
    """The whole trace."""
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    headers = {"authorization": f"Bearer {subject.key}"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(subject.url, timeout=timeout, headers=headers, connector=connector) as http:
        await answering(http)
        await asyncio.sleep(SETTLE_S)
        began_s = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(sent(http, request, began_s + request.at_s)) for request in asked]
    seen = [task.result() for task in tasks]
    done = [one for one in seen if one.tokens]
    span_s = max((one.end_s for one in done), default=began_s + 1) - began_s
    firsts = sorted(one.first_s for one in seen)
    return {
        "requests": len(seen),
        "failed": len(seen) - len(done),
        "p50_ms": _ms(firsts, 0.5),
        "p99_ms": _ms(firsts, 0.99),
        "mean_ms": round(sum(one.first_s for one in done) / max(1, len(done)) * 1000),
        "tokens_per_s": round(sum(one.tokens for one in done) / span_s),
        "cached_share": round(sum(one.cached for one in done) / sum(request.tokens for request in asked), 2),
    }


def _ms(ordered: list[float], q: float) -> float:
    value = ordered[min(len(ordered) - 1, int(q * len(ordered)))]
    return round(value * 1000) if value != float("inf") else value


async def answering(http: aiohttp.ClientSession) -> None:
    """Until it answers: routers look at their workers first."""
    until_s = time.monotonic() + ATTEMPTS_S
    probe = _traces.Request(0.0, "", "hello", 1)
    while not (await sent(http, probe, 0.0)).tokens:
        if time.monotonic() > until_s:
            raise SystemExit("it does not answer")
        await asyncio.sleep(0.2)


async def sent(http: aiohttp.ClientSession, request: _traces.Request, due_s: float) -> Seen:
    loop = asyncio.get_running_loop()
    await asyncio.sleep(max(0.0, due_s - loop.time()))
    first_s, usage = float("inf"), {}
    try:
        async with http.post("/v1/chat/completions", json=request.body()) as reply:
            async for line in reply.content:
                if first_s == float("inf") and b'"content":' in line and b'"content":""' not in line:
                    first_s = loop.time() - due_s
                if b'"usage":' in line and b'"completion_tokens"' in line:
                    usage = json.loads(line.removeprefix(b"data: "))["usage"]
    except (aiohttp.ClientError, TimeoutError):
        first_s = float("inf")
    details = usage.get("prompt_tokens_details") or {}
    return Seen(first_s, loop.time(), usage.get("completion_tokens", 0), details.get("cached_tokens", 0))


def report(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        machine = {"python": platform.python_version(), "machine": platform.machine(), "cpus": os.cpu_count()}
        print(json.dumps({"bench": "balance", **machine, "rows": rows}))
        return
    columns = list(rows[0])
    widths = [max(len(name), *(len(str(row[name])) for row in rows)) for name in columns]
    print("  ".join(f"{name:>{width}}" for name, width in zip(columns, widths, strict=True)))
    for row in rows:
        print("  ".join(f"{row[name]:>{width}}" for name, width in zip(columns, widths, strict=True)))
