"""Choosing by weight, with the dice passed in."""

from collections.abc import Sequence


def pick(weights: Sequence[float], roll: float) -> int:
    """The index that `roll` (0 ≤ roll < 1) falls on; each index has its share of the sum. Weights are over 0."""
    mark = roll * sum(weights)
    for index, weight in enumerate(weights):
        mark -= weight
        if mark < 0:
            return index
    return len(weights) - 1


def order(weights: Sequence[float], rolls: Sequence[float]) -> tuple[int, ...]:
    """All indices, each next one picked by weight among those left. Takes one roll per index."""
    left = list(range(len(weights)))
    return tuple(left.pop(pick([weights[index] for index in left], roll)) for roll in rolls[: len(weights)])
