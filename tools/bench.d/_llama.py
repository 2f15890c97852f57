"""llama.cpp's side of the worker benchmark; runs in an environment with llama-cpp-python and prints JSON.

It does what the engine beside it does: every token is chosen (greedily) and made text, and goes into the next step.

usage: _llama.py GGUF ROUNDS NEW_TOKENS THREADS
"""

import ctypes
import json
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

import llama_cpp

SLOTS = 8
PIECE_BYTES = 256
CONTEXT_TOKENS = 8192
PREFILLS = (128, 512)
BATCHES = (1, 4, 8)
RAGGED = tuple((12 + 7 * number % 51, 20 + 11 * number % 37) for number in range(12))
"""Tokens of prompt and answer; `worker.py` has the same."""


class Llama:
    """A model with one context of several sequences."""

    def __init__(self, path: str, threads: int) -> None:
        llama_cpp.llama_backend_init()
        self.model = llama_cpp.llama_model_load_from_file(path.encode(), llama_cpp.llama_model_default_params())
        options = llama_cpp.llama_context_default_params()
        options.n_ctx, options.n_batch, options.n_ubatch, options.n_seq_max = CONTEXT_TOKENS, 512, 512, SLOTS
        options.n_threads = options.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(self.model, options)
        self.memory: Any = llama_cpp.llama_get_memory(self.context)
        self.batch = llama_cpp.llama_batch_init(512, 0, 1)
        self.vocabulary = llama_cpp.llama_model_get_vocab(self.model)
        self.greedy = llama_cpp.llama_sampler_init_greedy()
        self.piece = ctypes.create_string_buffer(PIECE_BYTES)

    def run(self, tokens: Sequence[tuple[int, int, int, bool]]) -> None:
        """Decode (token, position, sequence, wants logits)."""
        self.batch.n_tokens = len(tokens)
        for index, (token, position, sequence, logits) in enumerate(tokens):
            self.batch.token[index] = token
            self.batch.pos[index] = position
            self.batch.n_seq_id[index] = 1
            self.batch.seq_id[index][0] = sequence
            self.batch.logits[index] = logits
        status = llama_cpp.llama_decode(self.context, self.batch)
        if status != 0:
            raise SystemExit(f"llama_decode returned {status}")

    def choose(self, index: int) -> int:
        """The most likely token after the one at `index` of the last batch."""
        token: int = llama_cpp.llama_sampler_sample(self.greedy, self.context, index)
        llama_cpp.llama_token_to_piece(self.vocabulary, token, self.piece, PIECE_BYTES, 0, True)
        return token

    def clear(self) -> None:
        llama_cpp.llama_memory_clear(self.memory, True)

    def prefill_rate(self, count: int) -> float:
        self.clear()
        started_s = time.perf_counter()
        self.run([(1000 + index, index, 0, index == count - 1) for index in range(count)])
        llama_cpp.llama_get_logits(self.context)
        return count / (time.perf_counter() - started_s)

    def decode_rate(self, rows: int, new_tokens: int) -> float:
        self.clear()
        tokens: list[int] = []
        for row in range(rows):
            self.run([(1000 + index, index, row, index == 32) for index in range(33)])
            tokens.append(self.choose(32))
        started_s = time.perf_counter()
        for step in range(new_tokens - 1):
            self.run([(token, 33 + step, row, True) for row, token in enumerate(tokens)])
            tokens = [self.choose(index) for index in range(rows)]
        return rows * (new_tokens - 1) / (time.perf_counter() - started_s)

    def ragged_rate(self, together: int) -> float:
        """Tokens per second of the ragged requests, a place for the next as soon as one is done."""
        self.clear()
        waiting = list(enumerate(RAGGED))
        free = list(range(together))
        running: dict[int, tuple[int, int, int]] = {}
        started_s = time.perf_counter()
        while waiting or running:
            while waiting and free:
                sequence = free.pop()
                number, (prompt, new) = waiting.pop(0)
                self.run([(1000 + number + index, index, sequence, index == prompt - 1) for index in range(prompt)])
                running[sequence] = self.choose(prompt - 1), prompt, new - 1
            self.run([(token, position, sequence, True) for sequence, (token, position, _) in running.items()])
            running = {
                sequence: (self.choose(index), position + 1, left - 1)
                for index, (sequence, (_, position, left)) in enumerate(running.items())
            }
            for sequence in [one for one, (_, _, left) in running.items() if left == 0]:
                del running[sequence]
                llama_cpp.llama_memory_seq_rm(self.memory, sequence, -1, -1)
                free.append(sequence)
        return sum(new for _, new in RAGGED) / (time.perf_counter() - started_s)


def main() -> int:
    path, rounds, new_tokens, threads = sys.argv[1], *map(int, sys.argv[2:5])
    quiet = llama_cpp.llama_log_callback(lambda *_: None)  # must outlive every call that may log
    llama_cpp.llama_log_set(quiet, None)
    llama = Llama(path, threads)
    figures: dict[str, float] = {}
    for count in PREFILLS:
        llama.prefill_rate(count)
        values = [llama.prefill_rate(count) for _ in range(rounds)]
        figures |= {f"prefill_{count}": statistics.median(values), f"prefill_{count}_best": max(values)}
    for rows in BATCHES:
        values = [llama.decode_rate(rows, new_tokens) for _ in range(rounds)]
        figures |= {f"decode_{rows}": statistics.median(values), f"decode_{rows}_best": max(values)}
    for together in (1, SLOTS):
        values = [llama.ragged_rate(together) for _ in range(rounds)]
        figures |= {f"ragged_{together}": statistics.median(values), f"ragged_{together}_best": max(values)}
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
