"""Time between tokens of running answers while 1,024-token prompts are read, in shrinking chunks and in whole ones.

Seven answers decode all the time. Nothing else happens (idle) before, between and after three prompts, so that the idle
steps are of answers as long as the busy ones are of; a step grows with them. The prompts are read in chunks that follow
the length of a decode step (`--wait-steps`), then in whole chunks of 256 tokens.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

from trunkline_kit.clock import SystemClock
from trunkline_worker.app import Decoder, load_decoder
from trunkline_worker.batching import BatchConfig, Batcher
from trunkline_worker.catalogue import SMOLLM2
from trunkline_worker.config import WorkerConfig
from trunkline_worker.generation import GenerationRequest, SamplingOptions
from trunkline_worker.prepare import prepare

ANSWERS, PROMPT_TOKENS, PROMPTS, IDLE_STEPS = 7, 1024, 3, 50
WHOLE_CHUNKS = 1e9


def ask(name: str, tokens: int) -> GenerationRequest:
    # Each begins in its own way: none is to be found in the prefix cache.
    prompt = (tokens, *(1000 + place for place in range(tokens - 1)))
    sampling = SamplingOptions(temperature=0)
    return GenerationRequest(request_id=name, prompt_ids=prompt, sampling=sampling, ignore_eos=True)


def busy_batch(decoder: Decoder, wait_steps: float) -> Batcher:
    """A batcher whose answers are past their prompts."""
    config = BatchConfig(wait_steps=wait_steps)
    batch = Batcher(decoder.runtime, decoder.intake.codec, decoder.eos_ids, config, SystemClock())
    for number in range(ANSWERS):
        batch.add(ask(str(number), 32 + number))
    while batch.load().waiting or batch.load().running < ANSWERS or len(batch.step()) < ANSWERS:
        batch.step()
    return batch


def step_ms(batch: Batcher) -> tuple[float, bool]:
    """How long a step took, and whether the long prompt made its first token in it."""
    started_s = time.perf_counter()
    made = batch.step()
    return (time.perf_counter() - started_s) * 1000, any(delta.request_id == "long" for delta in made)


def idle_ms(batch: Batcher) -> list[float]:
    return [step_ms(batch)[0] for _ in range(IDLE_STEPS)]


def measure(decoder: Decoder, wait_steps: float) -> dict[str, float]:
    """The 99th percentiles of a step, idle and while a prompt is read, and the time to its first token."""
    batch = busy_batch(decoder, wait_steps)
    idle = idle_ms(batch)
    busy: list[float] = []
    for number in range(PROMPTS):
        batch.add(ask("long", PROMPT_TOKENS + number))
        done = False
        while not done:
            duration_ms, done = step_ms(batch)
            busy.append(duration_ms)
        batch.cancel("long")
        idle += idle_ms(batch)
    idle_p99_ms, busy_p99_ms = float(np.quantile(idle, 0.99)), float(np.quantile(busy, 0.99))
    ratio = float(np.median(busy) / np.median(idle))
    figures = {"idle_p99_ms": idle_p99_ms, "busy_p99_ms": busy_p99_ms, "p99_ratio": busy_p99_ms / idle_p99_ms}
    return figures | {"median_ratio": ratio, "first_token_ms": sum(busy) / PROMPTS}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tools/bench worker_latency", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--home", type=Path, default=Path.home() / ".cache" / "trunkline-test", help="prepared models")
    usual = BatchConfig().wait_steps
    parser.add_argument("--wait-steps", type=float, default=usual, metavar="N", help=f"decode_wait_steps ({usual})")
    options = parser.parse_args(argv)
    decoder = load_decoder(prepare(SMOLLM2.name, options.home), WorkerConfig(listen="local:bench", home=options.home))
    shrinking = measure(decoder, options.wait_steps)
    whole = measure(decoder, WHOLE_CHUNKS)
    if options.json:
        print(json.dumps({"shrinking": shrinking, "whole": whole}))
        return 0
    print(f"{'':<16}{'shrinking':>12}{'whole chunks':>14}")
    for name, value in shrinking.items():
        print(f"{name:<16}{value:>12.1f}{whole[name]:>14.1f}")
    return 0
