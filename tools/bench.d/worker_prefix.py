"""How much sooner a first token comes when the prompt's beginning is in the prefix cache: 1,024 tokens and 32 own ones.

Cold and warm requests take turns in one run, so that whatever else the machine does hits both alike.
"""

import argparse
import asyncio
import json
import statistics
import time
from pathlib import Path

from trunkline_kit.clock import SystemClock
from trunkline_worker.app import load_decoder
from trunkline_worker.batching import Batcher
from trunkline_worker.catalogue import SMOLLM2
from trunkline_worker.config import WorkerConfig
from trunkline_worker.engine import Engine, open_engine
from trunkline_worker.generation import GenerationRequest, SamplingOptions
from trunkline_worker.prepare import prepare

SHARED_TOKENS, OWN_TOKENS = 1024, 32


async def first_token_s(engine: Engine, number: int, salt: bytes) -> tuple[float, int]:
    """Seconds to the first token, and how many tokens were cached."""
    prompt = (*range(1000, 1000 + SHARED_TOKENS), *(3000 + number + place for place in range(OWN_TOKENS)))
    request = GenerationRequest(
        request_id=str(number),
        prompt_ids=prompt,
        sampling=SamplingOptions(temperature=0),
        max_tokens=1,
        cache_salt=salt,
    )
    started_s = time.perf_counter()
    async for delta in engine.generate(request):
        return time.perf_counter() - started_s, delta.usage.cached_tokens
    raise RuntimeError("the engine made nothing")


async def figures(options: argparse.Namespace) -> dict[str, float]:
    folder = prepare(SMOLLM2.name, options.home)
    config = WorkerConfig(listen="local:bench", home=options.home)
    decoder = load_decoder(folder, config)
    batcher = Batcher(decoder.runtime, decoder.intake.codec, decoder.eos_ids, config.batch, SystemClock())
    cold, warm, cached = [], [], 0
    async with open_engine(batcher, 0) as engine:
        await first_token_s(engine, 0, b"tenant")
        for number in range(1, options.rounds + 1):
            cold.append((await first_token_s(engine, number, b""))[0])
            seconds, cached = await first_token_s(engine, number, b"tenant")
            warm.append(seconds)
    made = {"cold_ms": statistics.median(cold) * 1000, "warm_ms": statistics.median(warm) * 1000}
    return made | {"ratio": made["cold_ms"] / made["warm_ms"], "cached_tokens": float(cached)}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tools/bench worker_prefix", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    parser.add_argument("--home", type=Path, default=Path.home() / ".cache" / "trunkline-test", help="prepared models")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="requests of either kind (5)")
    options = parser.parse_args(argv)
    made = asyncio.run(figures(options))
    print(json.dumps(made) if options.json else "\n".join(f"{name:<16} {value:>10.1f}" for name, value in made.items()))
    return 0
