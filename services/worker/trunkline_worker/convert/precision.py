"""How weights are stored in a graph: plain float32, plain float16, or 8-bit blocks with one scale each."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

F32: TypeAlias = NDArray[np.float32]

BLOCK = 32
"""Weights that share one scale: the block of GGUF's Q8_0 and Q4_1, and fast in MatMulNBits on a CPU."""
_ZERO_POINT = 128
_LARGEST = 127.0
_SMALLEST_SCALE = 1e-8


class Precision(StrEnum):
    """The variants a model is converted to."""

    F32 = "f32"
    """Exact; what the golden test compares with the reference."""
    F16 = "f16"
    """For CUDA, whose attention kernels take no float32."""
    Q8 = "q8"
    """Smallest and fastest on a CPU; the default."""


class Blocks(Struct, frozen=True):
    """A matrix of `rows` by `blocks * 32`: value = scale * (code - 128)."""

    codes: NDArray[np.uint8]
    """Shape [rows, blocks, 32]."""
    scales: F32
    """Shape [rows, blocks]."""


def quantise(weight: F32) -> Blocks:
    """Round each block of 32 weights of a row to 8 bits, symmetric about zero. The row length must be a multiple of 32.

    The largest error is half a step: max(abs(block)) / 254. Values that were Q8_0 before come back unchanged up to
    the rounding of their half-precision scale.
    """
    rows, columns = weight.shape
    blocks = weight.reshape(rows, columns // BLOCK, BLOCK)
    scales = np.maximum(np.abs(blocks).max(axis=-1) / np.float32(_LARGEST), np.float32(_SMALLEST_SCALE))
    codes = np.rint(blocks / scales[..., None]) + _ZERO_POINT
    return Blocks(codes=codes.astype(np.uint8), scales=scales.astype(np.float32))


def restore(blocks: Blocks) -> F32:
    """The float32 matrix that `blocks` stand for."""
    values = (blocks.codes.astype(np.float32) - _ZERO_POINT) * blocks.scales[..., None]
    return np.ascontiguousarray(values.reshape(blocks.codes.shape[0], -1), dtype=np.float32)
