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
_CUT = 1e-3
"""Tokens that weigh less are not sorted unless the others are too few."""
_ROUNDING = 1e-4
"""More than sums of a vocabulary in float32 are off by, as a share."""
_BLOCK = 256
"""Tokens that are summed, or whose largest is found, before any of them is looked at."""


class Scratch:
    """Memory to work in, for one thread: arrays as long as a vocabulary of `size` tokens.

    New ones of this length go back to the system each time, and getting them page by page again costs more than what
    is computed in them.
    """

    def __init__(self, size: int) -> None:
        self.row = np.empty(size, np.float32)
        """For logits that are changed before the draw."""
        self.weights = np.empty(-(-size // 32) * 32, np.float32)
        """For masks too, which are made of words of 32 bits."""
        self.near = np.empty(size, np.bool_)


def candidates(logits: Logits, options: SamplingOptions, scratch: Scratch) -> tuple[Ids, Weights]:
    """The tokens, by id, that min_p, top_k and top_p leave, in this order, and their weights. Never empty.

    The weights may lie in `scratch`.

    top_p keeps the likeliest tokens up to and including the one that reaches the mass (Holtzman et al., 2019,
    arXiv:1904.09751), of what min_p and top_k left. Of equal logits the lower id comes first.
    """
    ids, weights = _weighed(logits, options, scratch)
    if options.top_k and options.top_k < ids.size:
        ids, weights = _likeliest(logits, ids, weights, options.top_k)
    if options.top_p < 1.0:
        near, size = _nucleus(weights, options.top_p)
        ids, weights = _likeliest(logits, ids[near], weights[near], size)
    return ids, weights


def _weighed(logits: Logits, options: SamplingOptions, scratch: Scratch) -> tuple[Ids, Weights]:
    """The tokens that min_p leaves and that weigh anything, of the `top_k` likeliest and a few more."""
    temperature = max(options.temperature, _COLDEST)
    largest = np.maximum.reduce(logits)
    bound = float(largest) + temperature * math.log(max(options.min_p, _LEAST))
    if options.top_k:
        bound = max(bound, level_of(logits, options.top_k))
    (ids,) = np.greater_equal(logits, np.float32(bound), out=scratch.near).nonzero()
    weights = np.take(logits, ids, out=scratch.weights[: ids.size], mode="clip")
    weights -= largest
    if temperature != 1.0:
        weights /= np.float32(temperature)
    return ids, np.exp(weights, out=weights)


def _nucleus(weights: Weights, top_p: float) -> tuple[Ids, int]:
    """Where the likeliest tokens are that reach the share `top_p` of all weight, and how many it takes of them.

    There may be more places than that, if several weigh as much as the last one.
    """
    whole = float(np.add.reduce(weights))
    mass = top_p * whole
    # All that weigh less than the second cut weigh less together than what top_p leaves.
    for cut in (_CUT, (1 - _ROUNDING) * (whole - mass) / weights.size, 0.0):
        (near,) = (weights >= np.float32(cut)).nonzero()
        some = weights[near]
        if float(np.add.reduce(some)) >= mass * (1 + _ROUNDING):
            break
    order = np.sort(some)[::-1]
    reached = np.cumsum(order, dtype=np.float64)
    size = min(int(reached.searchsorted(mass, side="left")) + 1, near.size)
    return near[some >= order[size - 1]], size


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
    if weights.size <= 2 * _BLOCK:
        reached = np.cumsum(weights, dtype=np.float64)
        return int(ids[_at(reached, place * float(reached[-1]))[0]])
    reached = np.cumsum(np.add.reduceat(weights, np.arange(0, weights.size, _BLOCK)), dtype=np.float64)
    block, rest = _at(reached, place * float(reached[-1]))
    begin = block * _BLOCK
    index, _ = _at(np.cumsum(weights[begin : begin + _BLOCK], dtype=np.float64), rest)
    return int(ids[begin + index])


def _at(reached: NDArray[np.float64], place: float) -> tuple[int, float]:
    """Of weights laid end to end, up to where each has `reached`: which one covers `place`, and how far into it."""
    index = int(reached.searchsorted(place, side="right"))
    if index == reached.size:
        # Rounding put the place beyond the end; the last one with weight is where the sum stops growing.
        index = int(reached.searchsorted(reached[-1], side="left"))
    return index, place - (float(reached[index - 1]) if index else 0.0)
