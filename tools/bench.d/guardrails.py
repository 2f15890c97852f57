"""What the secrets check costs, in microseconds per kilobyte of text.

Each figure is the median over `--repeat` runs on one thread; the texts are made here. `hostile` texts are built to make
the rules work: long runs that look like a secret until their end.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable

from trunkline_guardrails.detectors.secrets import SecretsDetector

KILOBYTE = 1000
TOKEN = "ghp_" + "aB3dE6gH9jK2mN5pQ8rS1tU4vW7xY0zAabcd"
PROSE = "The quick brown fox jumps over the lazy dog, counts its tokens and goes home. "
TEXTS: dict[str, str] = {
    "prose, 1 kB": PROSE * 13,
    "prose, 100 kB": PROSE * 1300,
    "cyrillic, 100 kB": "Съешь ещё этих мягких французских булок, да выпей чаю. " * 1000,
    "base64, 100 kB": "aB3dE6gH9jK2mN5pQ8rS1tU4vW7xY0zA" * 3100,
    "prose with one secret, 1 kB": PROSE * 6 + TOKEN + " " + PROSE * 6,
    "200 secrets, 8 kB": (TOKEN + " ") * 200,
    "hostile: one endless key, 100 kB": "sk-proj-" * 12_500,
    "hostile: headers without a key, 100 kB": "-----BEGIN PRIVATE KEY " * 4300,
    "hostile: half tokens, 100 kB": "eyJ.sk-ant-tl-AKIA" * 5500,
}


def measure(work: Callable[[], object], repeat: int) -> float:
    """Median seconds of one call."""
    work()
    samples = []
    for _ in range(repeat):
        started_s = time.perf_counter()
        work()
        samples.append(time.perf_counter() - started_s)
    return statistics.median(samples)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tools/bench guardrails", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--repeat", type=int, default=50, metavar="N", help="runs per text (50)")
    options = parser.parse_args(argv)
    detector = SecretsDetector()
    rows = []
    for name, text in TEXTS.items():
        took_s = measure(lambda text=text: detector.scan(text, 1000), options.repeat)  # type: ignore[misc]
        size_kb = len(text.encode()) / KILOBYTE
        rows.append({"text": name, "us": round(took_s * 1e6, 1), "us_per_kb": round(took_s * 1e6 / size_kb, 2)})
    if options.json:
        print(json.dumps({"bench": "guardrails", "python": platform.python_version(), "rows": rows}))
        return 0
    print(f"{'text':<40} {'µs':>10} {'µs per kB':>10}")
    for row in rows:
        print(f"{row['text']:<40} {row['us']:>10} {row['us_per_kb']:>10}")
    return 0
