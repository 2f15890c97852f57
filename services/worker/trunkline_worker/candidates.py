"""Which tokens of a row may be drawn, what they weigh, and the draw itself. Pure; fast on a whole vocabulary.

A weight is exp(logit / temperature), but for a factor that is one for the row. Tokens that weigh less than 2⁻²⁴ of the
best may be taken to weigh nothing: beside it a float32 does not notice them. At low temperatures few weigh more, and
those are picked first; at others many do, and weighing the whole vocabulary is faster than picking.

Between two runs of a model every call of numpy is slow, and the first of a kind far slower, as its code has left the
processor's caches. So there are few and of few kinds. An overflow is looked for in the result; numpy's warning of it is
the caller's to switch off, once for many rows.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.lib.introspect import opt_func_info
from numpy.typing import NDArray

from trunkline_worker.generation import SamplingOptions
from trunkline_worker.runtimes.base import Logits

Ids = NDArray[np.intp]
Weights = NDArray[np.float32]
Sums = NDArray[np.float64]

_LEAST = 2.0**-24
_COLDEST = 1e-6
"""Temperatures below this are taken as this: the best token's weight is 1 and all others' 0."""
_WARM = 0.5
"""From this temperature on all tokens are weighed."""
_LEAST_WHOLE, _MOST_WHOLE = 2.0**-80, 2.0**100
"""Between these no weight that counts has left the range of a float32."""
_CUT = 1e-3
"""Tokens that weigh less than this share of what top_p leaves out are not sorted unless the others are too few."""
_ROUNDING = 1e-4
"""More than sums of a vocabulary in float32 are off by, as a share."""
_BLOCK = 256
"""Tokens that are summed, or whose largest is found, before any of them is looked at."""
_ONES = np.ones(_BLOCK, np.float32)


class Candidates(NamedTuple):
    ids: Ids
    """By id or by weight."""
    weights: Weights
    reached: Sums | None = None
    """What the weights come to up to the end of each `width`; None if they have not been added up yet."""
    width: int = 1
    base: float = 0.0
    """What `reached` begins with."""


class Scratch:
    """Memory to work in, for one thread: arrays as long as a vocabulary of `size` tokens.

    New ones of this length go back to the system each time, and getting them page by page again costs more than what
    is computed in them.
    """

    def __init__(self, size: int) -> None:
        self.row = np.empty(size, np.float32)
        """For logits with a mask added."""
        self.weights = np.empty(-(-size // 32) * 32, np.float32)
        """For masks too, which are made of words of 32 bits."""
        self.near = np.empty(size, np.bool_)
        self.ids = np.arange(size)
        """All tokens."""
        self.power, self.factor = _fastest_power()


def _fastest_power() -> tuple[np.ufunc, float]:
    """A power, and what an exponent of e is multiplied by to become its. With AVX-512 that of 2 is faster."""
    kernels = opt_func_info(func_name="^exp2$", signature="float32")["exp2"].values()
    if any("baseline" in kernel["current"] for kernel in kernels):
        return np.exp, 1.0
    return np.exp2, math.log2(math.e)


def candidates(logits: Logits, options: SamplingOptions, scratch: Scratch) -> Candidates:
    """The tokens that min_p, top_k and top_p leave, in this order. Never empty; they may lie in `scratch`.

    top_p keeps the likeliest tokens up to and including the one that reaches the mass (Holtzman et al., 2019,
    arXiv:1904.09751), of what min_p and top_k left. Of equal logits the lower id comes first.
    """
    if options.temperature >= _WARM and not options.top_k and options.min_p <= _LEAST:
        found = _all(logits, options.temperature, scratch)
    else:
        found = _picked(logits, options, scratch)
    if options.top_k and options.top_k < found.ids.size:
        found = _likeliest(logits, found.ids, found.weights, options.top_k)
    return _nucleus(logits, found, options.top_p, scratch) if options.top_p < 1.0 else found


def _all(logits: Logits, temperature: float, scratch: Scratch) -> Candidates:
    """Every token. The largest logit is looked for only if powers turn out to be beyond what a number can hold."""
    ids, weights, factor = scratch.ids[: logits.size], scratch.weights[: logits.size], scratch.factor / temperature
    exponents = logits if factor == 1.0 else np.multiply(logits, np.float32(factor), out=weights)
    reached = _reached(_block_sums(scratch.power(exponents, out=weights)))
    if not _LEAST_WHOLE < reached[-1] < _MOST_WHOLE:
        np.subtract(logits, np.maximum.reduce(logits), out=weights)
        weights *= np.float32(factor)
        reached = _reached(_block_sums(scratch.power(weights, out=weights)))
    return Candidates(ids, weights, reached, _BLOCK)


def _picked(logits: Logits, options: SamplingOptions, scratch: Scratch) -> Candidates:
    """The tokens that min_p leaves and that weigh anything, of `top_k` the likeliest and more; the best weighs 1."""
    temperature = max(options.temperature, _COLDEST)
    largest = np.maximum.reduce(logits)
    bound = float(largest) + temperature * math.log(max(options.min_p, _LEAST))
    if options.top_k:
        bound = max(bound, level_of(logits, options.top_k))
    (ids,) = np.greater_equal(logits, np.float32(bound), out=scratch.near[: logits.size]).nonzero()
    weights = np.take(logits, ids, out=scratch.weights[: ids.size], mode="clip")
    weights -= largest
    if temperature != 1.0:
        weights /= np.float32(temperature)
    return Candidates(ids, np.exp(weights, out=weights))


def _nucleus(logits: Logits, found: Candidates, top_p: float, scratch: Scratch) -> Candidates:
    """The likeliest tokens that reach the share `top_p` of all weight, by weight."""
    weights = found.weights
    whole = float(np.add.reduce(weights) if found.reached is None else found.reached[-1])
    mass = top_p * whole
    # All that weigh less than the second cut weigh less together than what top_p leaves.
    for cut in (_CUT * (whole - mass), (1 - _ROUNDING) * (whole - mass) / weights.size, 0.0):
        (places,) = np.greater_equal(weights, np.float32(cut), out=scratch.near[: weights.size]).nonzero()
        some = weights[places]
        order = some.argsort()
        some = some[order]
        reached = _reached(some)
        if reached[-1] >= mass * (1 + _ROUNDING):
            break
    first = min(int(reached.searchsorted(reached[-1] - mass, side="right")), some.size - 1)
    if first and some[first - 1] == some[first]:
        begin = int(some.searchsorted(some[first]))
        return _likeliest(logits, found.ids[places[order[begin:]]], some[begin:], some.size - first)
    base = float(reached[first - 1]) if first else 0.0
    return Candidates(found.ids[places[order[first:]]], some[first:], reached[first:], base=base)


def _likeliest(logits: Logits, ids: Ids, weights: Weights, size: int) -> Candidates:
    """The `size` tokens of the largest logits."""
    if size >= ids.size:
        return Candidates(ids, weights)
    by_id = ids.argsort()
    ids, weights = ids[by_id], weights[by_id]
    near = logits[ids]
    level = np.partition(near, near.size - size)[near.size - size]
    kept = near > level
    kept[np.flatnonzero(near == level)[: size - int(kept.sum())]] = True
    return Candidates(ids[kept], weights[kept])


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


def pick(found: Candidates, place: float) -> int:
    """The token at `place` (0 to 1) of the weights laid end to end. Never one whose weight is zero.

    If there are many, only the block that was hit is walked through.
    """
    ids, weights, reached, width, base = found
    if reached is None:
        width = 1 if weights.size <= 2 * _BLOCK else _BLOCK
        reached = _reached(weights if width == 1 else _block_sums(weights))
    hit, rest = _at(reached, base + place * (float(reached[-1]) - base))
    if width == 1:
        return int(ids[hit])
    begin = hit * width
    index, _ = _at(_reached(weights[begin : begin + width]), rest)
    return int(ids[begin + index])


def _reached(weights: Weights) -> Sums:
    """What they come to, up to and including each."""
    reached: Sums = np.add.accumulate(weights, dtype=np.float64)
    return reached


def _block_sums(weights: Weights) -> Weights:
    """Of each block, the last one shorter. A product for each, since it is added up in several places at once."""
    blocks = weights.size // _BLOCK
    sums = np.empty(-(-weights.size // _BLOCK), np.float32)
    np.vecdot(weights[: blocks * _BLOCK].reshape(blocks, _BLOCK), _ONES, out=sums[:blocks])
    if blocks < sums.size:
        sums[blocks] = np.add.reduce(weights[blocks * _BLOCK :])
    return sums


def _at(reached: Sums, place: float) -> tuple[int, float]:
    """Of weights laid end to end, up to where each has `reached`: which one covers `place`, and how far into it."""
    index = int(reached.searchsorted(place, side="right"))
    if index == reached.size:
        # Rounding put the place beyond the end; the last one with weight is where the sum stops growing.
        index = int(reached.searchsorted(reached[-1], side="left"))
    return index, place - (float(reached[index - 1]) if index else 0.0)
