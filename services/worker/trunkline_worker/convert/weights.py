"""The seam between a decoder's graph and the format its weights came in: one shape, one naming, one row order."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from trunkline_kit.errors import ModelError
from trunkline_worker.convert.precision import F32

FAMILIES = ("llama", "mistral", "qwen2", "qwen3")
"""What can be converted. GGUF calls the second `llama` too."""


class DecoderShape(Struct, frozen=True, kw_only=True):
    """What the graph of a llama-like decoder needs to know besides its weights."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_size: int
    """Need not be hidden / heads."""
    feed: int
    vocabulary: int
    context_tokens: int
    norm_epsilon: float
    rope_base: float
    rope_divisors: tuple[float, ...] = ()
    """What each rotary frequency is divided by, for a context longer than the first training's; none: 1."""
    window_tokens: int = 0
    """A token attends to so many, itself included; 0: to all before it."""
    tied: bool = True
    """The head is the embedding read backwards."""
    head_norms: bool = False
    """Queries and keys are normed head by head before they are rotated, as in Qwen3."""
    family: str = "llama"


class DecoderWeights(Protocol):
    """A decoder's weights under GGUF's names, as float32, rows of queries and keys in half-split rotary order."""

    def shape(self) -> DecoderShape: ...

    def names(self) -> frozenset[str]:
        """What there is, but for what `shape` says already."""

    def matrix(self, name: str) -> F32:
        """One tensor, matrices as [out, in]. Raises ModelError if it is not there."""


def expected_tensors(shape: DecoderShape) -> dict[str, tuple[int, ...]]:
    """Every tensor such a decoder must have."""
    query, value = shape.heads * shape.head_size, shape.kv_heads * shape.head_size
    wanted: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (shape.vocabulary, shape.hidden),
        "output_norm.weight": (shape.hidden,),
    }
    if not shape.tied:
        wanted["output.weight"] = (shape.vocabulary, shape.hidden)
    parts: dict[str, tuple[int, ...]] = {
        "attn_norm": (shape.hidden,),
        "attn_q": (query, shape.hidden),
        "attn_k": (value, shape.hidden),
        "attn_v": (value, shape.hidden),
        "attn_output": (shape.hidden, query),
        "ffn_norm": (shape.hidden,),
        "ffn_gate": (shape.feed, shape.hidden),
        "ffn_up": (shape.feed, shape.hidden),
        "ffn_down": (shape.hidden, shape.feed),
    }
    if shape.head_norms:
        parts |= {"attn_q_norm": (shape.head_size,), "attn_k_norm": (shape.head_size,)}
    return wanted | {
        f"blk.{layer}.{part}.weight": size for layer in range(shape.layers) for part, size in parts.items()
    }


def check_tensors(weights: DecoderWeights) -> None:
    """A model that has more or less than the graph computes would answer nonsense. Raises ModelError naming one."""
    wanted, names = expected_tensors(weights.shape()), weights.names()
    missing = sorted(wanted.keys() - names)
    if missing:
        raise ModelError(f"the model has no tensor {missing[0]!r}; a {weights.shape().family} must have it")
    biases = {bias_of(name) for name, size in wanted.items() if name.startswith("blk.") and len(size) > 1}
    surplus = sorted(names - wanted.keys() - biases)
    if surplus:
        raise ModelError(f"the model has a tensor {surplus[0]!r} that a {weights.shape().family} does not use")


def bias_of(name: str) -> str:
    return name.removesuffix("weight") + "bias"


def llama3_divisors(
    base: float, size: int, *, factor: float, low: float, high: float, original_tokens: int
) -> tuple[float, ...]:
    """Llama 3.1's stretch of the rotary frequencies.

    Waves longer than the first training's context are stretched by `factor`, short ones are left alone, those between
    are mixed. Source: huggingface/transformers `modeling_rope_utils.py`, llama3.
    """
    frequencies = rotary_frequencies(base, size)
    turns = original_tokens * frequencies / (2 * math.pi)
    share = np.clip((turns - low) / (high - low), 0, 1)
    return tuple((1 / ((1 - share) / factor + share)).tolist())


def rotary_frequencies(base: float, size: int) -> NDArray[np.float64]:
    """Radians a position, for each pair of a head's numbers (Su et al., 2021, arXiv:2104.09864)."""
    frequencies: NDArray[np.float64] = base ** -(np.arange(0, size, 2, dtype=np.float64) / size)
    return frequencies


def rope_divisors(scaling: Mapping[str, float | int | str | None], base: float, size: int) -> tuple[float, ...]:
    """From `rope_scaling` of a config.json. Raises ModelError for a kind that is not known."""
    kind = scaling.get("rope_type") or scaling.get("type") or "default"
    if kind == "default":
        return ()
    try:
        if kind == "linear":
            return (float(scaling["factor"] or 0),) * (size // 2)
        if kind == "llama3":
            return llama3_divisors(
                base,
                size,
                factor=float(scaling["factor"] or 0),
                low=float(scaling["low_freq_factor"] or 0),
                high=float(scaling["high_freq_factor"] or 0),
                original_tokens=int(scaling["original_max_position_embeddings"] or 0),
            )
    except (KeyError, ValueError, ZeroDivisionError) as error:
        raise ModelError(f"the rope scaling {kind!r} lacks or spoils a number: {error}") from error
    raise ModelError(f"the model scales its rotary positions by {kind!r}; the converter knows linear and llama3")


def expected_weights(shape: DecoderShape) -> tuple[int, int]:
    """How many numbers the layers have, and how many embedding and head have together."""
    outer = {"token_embd.weight", "output.weight"}
    counts = {name: math.prod(size) for name, size in expected_tensors(shape).items()}
    fine = sum(count for name, count in counts.items() if name in outer)
    return sum(counts.values()) - fine, fine
