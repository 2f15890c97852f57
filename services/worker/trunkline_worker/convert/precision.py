"""How weights are stored in a graph: plain float32, plain float16, or blocks of 8 or 4 bits with one scale each."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, TypeAlias

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

F32: TypeAlias = NDArray[np.float32]

BLOCK = 32
"""Weights that share one scale: the block of GGUF's Q8_0 and Q4_1, and fast in MatMulNBits on a CPU."""
_ZERO_POINT = 128
_LARGEST = 127.0
_FOUR_BITS_ZERO = 8
_FOUR_BITS_LARGEST = 15.0
_WIDTHS = (1.0, 0.95, 0.9, 0.85)
"""Shares of a block's range that are tried: cutting off its ends makes the steps between smaller."""
_SMALLEST_SCALE = 1e-8


class Precision(StrEnum):
    """The variants a model is converted to."""

    F32 = "f32"
    """Exact; what the golden test compares with the reference."""
    F16 = "f16"
    """For CUDA, whose attention kernels take no float32."""
    Q8 = "q8"
    """Next to exact whatever the weights were."""
    Q4 = "q4"
    """Smallest and fastest on a CPU, and next to exact for weights that had 4 bits. Embedding and head have 8."""

    @property
    def weight_bytes(self) -> float:
        """Of one weight, with its share of the scales, which are float32."""
        return _WEIGHT_BYTES[self]


_WEIGHT_BYTES = {Precision.F32: 4.0, Precision.F16: 2.0, Precision.Q8: 1.125, Precision.Q4: 0.71}
"""Of q4: a code, a block's float32 scale and zero, its rest's columns. Embedding's and head's 8 bits come on top."""


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


class FourBitBlocks(Struct, frozen=True):
    """A matrix of `rows` by `blocks * 32`: value = scale * (code - zero) + rest, codes and zeros from 0 to 15."""

    codes: NDArray[np.uint8]
    """Shape [rows, blocks, 32]."""
    scales: F32
    """Shape [rows, blocks]."""
    zeros: NDArray[np.uint8]
    """The code that stands for what is nearest to nothing; shape [rows, blocks]."""
    rests: F32
    """What that code really stands for; shape [rows, blocks]. Left out, they would be most of what is lost."""


class ExtendedBlocks(Struct, frozen=True):
    """What MatMulNBits takes of 4 bits, for an input that has its blocks' means behind it, `copies` times over."""

    copies: int
    codes: NDArray[np.uint8]
    """Two a byte, the earlier one in the lower half; shape [rows, blocks and those of the means, 16]."""
    scales: F32
    """Shape [rows, blocks and those of the means]."""
    zeros: NDArray[np.uint8]
    """Packed as codes are; shape [rows, the same halved, rounded up]."""


def quantise_to_four_bits(weight: F32) -> FourBitBlocks:
    """Round each block of weights of a row to 16 evenly spaced values of its own.

    Of a few widths the one with the least squared error is taken. Values that were Q4_1 before come back
    unchanged up to rounding. The row length must be a multiple of 32.
    """
    rows, columns = weight.shape
    blocks = weight.reshape(rows, columns // BLOCK, BLOCK)
    low, high = blocks.min(axis=-1, keepdims=True), blocks.max(axis=-1, keepdims=True)
    fits = [_fit(blocks, low, high, share) for share in _WIDTHS]
    best = np.argmin(np.stack([fit.error for fit in fits]), axis=0)[None, ..., None]
    scales, middles = (
        np.take_along_axis(np.stack([getattr(fit, part) for fit in fits]), best, axis=0)[0]
        for part in ("scale", "middle")
    )
    codes = _codes(blocks, scales, middles) + _FOUR_BITS_ZERO
    zeros = np.clip(np.rint(_FOUR_BITS_ZERO - middles / scales), 0, _FOUR_BITS_LARGEST)
    return FourBitBlocks(
        codes=codes.astype(np.uint8),
        scales=scales[..., 0],
        zeros=zeros[..., 0].astype(np.uint8),
        rests=(middles - scales * (_FOUR_BITS_ZERO - zeros))[..., 0],
    )


def with_rests(blocks: FourBitBlocks, *, twice: bool = True) -> ExtendedBlocks:
    """The same, with columns behind it that the means of the input's blocks are multiplied by.

    A mean's column has 32 times what its block leaves out, in 4 bits about zero; `twice`: and one of its later copies
    what those 4 bits leave out. The two never share a block, whose scale would be too coarse for the second; so the
    means are repeated until one of each stands behind the last block of the first ones.
    """
    rows, count = blocks.rests.shape
    behind = -(-count // BLOCK) * BLOCK
    copies = -(-(behind + count) // count) if twice else 1
    width = -(-copies * count // BLOCK) * BLOCK
    coarse = np.zeros((rows, width), np.float32)
    coarse[:, :count] = blocks.rests * np.float32(BLOCK)
    first = _about_zero(coarse)
    left = coarse - restore_four_bits(first)
    fine = np.zeros_like(coarse)
    if twice:
        fine[:, behind : behind + count] = np.take(left, np.arange(behind, behind + count) % count, axis=1)
    second = _about_zero(fine)
    at = behind // BLOCK
    zeros = np.concatenate([blocks.zeros, first.zeros], axis=1)
    return ExtendedBlocks(
        copies=copies,
        codes=_packed(np.concatenate([blocks.codes, first.codes[:, :at], second.codes[:, at:]], axis=1)),
        scales=np.concatenate([blocks.scales, first.scales[:, :at], second.scales[:, at:]], axis=1),
        zeros=_packed(np.pad(zeros, ((0, 0), (0, zeros.shape[1] % 2)))),
    )


def _about_zero(weight: F32) -> FourBitBlocks:
    """Blocks whose code 8 stands for 0 and nothing is left out on purpose."""
    blocks = weight.reshape(weight.shape[0], -1, BLOCK)
    scales = np.maximum(np.abs(blocks).max(axis=-1) * np.float32(2 / _FOUR_BITS_LARGEST), np.float32(_SMALLEST_SCALE))
    codes = np.clip(np.rint(blocks / scales[..., None]) + _FOUR_BITS_ZERO, 0, _FOUR_BITS_LARGEST)
    return FourBitBlocks(
        codes=codes.astype(np.uint8),
        scales=scales,
        zeros=np.full(scales.shape, _FOUR_BITS_ZERO, np.uint8),
        rests=np.zeros_like(scales),
    )


def _packed(codes: NDArray[Any]) -> NDArray[np.uint8]:
    """Two numbers of the last axis a byte, the earlier one in the lower half."""
    whole = codes.astype(np.uint8)
    packed: NDArray[np.uint8] = np.bitwise_or(whole[..., 0::2], np.left_shift(whole[..., 1::2], 4), dtype=np.uint8)
    return packed


class _Fit(Struct, frozen=True):
    scale: F32
    middle: F32
    error: F32


def _fit(blocks: F32, low: F32, high: F32, share: float) -> _Fit:
    """16 values over `share` of each block's range, and the squared error that leaves."""
    scale = np.maximum((high - low) * np.float32(share / _FOUR_BITS_LARGEST), np.float32(_SMALLEST_SCALE))
    middle = (high + low + scale) / 2
    error = np.square(_codes(blocks, scale, middle) * scale + middle - blocks).sum(axis=-1)
    return _Fit(scale, middle, error)


def _codes(blocks: F32, scale: F32, middle: F32) -> F32:
    """From -8 to 7."""
    codes: F32 = np.clip(np.rint((blocks - middle) / scale), -_FOUR_BITS_ZERO, _FOUR_BITS_ZERO - 1)
    return codes


def restore(blocks: Blocks) -> F32:
    """The float32 matrix that `blocks` stand for."""
    values = (blocks.codes.astype(np.float32) - _ZERO_POINT) * blocks.scales[..., None]
    return np.ascontiguousarray(values.reshape(blocks.codes.shape[0], -1), dtype=np.float32)


def restore_four_bits(blocks: FourBitBlocks) -> F32:
    """The float32 matrix that `blocks` stand for."""
    values = (blocks.codes.astype(np.float32) - blocks.zeros[..., None]) * blocks.scales[..., None]
    values += blocks.rests[..., None]
    return np.ascontiguousarray(values.reshape(blocks.scales.shape[0], -1), dtype=np.float32)
