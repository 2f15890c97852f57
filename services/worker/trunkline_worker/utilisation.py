"""What a model run moves and computes, and how much of what the machine could do that is.

MFU is the share of the peak of floating-point operations, MBU that of the memory's bandwidth, both while a run is under
way. Decoding a few rows is bound by bandwidth, reading a prompt by operations. The counts follow from the model's shape
(Kaplan et al., 2020, arXiv:2001.08361, §2.1: 2 operations a weight and token, and attention); the peaks are measured at
start or given, since nobody can look up a container's share of a machine.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from msgspec import Struct

_LATEST_SHARE = 0.1
"""What the latest run counts in a moving figure."""
_MATRIX = 512
_COPY_FLOATS = 8 * 1024 * 1024
"""Twice 32 MB, more than the caches hold."""
_TRIES = 5


class ModelCost(Struct, frozen=True, kw_only=True):
    """Of one decoder."""

    weight_bytes: int
    """Read once in every run, however many tokens it has."""
    token_flops: float
    """Of one token, without attention."""
    pair_flops: float
    """Of one token's attention to one other."""
    kv_token_bytes: int
    """Keys and values of one token in memory."""

    def decode(self, lengths: Sequence[int]) -> Work:
        """One token for each row, over so many tokens."""
        held = sum(lengths)
        return Work(
            flops=self.token_flops * len(lengths) + self.pair_flops * held,
            moved_bytes=self.weight_bytes + self.kv_token_bytes * held,
        )

    def prefill(self, tokens: int, past: int) -> Work:
        """A chunk of a prompt behind `past` tokens."""
        pairs = tokens * past + tokens * (tokens + 1) / 2
        return Work(
            flops=self.token_flops * tokens + self.pair_flops * pairs,
            moved_bytes=self.weight_bytes + self.kv_token_bytes * (past + tokens),
        )


class Work(Struct, frozen=True, kw_only=True):
    flops: float
    moved_bytes: float


class Peaks(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the machine can do; 0 means that it is measured at start."""

    flops_per_s: float = 0.0
    bytes_per_s: float = 0.0


class Utilisation(Struct, frozen=True, kw_only=True):
    """Work done so far, and how fast the latest runs did theirs."""

    flops: float = 0.0
    moved_bytes: float = 0.0
    busy_s: float = 0.0
    flops_per_s: float = 0.0
    bytes_per_s: float = 0.0
    best_flops_per_s: float = 0.0
    best_bytes_per_s: float = 0.0

    def mfu(self, peaks: Peaks) -> float:
        """Share of the peak of operations, 0 to 1: a peak that was measured too low is at least what a run reached."""
        return self.flops_per_s / max(peaks.flops_per_s, self.best_flops_per_s, 1.0)

    def mbu(self, peaks: Peaks) -> float:
        """Share of the peak of bandwidth, 0 to 1."""
        return self.bytes_per_s / max(peaks.bytes_per_s, self.best_bytes_per_s, 1.0)

    def after(self, work: Work, duration_s: float) -> Utilisation:
        """Once a run did `work` in `duration_s`."""
        if duration_s <= 0:
            return self
        return Utilisation(
            flops=self.flops + work.flops,
            moved_bytes=self.moved_bytes + work.moved_bytes,
            busy_s=self.busy_s + duration_s,
            flops_per_s=_moving(self.flops_per_s, work.flops / duration_s),
            bytes_per_s=_moving(self.bytes_per_s, work.moved_bytes / duration_s),
            best_flops_per_s=max(self.best_flops_per_s, work.flops / duration_s),
            best_bytes_per_s=max(self.best_bytes_per_s, work.moved_bytes / duration_s),
        )


def measured(peaks: Peaks) -> Peaks:
    """The peaks, those that are 0 measured: a float32 matrix product and a copy. Takes about a tenth of a second."""
    flops_per_s = peaks.flops_per_s or _best(_multiply(), 2.0 * _MATRIX**3)
    bytes_per_s = peaks.bytes_per_s
    if not bytes_per_s:
        threads = len(os.sched_getaffinity(0))
        with ThreadPoolExecutor(threads) as pool:
            # A copy reads and writes.
            bytes_per_s = _best(_copy(pool, threads), 2.0 * 4 * _COPY_FLOATS)
    return Peaks(flops_per_s=flops_per_s, bytes_per_s=bytes_per_s)


def _moving(before: float, latest: float) -> float:
    return before + _LATEST_SHARE * (latest - before) if before else latest


def _best(run: Callable[[], object], amount: float) -> float:
    run()
    durations = []
    for _ in range(_TRIES):
        started_s = time.perf_counter()
        run()
        durations.append(time.perf_counter() - started_s)
    return amount / min(durations)


def _multiply() -> Callable[[], object]:
    matrix = np.ones((_MATRIX, _MATRIX), np.float32)
    product = np.empty_like(matrix)
    return lambda: np.matmul(matrix, matrix, out=product)


def _copy(pool: ThreadPoolExecutor, threads: int) -> Callable[[], object]:
    """A part for each thread: one alone does not use all of the bandwidth."""
    source, target = np.ones(_COPY_FLOATS, np.float32), np.empty(_COPY_FLOATS, np.float32)
    parts = list(zip(np.array_split(target, threads), np.array_split(source, threads), strict=True))
    return lambda: list(pool.map(lambda part: np.copyto(*part), parts))
