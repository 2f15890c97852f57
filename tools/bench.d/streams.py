"""Many slow streams at once on one gateway process: how long an event is under way, memory, CPU.

512 streams of 20 events a second each, against the provider directly and through the gateway, which is alone on CPU 0;
provider and load share CPU 1, each a process of its own. Every event carries the time at which it was sent. The row
`direct` is what the two ends take by themselves. `waited_percent` is the time in which the gateway could have run and
something else did: figures of a machine where it is not near 0 say little. Exits with 1 when a limit is not held.
"""

import argparse
import hashlib
import json
import os
import platform
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import _slow
from _processes import cpu_s, free_port, rss_bytes, running
from gateway import GATEWAY_CPU, OTHER_CPU

LIMITS = {"worst_ms": 250.0, "rss_mb": 250.0}
RAMP_S = 8.0
"""Over which the streams begin: 64 a second beside those that run already."""
SAMPLE_S = 0.5
SCRIPT = str(Path(_slow.__file__))
COLUMNS = (
    "path",
    "streams",
    "complete",
    "events",
    "p50_ms",
    "p99_ms",
    "worst_ms",
    "cpu_percent",
    "waited_percent",
    "rss_mb",
)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tools/bench streams", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--streams", type=int, default=512, metavar="N", help="at once (512)")
    parser.add_argument("--seconds", type=float, default=20.0, metavar="S", help="that each stream lasts (20)")
    options = parser.parse_args(argv)
    if (os.cpu_count() or 1) < 2:
        print("bench streams: needs two CPUs, one for the gateway and one for the rest", file=sys.stderr)
        return 2
    os.sched_setaffinity(0, {OTHER_CPU})
    rows = list(measured(options.streams, int(options.seconds * _slow.PER_S)))
    report(rows, as_json=options.json)
    held = all(float(str(rows[-1][name])) <= limit for name, limit in LIMITS.items())
    return 0 if held and rows[-1]["complete"] == options.streams else 1


def measured(streams: int, events: int) -> Iterator[dict[str, object]]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        provider_port, port, key = free_port(), free_port(), f"tl-{secrets.token_urlsafe(24)}"
        provider = [sys.executable, SCRIPT, "provider", str(provider_port), str(events)]
        stack.enter_context(running(provider, OTHER_CPU, provider_port))
        yield {"path": "direct", "streams": streams, **read(provider_port, "", streams)}
        config = folder / "trunkline.yaml"
        config.write_text(json.dumps(settings(port, provider_port, key)))
        command = [sys.executable, "-m", "trunkline_gateway", "--config", str(config)]
        process = stack.enter_context(running(command, GATEWAY_CPU, port))
        yield {"path": "trunkline", "streams": streams, **watched(process.pid, port, key, streams)}


def settings(port: int, provider_port: int, key: str) -> dict[str, object]:
    """YAML's subset that is JSON."""
    url = f"http://127.0.0.1:{provider_port}/v1"
    free = (f"127.0.0.1:{free_port()}" for _ in iter(int, 1))
    return {
        "listen": {"http": f"127.0.0.1:{port}", "grpc": next(free), "metrics": next(free)},
        "telemetry": {"log_level": "warning"},
        "providers": {"mock": {"kind": "openai", "base_url": url, "connections": 2048}},
        "models": {"mock": {"deployments": [{"provider": "mock", "model": "mock"}]}},
        "keys": [{"id": "bench", "secret": f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"}],
    }


def read(port: int, key: str, streams: int) -> dict[str, object]:
    """What the load saw. Raises subprocess.CalledProcessError."""
    command = [sys.executable, SCRIPT, "load", str(port), key or "none", str(streams), str(RAMP_S)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    seen: dict[str, object] = json.loads(done.stdout)
    return seen


def watched(pid: int, port: int, key: str, streams: int) -> dict[str, object]:
    """The same, with the CPU that process `pid` took and the most memory it had."""
    stop, largest = threading.Event(), [rss_bytes(pid)]

    def sample() -> None:
        while not stop.wait(SAMPLE_S):
            largest[0] = max(largest[0], rss_bytes(pid))

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        before_s, before_waited_s, began_s = cpu_s(pid), waited_s(pid), time.monotonic()
        seen = read(port, key, streams)
        used_s, took_s = cpu_s(pid) - before_s, time.monotonic() - began_s
        waiting_s = waited_s(pid) - before_waited_s
    finally:
        stop.set()
        sampler.join()
    return {
        **seen,
        "cpu_percent": round(100 * used_s / took_s),
        "waited_percent": round(100 * waiting_s / took_s),
        "rss_mb": round(largest[0] / 1e6),
    }


def waited_s(pid: int) -> float:
    """How long its main thread was ready to run while the CPU worked for others, seconds. Linux, sched-stats.rst."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) * 1e-9


def report(rows: list[dict[str, object]], *, as_json: bool) -> None:
    if as_json:
        machine = {"python": platform.python_version(), "machine": platform.machine(), "cpus": os.cpu_count()}
        print(json.dumps({"bench": "streams", **machine, "limits": LIMITS, "rows": rows}))
        return
    print("  ".join(f"{name:>14}" for name in COLUMNS))
    for row in rows:
        print("  ".join(f"{row.get(name, '')!s:>14}" for name in COLUMNS))
    print(", ".join(f"{name} at most {limit:g}" for name, limit in LIMITS.items()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
