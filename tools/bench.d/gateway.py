"""CPU per relayed request, against a bare relay and other gateways.

Everything in one run on one machine: the gateways on CPU 0, asked in turn, provider and load on CPU 1. CPU time is the
gateway's own, read from /proc, and is the figure to quote: the median over the rounds, so that what shakes the machine
shakes all of them. Latencies are of a closed loop. With
BENCH_HOME set to a folder with `bin/mockllm` and `bin/load` those are used as provider and load, and the gateways under
`peers/` join (see _peers.py), as do those described in BENCH_GATEWAYS (a JSON file: {name: {cmd, url, headers}}), which
have to ask the provider at port 9100.
"""

import argparse
import asyncio
import hashlib
import json
import os
import platform
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import _http
import _peers
from _processes import START_S, cpu_s, free_port, rss_bytes, running

HERE = Path(__file__).resolve().parent
PATH, MESSAGES_PATH = "/v1/chat/completions", "/v1/messages"
GATEWAY_CPU, OTHER_CPU = 0, 1
ASK = {
    "model": "mock",
    "messages": [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "Write one sentence about gateways."},
    ],
}
BODIES = {
    "whole": json.dumps(ASK).encode(),
    "stream": json.dumps({**ASK, "stream": True}).encode(),
    "gathered": json.dumps({**ASK, "model": "gathered"}).encode(),
    "messages over chat": json.dumps(
        {"model": "mock", "max_tokens": 100, "stream": True, "messages": ASK["messages"][1:]}
    ).encode(),
    "chat over messages": json.dumps({**ASK, "model": "claude", "stream": True}).encode(),
}
PATHS = {"messages over chat": MESSAGES_PATH}
"""Where they are not chat completions."""
LIMITS_MS = {"whole": 0.8, "stream": 1.6, "messages over chat": 3.0, "chat over messages": 3.0}
"""What a request of this gateway may cost, CPU; streams have 50 events."""
CASES = (("whole", 1), ("whole", 32), ("stream", 1), ("stream", 16))
OWN_CASES = (
    ("gathered", 1),
    ("gathered", 32),
    ("messages over chat", 1),
    ("messages over chat", 16),
    ("chat over messages", 1),
    ("chat over messages", 16),
)
"""A whole answer that the provider streams, and streams translated between dialects: measured of this gateway only."""
OWN = "trunkline"
WARM_S = 1.0


@dataclass(frozen=True)
class Subject:
    """A gateway to measure."""

    name: str
    command: list[str]
    port: int
    key: str
    headers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Running:
    """One that answers."""

    subject: Subject
    pid: int
    start_s: float


@dataclass(frozen=True)
class Seen:
    """One gateway in one case in one round."""

    cpu_ms: float
    p50_ms: float
    p99_ms: float
    per_s: float
    errors: int


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tools/bench gateway", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--seconds", type=float, default=1.0, metavar="S", help="of each case in each round (1)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="in which all gateways take turns (5)")
    parser.add_argument("--only", default="", metavar="NAMES", help="comma-separated subjects")
    options = parser.parse_args(argv)
    if (os.cpu_count() or 1) < 2:
        print("bench gateway: needs two CPUs, one for the gateway and one for the rest", file=sys.stderr)
        return 2
    os.sched_setaffinity(0, {OTHER_CPU})
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        provider_port = 9100 if _tool("mockllm") else free_port()
        stack.enter_context(running(provider_command(provider_port), OTHER_CPU, provider_port))
        messages_port = free_port()
        messages = [sys.executable, str(HERE / "_http.py"), str(messages_port)]
        stack.enter_context(running(messages, OTHER_CPU, messages_port))
        wanted = [name for name in options.only.split(",") if name]
        chosen = [
            subject
            for subject in subjects(folder, provider_port, messages_port)
            if not wanted or subject.name in wanted
        ]
        up = [stack.enter_context(started(subject)) for subject in chosen]
        rows = [row for case in (*CASES, *OWN_CASES) for row in compared(up, case, options, folder)]
    report(rows, as_json=options.json)
    return 0


def subjects(folder: Path, provider_port: int, messages_port: int) -> Iterator[Subject]:
    key, port = f"tl-{secrets.token_urlsafe(24)}", free_port()
    config = folder / "trunkline.yaml"
    config.write_text(json.dumps(_config(key, port, provider_port, messages_port)))
    yield Subject(OWN, [sys.executable, "-m", "trunkline_gateway", "--config", str(config)], port, key)
    bare_port = free_port()
    bare = [sys.executable, str(HERE / "_bare_relay.py"), str(bare_port), str(provider_port), key]
    yield Subject("bare relay", bare, bare_port, key)
    home = os.environ.get("BENCH_HOME")
    for peer in _peers.peers(Path(home) / "peers", folder, provider_port) if home else ():
        yield Subject(peer.name, peer.command, peer.port, "", peer.headers)
    others = os.environ.get("BENCH_GATEWAYS")
    for name, given in json.loads(Path(others).read_text()).items() if others else ():
        other_port = int(given["url"].split(":")[2].split("/")[0])
        yield Subject(name, given["cmd"], other_port, "", tuple(given.get("headers", ())))


def _config(key: str, port: int, provider_port: int, messages_port: int) -> dict[str, object]:
    """YAML's subset that is JSON."""
    provider_url = f"http://127.0.0.1:{provider_port}/v1"
    return {
        "listen": {
            "http": f"127.0.0.1:{port}",
            "grpc": f"127.0.0.1:{free_port()}",
            "metrics": f"127.0.0.1:{free_port()}",
        },
        "telemetry": {"log_level": "warning"},
        "providers": {
            "mock": {"kind": "openai", "base_url": provider_url, "assemble_streams": "never"},
            "messages": {"kind": "anthropic", "base_url": f"http://127.0.0.1:{messages_port}"},
            "streaming": {"kind": "openai", "base_url": provider_url, "assemble_streams": "auto"},
        },
        "models": {
            "mock": {"deployments": [{"provider": "mock", "model": "mock"}]},
            "claude": {"deployments": [{"provider": "messages", "model": "mock"}]},
            "gathered": {"deployments": [{"provider": "streaming", "model": "mock"}]},
        },
        "keys": [{"id": "bench", "secret": f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"}],
    }


def provider_command(port: int) -> list[str]:
    tool = _tool("mockllm")
    if tool:
        return [str(tool), str(port), "0", "0", str(_http.CHUNKS)]
    return [sys.executable, str(HERE / "_http.py"), str(port)]


def _tool(name: str) -> Path | None:
    home = os.environ.get("BENCH_HOME")
    path = Path(home) / "bin" / name if home else None
    return path if path is not None and path.exists() else None


@contextmanager
def started(subject: Subject) -> Iterator[Running]:
    began_s = time.monotonic()
    with running(subject.command, GATEWAY_CPU, subject.port) as process:
        wait_for_answer(subject)
        yield Running(subject, process.pid, time.monotonic() - began_s)


def compared(
    up: list[Running], case: tuple[str, int], options: argparse.Namespace, folder: Path
) -> Iterator[dict[str, object]]:
    """One case: a round to warm up, then each gateway in turn as often as asked."""
    asked = [one for one in up if one.subject.name == OWN or case in CASES]
    for one in asked:
        run_load(one.subject, *case, WARM_S, folder)
    rounds = [[measured(one, case, options.seconds, folder) for one in asked] for _ in range(options.rounds)]
    for one, seen in zip(asked, zip(*rounds, strict=True), strict=True):
        yield summary(one, case, seen)


def measured(one: Running, case: tuple[str, int], seconds: float, folder: Path) -> Seen:
    before_s = cpu_s(one.pid)
    load = run_load(one.subject, *case, seconds, folder)
    used_s = cpu_s(one.pid) - before_s
    count = max(1, int(load["count"]))
    return Seen(used_s * 1000 / count, load["p50_ms"], load["p99_ms"], count / seconds, int(load["errors"]))


def summary(one: Running, case: tuple[str, int], seen: Sequence[Seen]) -> dict[str, object]:
    body, connections = case
    return {
        "gateway": one.subject.name,
        "case": f"{body} c={connections}",
        "cpu_ms": round(median(each.cpu_ms for each in seen), 3),
        "cpu_ms_min": round(min(each.cpu_ms for each in seen), 3),
        "limit_ms": LIMITS_MS.get(body) if one.subject.name == OWN else None,
        "p50_ms": round(median(each.p50_ms for each in seen), 3),
        "p99_ms": round(median(each.p99_ms for each in seen), 3),
        "per_s": round(median(each.per_s for each in seen)),
        "errors": sum(each.errors for each in seen),
        "rss_mb": round(rss_bytes(one.pid) / 1e6),
        "start_s": round(one.start_s, 2),
    }


def wait_for_answer(subject: Subject) -> None:
    """Wait out a gateway that listens before it can answer; some take ten seconds."""
    headers = {"authorization": f"Bearer {subject.key}"} if subject.key else {}
    headers |= dict(header.split(": ", 1) for header in subject.headers)
    request = urllib.request.Request(
        f"http://127.0.0.1:{subject.port}{PATH}",
        data=BODIES["whole"],
        headers={"content-type": "application/json", **headers},
    )
    deadline_s = time.monotonic() + START_S
    while True:
        try:
            with urllib.request.urlopen(request, timeout=START_S) as reply:
                reply.read()
        except OSError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.1)
        else:
            return


def run_load(subject: Subject, body: str, connections: int, seconds: float, folder: Path) -> dict[str, float]:
    tool = _tool("load")
    if tool is None:
        load = _http.load(
            subject.port, PATHS.get(body, PATH), subject.key, BODIES[body], connections=connections, seconds=seconds
        )
        seen = asyncio.run(load)
        return {
            "count": len(seen.latencies_s),
            "errors": seen.errors,
            "p50_ms": seen.quantile_ms(0.5),
            "p99_ms": seen.quantile_ms(0.99),
        }
    file = folder / f"{body}.json"
    file.write_bytes(BODIES[body])
    headers = [f"authorization: Bearer {subject.key}"] if subject.key else []
    url = f"http://127.0.0.1:{subject.port}{PATHS.get(body, PATH)}"
    command = [str(tool), url, str(connections), str(seconds), str(file), *headers, *subject.headers]
    last = subprocess.run(command, capture_output=True, check=True, text=True).stdout.splitlines()[-1]
    # Its last member, a count by status, is not JSON.
    line = json.loads(last.partition(',"status"')[0] + "}")
    return {"count": line["n"], "errors": line["errors"], "p50_ms": line["p50_ms"], "p99_ms": line["p99_ms"]}


def report(rows: list[dict[str, object]], *, as_json: bool) -> None:
    bare = {row["case"]: row["cpu_ms"] for row in rows if row["gateway"] == "bare relay"}
    for row in rows:
        base = bare.get(row["case"])
        row["times_bare"] = round(float(str(row["cpu_ms"])) / float(str(base)), 2) if base else None
    if as_json:
        machine = {"python": platform.python_version(), "machine": platform.machine(), "cpus": os.cpu_count()}
        print(json.dumps({"bench": "gateway", **machine, "rows": rows}))
        return
    columns = (
        "gateway",
        "case",
        "cpu_ms",
        "cpu_ms_min",
        "limit_ms",
        "times_bare",
        "p50_ms",
        "p99_ms",
        "per_s",
        "errors",
        "rss_mb",
        "start_s",
    )
    widths = [max(len(name), *(len(_cell(row[name])) for row in rows)) for name in columns]
    print("  ".join(f"{name:>{width}}" for name, width in zip(columns, widths, strict=True)))
    for row in rows:
        print("  ".join(f"{_cell(row[name]):>{width}}" for name, width in zip(columns, widths, strict=True)))


def _cell(value: object) -> str:
    return "" if value is None else str(value)
