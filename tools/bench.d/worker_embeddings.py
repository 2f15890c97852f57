"""Texts a second of the encoder and how long a caller waits, at 1, 8 and 32 callers: gathered in runs, and one by one.

Every caller sends one text after the other, of 4 to 60 words. Both ways in turns and in one run. Then what a token
costs in runs of different sizes, the best of the rounds: where that is flat, gathering wins nothing.
"""

import argparse
import asyncio
import json
import statistics
import time
from pathlib import Path

from msgspec import Struct

from trunkline_worker.catalogue import MINILM
from trunkline_worker.embedding import EmbedConfig, Embedder, OnnxEncoder, open_embedder
from trunkline_worker.model_store import ModelFolder
from trunkline_worker.prepare import prepare
from trunkline_worker.row_queue import RunConfig
from trunkline_worker.runtimes.session import SessionConfig
from trunkline_worker.texts import TokenRow
from trunkline_worker.tokenizer import read_tokenizer

CALLERS = (1, 8, 32)
SENTENCE = "the harbour master keeps a book in which every ship is written down with the hour at which it came"
RUN_TEXTS = (1, 2, 8, 64)
GATHERED, ALONE = RunConfig(), RunConfig(batch_texts=1)


class Round(Struct, frozen=True, kw_only=True):
    """One measurement."""

    texts_per_s: float
    p50_ms: float
    p99_ms: float


def text(number: int) -> str:
    words = SENTENCE.split()
    length = 4 + number * 37 % 57
    return " ".join(words[(number + place) % len(words)] for place in range(length))


async def caller(embedder: Embedder, first: int, count: int) -> list[float]:
    """How long each text took, seconds."""
    taken = []
    for number in range(first, first + count):
        started_s = time.perf_counter()
        await embedder.embed([text(number)])
        taken.append(time.perf_counter() - started_s)
    return taken


async def measure(encoder: OnnxEncoder, run: RunConfig, callers: int, texts: int) -> Round:
    async with open_embedder(encoder, EmbedConfig(run=run)) as embedder:
        started_s = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            each = texts // callers
            tasks = [group.create_task(caller(embedder, number * each, each)) for number in range(callers)]
        duration_s = time.perf_counter() - started_s
    taken = sorted(one for task in tasks for one in task.result())
    p99 = taken[int(0.99 * (len(taken) - 1))]
    return Round(texts_per_s=len(taken) / duration_s, p50_ms=statistics.median(taken) * 1000, p99_ms=p99 * 1000)


def token_us(encoder: OnnxEncoder, texts: int, rounds: int) -> float:
    """Microseconds a token in a run of so many texts of 64 tokens, the best of the rounds."""
    rows = [TokenRow(range(1000, 1064))] * texts
    best_s = float("inf")
    for _ in range(rounds):
        started_s = time.perf_counter()
        encoder.run(rows)
        best_s = min(best_s, time.perf_counter() - started_s)
    return best_s / texts / 64 * 1e6


def compare(folder: ModelFolder, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    tokenizer = read_tokenizer(folder.path / "tokenizer.json")
    encoder = OnnxEncoder(folder, tokenizer, SessionConfig(threads=options.threads))
    encoder.embed([text(number) for number in range(8)], EmbedConfig())
    figures: dict[str, dict[str, float]] = {}
    for callers in CALLERS:
        made: dict[str, list[Round]] = {"alone": [], "gathered": []}
        for _ in range(options.rounds):
            for name, run in (("alone", ALONE), ("gathered", GATHERED)):
                made[name].append(asyncio.run(measure(encoder, run, callers, options.texts)))
        for name, rounds in made.items():
            figures[f"{callers} {name}"] = {
                field: statistics.median(getattr(one, field) for one in rounds) for field in Round.__struct_fields__
            }
    costs = {f"{texts * 64} tokens": token_us(encoder, texts, 3 * options.rounds) for texts in RUN_TEXTS}
    return figures | {"us a token": costs}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tools/bench worker_embeddings", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--home", type=Path, default=Path.home() / ".cache" / "trunkline-test", help="prepared models")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="repeats of every figure (3)")
    parser.add_argument("--texts", type=int, default=128, metavar="N", help="texts in each (128)")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="threads; 0 means one per core")
    options = parser.parse_args(argv)
    figures = compare(prepare(MINILM.name, options.home), options)
    if options.json:
        print(json.dumps({"bench": "worker_embeddings", **figures}))
        return 0
    costs = figures.pop("us a token")
    print(f"{'callers':<14}" + "".join(f"{name:>14}" for name in Round.__struct_fields__))
    for name, values in figures.items():
        print(f"{name:<14}" + "".join(f"{value:>14.1f}" for value in values.values()))
    print("\nmicroseconds a token in a run of " + ", ".join(f"{name}: {value:.0f}" for name, value in costs.items()))
    return 0
