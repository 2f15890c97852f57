"""Reads tensors out of safetensors files, one at a time and as float32, bfloat16 included, which numpy does not have.

Format: huggingface/safetensors README: the header's length in 8 bytes, a JSON header, then the data. Files are mapped,
so a model of many gigabytes is not held in memory.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from trunkline_kit.errors import ModelError
from trunkline_worker.convert.precision import F32

INDEX = "model.safetensors.index.json"
_HEADER_BYTES_MAX = 100_000_000
"""The format's own limit."""
_STORED: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
}


class _Tensor(msgspec.Struct, frozen=True):
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


class _Index(msgspec.Struct, frozen=True):
    weight_map: dict[str, str]


class _Place(msgspec.Struct, frozen=True):
    """Where one tensor is."""

    data: NDArray[np.uint8]
    tensor: _Tensor


class SafetensorsFiles:
    """All tensors of a folder's `*.safetensors`. Raises ModelError for a file that is missing, broken or cut short."""

    def __init__(self, paths: tuple[Path, ...]) -> None:
        self._places: dict[str, _Place] = {}
        for path in paths:
            self._places |= _open(path)

    def names(self) -> frozenset[str]:
        return frozenset(self._places)

    def shape(self, name: str) -> tuple[int, ...]:
        return self._place(name).tensor.shape

    def tensor(self, name: str) -> F32:
        place = self._place(name)
        stored, size = _STORED.get(place.tensor.dtype), math.prod(place.tensor.shape)
        if stored is None:
            known = ", ".join(_STORED)
            raise ModelError(f"{name} is stored as {place.tensor.dtype}; the converter reads {known}")
        begin, end = place.tensor.data_offsets
        if not 0 <= begin <= end <= len(place.data) or end - begin != size * stored.itemsize:
            raise ModelError(f"{name} does not have the bytes that its shape {list(place.tensor.shape)} needs")
        values = np.frombuffer(place.data[begin:end].tobytes(), stored).reshape(place.tensor.shape)
        return widened(values) if place.tensor.dtype == "BF16" else np.ascontiguousarray(values, np.float32)

    def _place(self, name: str) -> _Place:
        place = self._places.get(name)
        if place is None:
            raise ModelError(f"the safetensors files have no tensor {name!r}")
        return place


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The one file, or the shards that the index names. Raises ModelError if one is not there."""
    index, whole = folder / INDEX, folder / "model.safetensors"
    if not index.is_file():
        if not whole.is_file():
            raise ModelError(f"{folder} has neither model.safetensors nor {INDEX}")
        return (whole,)
    try:
        names = sorted(set(msgspec.json.decode(index.read_bytes(), type=_Index).weight_map.values()))
    except msgspec.DecodeError as error:
        raise ModelError(f"{index} cannot be used: {error}") from error
    for name in names:
        if Path(name).name != name or not (folder / name).is_file():
            raise ModelError(f"{folder} has no {name}, which {INDEX} names; copy every shard")
    return tuple(folder / name for name in names)


def widened(halves: NDArray[np.uint16]) -> F32:
    """Bfloat16 is the upper half of float32."""
    return (halves.astype(np.uint32) << 16).view(np.float32)


def _open(path: Path) -> dict[str, _Place]:
    try:
        data: NDArray[np.uint8] = np.memmap(path, np.uint8, mode="r")
        length = int.from_bytes(data[:8].tobytes(), "little")
        if not 0 < length <= min(_HEADER_BYTES_MAX, len(data) - 8):
            raise ModelError(f"{path} is not a safetensors file, or was cut short")
        header = msgspec.json.decode(data[8 : 8 + length].tobytes(), type=dict[str, msgspec.Raw])
        tensors = {
            name: msgspec.json.decode(raw, type=_Tensor) for name, raw in header.items() if name != "__metadata__"
        }
    except (OSError, ValueError, msgspec.DecodeError) as error:
        raise ModelError(f"{path} is not a readable safetensors file: {error}") from error
    body = data[8 + length :]
    return {name: _Place(body, tensor) for name, tensor in tensors.items()}
