"""What drafts out of the prompt are worth: tokens a second of one answer, with and without, in turns and in one run.

Greedy answers to four kinds of request: text to be said back, code to be changed in one place, questions about a text,
and plain chat. Both sides must give the same tokens. Time is that of the steps after the first token.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

from msgspec import Struct, structs

from trunkline_kit.clock import SystemClock
from trunkline_worker.app import Decoder, load_decoder
from trunkline_worker.batching import BatchConfig, Batcher
from trunkline_worker.catalogue import SMOLLM2
from trunkline_worker.config import WorkerConfig
from trunkline_worker.convert.precision import Precision
from trunkline_worker.generation import GenerationRequest, SamplingOptions
from trunkline_worker.prepare import prepare
from trunkline_worker.runtimes.onnx import SlotConfig
from trunkline_worker.runtimes.session import SessionConfig
from trunkline_worker.speculation import Drafted
from trunkline_worker.tokenizer import ChatMessage

NEW_TOKENS = 160
POEM = """The harbour master keeps a book in which every ship is written down with the hour at which it came and the
hour at which it went. On Monday the Maria came at six and went at nine. On Tuesday the Anna came at seven and went at
ten. On Wednesday the Clara came at eight and went at noon. Nobody has ever asked to see the book."""
CODE = """def total_price(items, tax_rate):
    total = 0
    for item in items:
        price = item.price * item.quantity
        if item.discount:
            price = price - price * item.discount
        total = total + price
    total = total + total * tax_rate
    return total
"""
PROMPTS = {
    "say back": f"Repeat this text word for word:\n\n{POEM}",
    "change code": f"Rename total_price to order_total in this code and give back all of it:\n\n```python\n{CODE}```",
    "about a text": f"{POEM}\n\nList every ship with the hour at which it came and the hour at which it went.",
    "plain chat": "Why do leaves turn red in autumn? Explain it to a child.",
}


class Run(Struct, frozen=True, kw_only=True):
    """One answer."""

    token_ids: tuple[int, ...]
    per_s: float
    drafted: Drafted


def answer(decoder: Decoder, prompt: str) -> Run:
    batch = Batcher(decoder.runtime, decoder.intake.codec, decoder.eos_ids, BatchConfig(), SystemClock())
    ids = tuple(decoder.intake.codec.encode_chat([ChatMessage(role="user", content=prompt)]))
    sampling = SamplingOptions(temperature=0)
    batch.add(GenerationRequest(request_id="a", prompt_ids=ids, sampling=sampling, max_tokens=NEW_TOKENS))
    made: list[int] = []
    begun_s = 0.0
    while batch.has_work:
        for delta in batch.step():
            made += delta.token_ids
        begun_s = begun_s or (time.perf_counter() if made else 0.0)
    duration_s = time.perf_counter() - begun_s
    return Run(token_ids=tuple(made), per_s=(len(made) - 1) / duration_s, drafted=batch.load().drafted)


def compare(drafting: Decoder, plain: Decoder, prompt: str, rounds: int) -> dict[str, float]:
    """Medians of both, in turns. Raises SystemExit if they do not say the same."""
    with_drafts, without = [], []
    for _ in range(rounds):
        with_drafts.append(answer(drafting, prompt))
        without.append(answer(plain, prompt))
    if len({run.token_ids for run in (*with_drafts, *without)}) != 1:
        raise SystemExit("the answers with drafts and without are not the same")
    on, off = (statistics.median(run.per_s for run in runs) for runs in (with_drafts, without))
    last = with_drafts[-1]
    accepted = last.drafted.accepted / max(1, last.drafted.tokens)
    figures = {"off_per_s": off, "on_per_s": on, "ratio": on / off, "tokens": len(last.token_ids)}
    return figures | {"drafted": last.drafted.tokens, "accepted_share": accepted}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tools/bench worker_speculation", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--home", type=Path, default=Path.home() / ".cache" / "trunkline-test", help="prepared models")
    parser.add_argument("--variant", default=SMOLLM2.default.value, choices=[one.value for one in Precision])
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="repeats of every figure (5)")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="threads; 0 means one per core")
    options = parser.parse_args(argv)
    folder = prepare(SMOLLM2.name, options.home, variant=Precision(options.variant))
    slots = SlotConfig(slots=1)
    session = SessionConfig(threads=options.threads)
    config = WorkerConfig(listen="local:bench", home=options.home, slots=slots, session=session)
    drafting = load_decoder(folder, config)
    plain = load_decoder(folder, structs.replace(config, slots=structs.replace(slots, speculation=False)))
    found = {name: compare(drafting, plain, prompt, options.rounds) for name, prompt in PROMPTS.items()}
    if options.json:
        print(json.dumps({"bench": "worker_speculation", **found}))
        return 0
    names = next(iter(found.values()))
    print(f"{'':<14}" + "".join(f"{name:>16}" for name in names))
    for name, figures in found.items():
        print(f"{name:<14}" + "".join(f"{value:>16.2f}" for value in figures.values()))
    return 0
