"""Which requests a new deployment gets: an exact share of the conversations, the same ones each time. Pure."""

from collections.abc import Sequence

from trunkline_policy.affinity import lean


def is_drawn(key: bytes, model: str, share: float) -> bool:
    """Whether what `key` stands for, a conversation or a request, is one of the share that goes to the canaries.

    The same in every process, and with a larger share those of a smaller one stay in it.
    """
    return lean(key, f"canary of {model}") < share


def share_of(weights: Sequence[float], are_canaries: Sequence[bool]) -> float:
    """What the canaries get, by weight."""
    total = sum(weights)
    ours = sum(weight for weight, is_canary in zip(weights, are_canaries, strict=True) if is_canary)
    return ours / total if total else 0.0


def arms(order: Sequence[int], are_canaries: Sequence[bool], *, drawn: bool) -> tuple[int, ...]:
    """The same order, with one arm before the other: the one that was drawn, then the other for when it fails."""
    return tuple(sorted(order, key=lambda index: are_canaries[index] is not drawn))
