"""CPU per relayed request, against a bare relay and other gateways.

Everything in one run on one machine: each gateway alone on CPU 0, provider and load on CPU 1. CPU time is the gateway's
own, read from /proc, and is the figure to quote; latencies are of a closed loop and shaken by whatever else runs. With
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
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import _http
import _peers

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
START_S = 60.0
WARM_S = 1.0


@dataclass(frozen=True)
class Subject:
    """A gateway to measure."""

    name: str
    command: list[str]
    port: int
    key: str
    headers: tuple[str, ...] = ()


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tools/bench gateway", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--seconds", type=float, default=4.0, metavar="S", help="of each case (4)")
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
        rows = [
            row
            for subject in subjects(folder, provider_port, messages_port)
            if not wanted or subject.name in wanted
            for row in measured(subject, options.seconds, folder)
        ]
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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: list[str], cpu: int, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A process pinned to one CPU, listening."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, {cpu}),  # noqa: PLW1509
    )
    try:
        deadline_s = time.monotonic() + START_S
        while True:
            if process.poll() is not None:
                raise SystemExit(f"{command[0]} ended with status {process.returncode} before it listened on {port}")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if time.monotonic() > deadline_s:
                raise SystemExit(f"{command} did not listen on {port} within {START_S:g} s")
            time.sleep(0.01)
        yield process
    finally:
        process.terminate()
        process.wait()


def measured(subject: Subject, seconds: float, folder: Path) -> Iterator[dict[str, object]]:
    began_s = time.monotonic()
    with running(subject.command, GATEWAY_CPU, subject.port) as process:
        wait_for_answer(subject)
        start_s = time.monotonic() - began_s
        for body, connections in (*CASES, *OWN_CASES) if subject.name == OWN else CASES:
            run_load(subject, body, connections, WARM_S, folder)
            before_s = cpu_s(process.pid)
            seen = run_load(subject, body, connections, seconds, folder)
            used_s = cpu_s(process.pid) - before_s
            count = max(1, int(seen["count"]))
            yield {
                "gateway": subject.name,
                "case": f"{body} c={connections}",
                "cpu_ms": round(used_s * 1000 / count, 3),
                "limit_ms": LIMITS_MS.get(body) if subject.name == OWN else None,
                "p50_ms": round(seen["p50_ms"], 3),
                "p99_ms": round(seen["p99_ms"], 3),
                "per_s": round(count / seconds),
                "errors": int(seen["errors"]),
                "rss_mb": round(rss_bytes(process.pid) / 1e6),
                "start_s": round(start_s, 2),
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


def cpu_s(pid: int) -> float:
    """User and system time of a process and its children, seconds. proc(5)."""
    total = 0
    for process in _tree(pid):
        fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def rss_bytes(pid: int) -> int:
    pages = sum(int(Path(f"/proc/{process}/statm").read_text().split()[1]) for process in _tree(pid))
    return pages * os.sysconf("SC_PAGE_SIZE")


def _tree(pid: int) -> list[int]:
    found = [pid]
    for process in found:
        for task in Path(f"/proc/{process}/task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


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
