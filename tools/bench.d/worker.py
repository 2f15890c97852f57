"""What the worker's engine makes: tokens a second at 1, 4 and 8 requests, prefill, memory; llama.cpp beside it.

Decode figures go through the whole engine (thread, sampler, text, event loop): greedy, no end of sequence, counted from
each request's own decode time; the best of `--rounds` is shown beside the median, since a shared machine only slows
down. llama.cpp runs the original Q4_1 file in the same way if it can be imported here, or by the Python named in
LLAMA_CPP_PYTHON (an environment with llama-cpp-python 0.3.36), with `--gguf FILE`.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from trunkline_kit.clock import SystemClock
from trunkline_worker.app import Decoder, load_decoder
from trunkline_worker.batching import BatchConfig, Batcher
from trunkline_worker.catalogue import SMOLLM2
from trunkline_worker.config import WorkerConfig
from trunkline_worker.convert.precision import Precision
from trunkline_worker.engine import Engine, open_engine
from trunkline_worker.generation import Delta, GenerationRequest, SamplingOptions
from trunkline_worker.prepare import prepare
from trunkline_worker.runtimes.session import SessionConfig

BATCHES = (1, 4, 8)
PREFILLS = (128, 512)
NEW_TOKENS = 96
LLAMA = Path(__file__).with_name("_llama.py")
Figures = dict[str, float]


async def last_delta(engine: Engine, request: GenerationRequest) -> Delta:
    """Run one request to its end."""
    last: Delta | None = None
    async for delta in engine.generate(request):
        last = delta
    if last is None:
        raise RuntimeError("the engine made nothing")
    return last


async def decode_rate(engine: Engine, rows: int) -> float:
    """Tokens per second of `rows` requests that run together, from the last first token to the last token."""
    sampling = SamplingOptions(temperature=0)
    prompt = tuple(range(1000, 1032))
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(
                last_delta(
                    engine,
                    GenerationRequest(
                        request_id=str(row),
                        prompt_ids=(*prompt, 2000 + row),
                        sampling=sampling,
                        max_tokens=NEW_TOKENS,
                        ignore_eos=True,
                    ),
                )
            )
            for row in range(rows)
        ]
    slowest_ms = max(task.result().timing.decode_ms for task in tasks)  # type: ignore[union-attr]
    return rows * (NEW_TOKENS - 1) / slowest_ms * 1000


def prefill_rate(decoder: Decoder, tokens: int) -> float:
    """Tokens per second of a prompt in chunks of the engine's size."""
    ids = list(range(1000, 1000 + tokens))
    chunk = BatchConfig().chunk_tokens
    started_s = time.perf_counter()
    for past in range(0, tokens, chunk):
        decoder.runtime.prefill(0, ids[past : past + chunk], past)
    return tokens / (time.perf_counter() - started_s)


def rounds_of(measure: Callable[[], float], rounds: int) -> tuple[float, float]:
    """Median and best."""
    values = [measure() for _ in range(rounds)]
    return statistics.median(values), max(values)


async def engine_figures(home: Path, options: argparse.Namespace) -> Figures:
    """Everything about our own engine."""
    folder = prepare(SMOLLM2.name, home, variant=Precision(options.variant))
    config = WorkerConfig(listen="local:bench", home=home, session=SessionConfig(threads=options.threads))
    started_s = time.perf_counter()
    decoder = load_decoder(folder, config)
    figures: Figures = {"load_s": time.perf_counter() - started_s, "rss_loaded_mb": rss_mb()}
    batcher = Batcher(decoder.runtime, decoder.intake.codec, decoder.eos_ids, config.batch, SystemClock())
    for tokens in PREFILLS:
        prefill_rate(decoder, tokens)
        median, best = rounds_of(lambda tokens=tokens: prefill_rate(decoder, tokens), options.rounds)  # type: ignore[misc]
        figures |= {f"prefill_{tokens}": median, f"prefill_{tokens}_best": best}
    async with open_engine(batcher, 0) as engine:
        await decode_rate(engine, max(BATCHES))
        for rows in BATCHES:
            values = [await decode_rate(engine, rows) for _ in range(options.rounds)]
            figures |= {f"decode_{rows}": statistics.median(values), f"decode_{rows}_best": max(values)}
    return figures | {"rss_bench_mb": rss_mb()}


def llama_figures(options: argparse.Namespace) -> Figures | None:
    """The same of llama.cpp, or None where it is not."""
    python = os.environ.get("LLAMA_CPP_PYTHON") or (sys.executable if find_spec("llama_cpp") else None)
    if python is None or options.gguf is None:
        return None
    threads = options.threads or os.cpu_count() or 1
    command = [python, str(LLAMA), str(options.gguf), str(options.rounds), str(NEW_TOKENS), str(threads)]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    figures: Figures = json.loads(output)
    return figures


def rss_mb() -> float:
    """Resident memory of this process, decimal megabytes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def table(ours: Figures, theirs: Figures | None) -> str:
    """Figures as text; tokens per second unless the name says otherwise."""
    lines = [f"{'':<20} {'trunkline':>10} {'llama.cpp':>10}"]
    for name, value in ours.items():
        other = "" if theirs is None or name not in theirs else f"{theirs[name]:.1f}"
        lines.append(f"{name:<20} {value:>10.1f} {other:>10}")
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tools/bench worker", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--home", type=Path, default=Path.home() / ".cache" / "trunkline-test", help="prepared models")
    parser.add_argument("--variant", default="q8", choices=[one.value for one in Precision])
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="repeats of every figure (5)")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="threads; 0 means one per core")
    parser.add_argument("--gguf", type=Path, help="the GGUF file for llama.cpp")
    options = parser.parse_args(argv)
    options.home.mkdir(parents=True, exist_ok=True)
    ours = asyncio.run(engine_figures(options.home, options))
    theirs = llama_figures(options)
    if options.json:
        machine = {"cpus": os.cpu_count(), "load_1m": os.getloadavg()[0], "python": platform.python_version()}
        print(json.dumps({"bench": "worker", **machine, "trunkline": ours, "llama_cpp": theirs}))
    else:
        print(table(ours, theirs))
    return 0
