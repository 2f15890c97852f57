"""What the worker's engine makes: tokens a second, prefill, first tokens and memory; llama.cpp beside it.

Decode figures at 1, 4 and 8 requests go through the whole engine (thread, sampler, text, event loop): greedy, no end of
sequence, without drafts, while all of them decode; `drawn` is one request as most are, at the model's own temperature
and without a seed. The two engines take turns, so that a machine that slows down does so for both; the best of all is
shown beside the median turn's, since a shared machine only slows down. 12 ragged requests are timed whole, one after
the other and together. llama.cpp runs the original Q4_1 file in the same way if it can be imported here, or by the
Python named in LLAMA_CPP_PYTHON (an environment with llama-cpp-python 0.3.36), with `--gguf FILE`.
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
from trunkline_worker.runtimes.onnx import SlotConfig
from trunkline_worker.runtimes.session import SessionConfig

BATCHES = (1, 4, 8)
PREFILLS = (128, 512)
NEW_TOKENS = 96
RAGGED = tuple((12 + 7 * number % 51, 20 + 11 * number % 37) for number in range(12))
"""Tokens of prompt and answer; `_llama.py` has the same."""
LLAMA = Path(__file__).with_name("_llama.py")
Figures = dict[str, float]
HELD = {"decode_1_drawn": 1.0, "decode_1": 1.0, "decode_8": 1.6}
"""How many times llama.cpp's rate ours is to be."""
SAME = {"decode_1_drawn": "decode_1", "decode_1_drawn_best": "decode_1_best"}
"""What llama.cpp has one figure for: it always chooses greedily."""
GREEDY = SamplingOptions(temperature=0)
DRAWN = SamplingOptions(temperature=0.2, top_p=0.9)
"""What a request gets that names no temperature: the model's own."""
CONTINUOUS_HELD = 2.0
"""How many times faster the ragged requests are to be together than one after the other."""


async def last_delta(engine: Engine, request: GenerationRequest) -> Delta:
    """Run one request to its end."""
    last: Delta | None = None
    async for delta in engine.generate(request):
        last = delta
    if last is None:
        raise RuntimeError("the engine made nothing")
    return last


async def token_times(engine: Engine, request: GenerationRequest) -> list[float]:
    """When each token of an answer came, seconds."""
    return [time.perf_counter() async for delta in engine.generate(request) if delta.token_ids]


async def decode_rate(engine: Engine, rows: int, sampling: SamplingOptions = GREEDY) -> float:
    """Tokens per second while `rows` requests decode: from the last one's first token to the first one's last."""
    requests = [
        GenerationRequest(
            request_id=str(row),
            prompt_ids=(*range(1000, 1032), 2000 + row),
            sampling=sampling,
            max_tokens=NEW_TOKENS,
            ignore_eos=True,
        )
        for row in range(rows)
    ]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(token_times(engine, request)) for request in requests]
    answers = [task.result() for task in tasks]
    begin_s, end_s = max(times[0] for times in answers), min(times[-1] for times in answers)
    return sum(begin_s < came_s <= end_s for times in answers for came_s in times) / (end_s - begin_s)


def ragged(number: int) -> GenerationRequest:
    prompt_tokens, new_tokens = RAGGED[number]
    return GenerationRequest(
        request_id=f"ragged {number}",
        prompt_ids=tuple(range(1000 + number, 1000 + number + prompt_tokens)),
        sampling=GREEDY,
        max_tokens=new_tokens,
        ignore_eos=True,
    )


async def ragged_rate(engine: Engine, together: int) -> float:
    """Generated tokens per second of the ragged requests, from the first prompt to the last token."""
    places = asyncio.Semaphore(together)

    async def one(number: int) -> None:
        async with places:
            await last_delta(engine, ragged(number))

    started_s = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(len(RAGGED)):
            group.create_task(one(number))
    return sum(new for _, new in RAGGED) / (time.perf_counter() - started_s)


async def busy_first_token_ms(engine: Engine) -> float:
    """Until the first token of a 512-token prompt while seven others are answered."""
    async with asyncio.TaskGroup() as group:
        others = [group.create_task(decode_rate(engine, 7))]
        await asyncio.sleep(0.5)
        request = GenerationRequest(request_id="late", prompt_ids=tuple(range(1000, 1512)), max_tokens=1)
        started_s = time.perf_counter()
        await last_delta(engine, request)
        first_ms = (time.perf_counter() - started_s) * 1000
        if others[0].done():
            raise RuntimeError("the others were done before the prompt came")
    return first_ms


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
    # Requests made of counting tokens are answered in loops, which drafts would make look faster than real ones are.
    slots, session = SlotConfig(speculation=False), SessionConfig(threads=options.threads)
    config = WorkerConfig(listen="local:bench", home=home, slots=slots, session=session)
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
        values = [await decode_rate(engine, 1, DRAWN) for _ in range(options.rounds)]
        figures |= {"decode_1_drawn": statistics.median(values), "decode_1_drawn_best": max(values)}
        for together in (1, max(BATCHES)):
            values = [await ragged_rate(engine, together) for _ in range(options.rounds)]
            figures |= {f"ragged_{together}": statistics.median(values), f"ragged_{together}_best": max(values)}
        values = [await busy_first_token_ms(engine) for _ in range(options.rounds)]
        figures["busy_first_token_ms"] = statistics.median(values)
    return figures | {"rss_bench_mb": rss_mb()}


def own_figures(options: argparse.Namespace) -> Figures:
    """Of a process of its own, as llama.cpp's are: memory that another model has left behind is no beginning."""
    bench = Path(__file__).parents[1] / "bench.py"
    command = [sys.executable, str(bench), "worker", "--turn", "--home", str(options.home)]
    command += ["--variant", options.variant, "--rounds", str(options.rounds), "--threads", str(options.threads)]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    figures: Figures = json.loads(output)
    return figures


def llama_figures(options: argparse.Namespace) -> Figures | None:
    """The same of llama.cpp, or None where it is not."""
    python = os.environ.get("LLAMA_CPP_PYTHON") or (sys.executable if find_spec("llama_cpp") else None)
    if python is None or options.gguf is None:
        return None
    threads = options.threads or os.cpu_count() or 1
    command = [python, str(LLAMA), str(options.gguf), str(options.rounds), str(NEW_TOKENS), str(threads)]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    figures: Figures = json.loads(output)
    return figures | {name: figures[theirs] for name, theirs in SAME.items()}


def over_turns(turns: list[Figures]) -> Figures:
    """The median turn of every figure and the best of the best."""

    def of(name: str) -> float:
        values = [turn[name] for turn in turns]
        return max(values) if name.endswith("_best") else statistics.median(values)

    return {name: of(name) for name in turns[0]}


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
    return "\n".join([*lines, "", *held(ours, theirs)])


def held(ours: Figures, theirs: Figures | None) -> list[str]:
    """What is aimed at, one line each."""
    aims = [("ragged_8 by ragged_1", ours["ragged_8"] / ours["ragged_1"], CONTINUOUS_HELD)]
    if theirs is not None:
        aims += [(f"{name} by llama.cpp", ours[name] / theirs[name], least) for name, least in HELD.items()]
    return [
        f"{name:<24} {ratio:>6.2f}, aimed at {least:.1f}: {'held' if ratio >= least else 'missed'}"
        for name, ratio, least in aims
    ]


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tools/bench worker", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--home", type=Path, default=Path.home() / ".cache" / "trunkline-test", help="prepared models")
    parser.add_argument("--variant", default=SMOLLM2.default.value, choices=[one.value for one in Precision])
    parser.add_argument("--rounds", type=int, default=2, metavar="N", help="repeats of every figure in a turn (2)")
    parser.add_argument("--turns", type=int, default=3, metavar="N", help="of this engine and llama.cpp (3)")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="threads; 0 means one per core")
    parser.add_argument("--gguf", type=Path, help="the GGUF file for llama.cpp")
    parser.add_argument("--turn", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    options.home.mkdir(parents=True, exist_ok=True)
    if options.turn:
        print(json.dumps(asyncio.run(engine_figures(options.home, options))))
        return 0
    turns = [(own_figures(options), llama_figures(options)) for _ in range(options.turns)]
    ours = over_turns([own for own, _ in turns])
    others = [other for _, other in turns if other is not None]
    theirs = over_turns(others) if others else None
    if options.json:
        machine = {"cpus": os.cpu_count(), "load_1m": os.getloadavg()[0], "python": platform.python_version()}
        print(json.dumps({"bench": "worker", **machine, "trunkline": ours, "llama_cpp": theirs}))
    else:
        print(table(ours, theirs))
    return 0
