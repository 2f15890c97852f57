"""What choosing the tokens costs of a decode step: the sampler beside the model in one run, at 1 and 8 rows.

The logits are the model's own, after some chat prompts; a step is the model run and the choice together, and the two
take turns as in the engine, so that both find the caches as they would there and a machine that slows down does so for
both.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from trunkline_worker.app import Decoder, load_decoder
from trunkline_worker.candidates import Scratch
from trunkline_worker.catalogue import SMOLLM2
from trunkline_worker.config import WorkerConfig
from trunkline_worker.generation import SamplingOptions
from trunkline_worker.grammars import Grammar, Kind
from trunkline_worker.prepare import prepare
from trunkline_worker.runtimes.base import Logits
from trunkline_worker.sampling import Sampler
from trunkline_worker.tokenizer import ChatMessage

QUESTIONS = ("Tell me a story.", "What is 2+2?", "Write a poem.", "List colours.", "Explain gravity.", "Who are you?")
OPTIONS = {
    "greedy": SamplingOptions(temperature=0),
    "the model's own": SamplingOptions(temperature=0.2, top_p=0.9),
    "temperature 1": SamplingOptions(),
    "top_p 0.95": SamplingOptions(top_p=0.95),
    "top_k 50": SamplingOptions(temperature=0.8, top_k=50),
    "min_p 0.05": SamplingOptions(min_p=0.05),
    "penalties": SamplingOptions(temperature=0.8, top_p=0.9, presence_penalty=0.5, repetition_penalty=1.2),
    "guided": SamplingOptions(temperature=0.8),
}
STRINGS = Grammar(kind=Kind.JSON_SCHEMA, text='{"type":"array","items":{"type":"string"},"minItems":99}', param="")


def rows_of(decoder: Decoder, rows: int) -> Logits:
    """Logits behind different prompts, which are left in the slots."""
    made = []
    for row in range(rows):
        question = ChatMessage(role="user", content=QUESTIONS[row % len(QUESTIONS)])
        ids = decoder.intake.codec.encode_chat([question])
        made.append(decoder.runtime.prefill(row, ids, 0).copy())
    return np.stack(made)


def turns_s(runs: Sequence[Callable[[], object]], rounds: int) -> list[list[float]]:
    """By round: how long each took, in turns."""
    made = []
    for _ in range(rounds):
        took = []
        for run in runs:
            started_s = time.perf_counter()
            run()
            took.append(time.perf_counter() - started_s)
        made.append(took)
    return made


def choose(samplers: Sequence[Sampler], logits: Logits) -> list[int]:
    """As the engine does, whose thread ignores overflows too."""
    return [one.choose(logits[row]) for row, one in enumerate(samplers)]


def samplers(decoder: Decoder, name: str, rows: int) -> list[Sampler]:
    guides, scratch = decoder.intake.guides, Scratch(decoder.runtime.vocabulary_size)
    made = []
    for row in range(rows):
        guide = guides.compile(STRINGS).guide() if name == "guided" and guides else None
        made.append(Sampler(OPTIONS[name], range(1000, 1300), choice=row, guide=guide, scratch=scratch))
    return made


def figures(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """By options and rows: milliseconds of the choice, and its share of a step in per cent."""
    decoder = load_decoder(prepare(SMOLLM2.name, options.home), WorkerConfig(listen="local:bench", home=options.home))
    found: dict[str, dict[str, float]] = {name: {} for name in OPTIONS}
    for rows in (1, 8):
        logits = rows_of(decoder, rows)
        ids, lengths = [5] * rows, [60] * rows
        for name in OPTIONS:
            runs = (
                partial(decoder.runtime.decode, ids, lengths),
                partial(choose, samplers(decoder, name, rows), logits),
            )
            took = turns_s(runs, options.rounds)
            found[name] |= {
                f"ms_{rows}": 1000 * statistics.median(choice for _, choice in took),
                f"percent_{rows}": 100 * statistics.median(choice / (model + choice) for model, choice in took),
            }
    return found


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tools/bench worker_sampling", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--home", type=Path, default=Path.home() / ".cache" / "trunkline-test", help="prepared models")
    parser.add_argument("--rounds", type=int, default=60, metavar="N", help="repeats of every figure (60)")
    options = parser.parse_args(argv)
    with np.errstate(over="ignore"):
        made = figures(options)
    if options.json:
        print(json.dumps(made))
        return 0
    print(f"{'':<18}{'1 row, ms':>10}{'% of step':>10}{'8 rows, ms':>12}{'% of step':>10}")
    for name, one in made.items():
        print(f"{name:<18}{one['ms_1']:>10.3f}{one['percent_1']:>10.1f}{one['ms_8']:>12.3f}{one['percent_8']:>10.1f}")
    return 0
