"""Which tokens of a row may be drawn, what they weigh, and the draw itself. Pure; fast on a whole vocabulary.

A weight is exp((logit - largest) / temperature), the best token's is 1. Tokens that weigh less than 2⁻²⁴ weigh nothing:
beside 1 a float32 does not notice them, and raising a whole vocabulary to a power is what sampling costs most.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from trunkline_worker.generation import SamplingOptions
from trunkline_worker.runtimes.base import Logits

Ids = NDArray[np.intp]
Weights = NDArray[np.float32]

_LEAST = 2.0**-24
_COLDEST = 1e-6
"""Temperatures below this are taken as this: the best token's weight is 1 and all others' 0."""
_CUTS = (1e-2, 1e-3, 1e-4, 1e-5)
"""Weights below which tokens are not sorted; the next is tried if too few remain."""
_BLOCK = 256
"""Tokens that are summed, or whose largest is found, before any of them is looked at."""


def candidates(logits: Logits, options: SamplingOptions) -> tuple[Ids, Weights]:
    """The tokens, by id, that min_p, top_k and top_p leave, in this order, and their weights. Never empty.

    top_p keeps the likeliest tokens up to and including the one that reaches the mass (Holtzman et al., 2019,
    arXiv:1904.09751), of what min_p and top_k left. Of equal logits the lower id comes first.
    """
    ids, weights = _weighed(logits, options)
    if options.top_k and options.top_k < ids.size:
        ids, weights = _likeliest(logits, ids, weights, options.top_k)
    if options.top_p < 1.0:
        size, least = _nucleus(weights, options.top_p)
        near = weights >= least
        ids, weights = _likeliest(logits, ids[near], weights[near], size)
    return ids, weights


def _weighed(logits: Logits, options: SamplingOptions) -> tuple[Ids, Weights]:
    """The tokens that min_p leaves and that weigh anything, of the `top_k` likeliest and a few more."""
    temperature = max(options.temperature, _COLDEST)
    largest = logits.max()
    least = max(options.min_p, _LEAST)
    # A little lower than the bound, for rounding; the weights decide.
    bound = float(largest) + temperature * (math.log(least) - 1e-3)
    if options.top_k:
        bound = max(bound, level_of(logits, options.top_k))
    ids = np.flatnonzero(logits >= np.float32(bound))
    weights = np.exp((logits[ids] - largest) / np.float32(temperature))
    kept = weights >= np.float32(least)
    return (ids, weights) if kept.all() else (ids[kept], weights[kept])


def _nucleus(weights: Weights, top_p: float) -> tuple[int, np.float32]:
    """How many of the likeliest tokens it takes to reach the share `top_p` of all weight, and the last one's weight."""
    mass = top_p * float(weights.sum(dtype=np.float64))
    for cut in (*_CUTS, 0.0):
        near = weights[weights >= np.float32(cut)]
        if cut == 0.0 or float(near.sum(dtype=np.float64)) >= mass:
            break
    order = np.sort(near)[::-1]
    reached = np.cumsum(order, dtype=np.float64)
    size = min(int(np.searchsorted(reached, mass, side="left")) + 1, near.size)
    return size, order[size - 1]


def _likeliest(logits: Logits, ids: Ids, weights: Weights, size: int) -> tuple[Ids, Weights]:
    """The `size` tokens of the largest logits, still by id."""
    if size >= ids.size:
        return ids, weights
    near = logits[ids]
    level = np.partition(near, near.size - size)[near.size - size]
    kept = near > level
    kept[np.flatnonzero(near == level)[: size - int(kept.sum())]] = True
    return ids[kept], weights[kept]


def level_of(logits: Logits, count: int) -> float:
    """A logit that at least `count` logits reach, and not many more; minus infinity if there are fewer.

    Of the blocks' largest logits the `count`-th is one: a block each has a logit that reaches it.
    """
    if count >= logits.size:
        return -math.inf
    tops = logits[: logits.size // _BLOCK * _BLOCK].reshape(-1, _BLOCK).max(axis=-1)
    # Few blocks: the exact level, for a little more.
    values = tops if count <= tops.size else logits
    return float(np.partition(values, values.size - count)[values.size - count])


def pick(ids: Ids, weights: Weights, place: float) -> int:
    """The token at `place` (0 to 1) of the weights laid end to end. Never one whose weight is zero.

    Blocks are summed first and only the block that was hit is walked through.
    """
    whole = weights.size // _BLOCK * _BLOCK
    sums = np.append(weights[:whole].reshape(-1, _BLOCK).sum(axis=-1), weights[whole:].sum()).astype(np.float64)
    block, rest = _at(sums, place * float(sums.sum()))
    index, _ = _at(weights[block * _BLOCK : (block + 1) * _BLOCK].astype(np.float64), rest)
    return int(ids[block * _BLOCK + index])


def _at(weights: NDArray[np.float64], place: float) -> tuple[int, float]:
    """The index that covers `place` of the weights laid end to end, and how far into it that is."""
    reached = np.cumsum(weights)
    index = int(np.searchsorted(reached, place, side="right"))
    # Rounding may put the place beyond the end; the last index with weight is where the sum stops growing.
    index = min(index, int(np.searchsorted(reached, reached[-1], side="left")))
    return index, place - (float(reached[index - 1]) if index else 0.0)
