"""Key/value memory of all slots: per layer and part one buffer [slots, heads, tokens, size], bound as past and present.

A slot is a contiguous slice, so a graph that runs on rows `first … first+rows` gets a pointer into the buffer and
nothing is copied. Beside the slots there are blocks of a few tokens, all layers and parts of one together: what the
prefix cache keeps is copied out there, and back into whatever slot can use it.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from trunkline_kit.errors import Internal
from trunkline_worker.runtimes.session import Device, SessionConfig, session_options


class CacheShape(Struct, frozen=True, kw_only=True):
    buffers: int
    """Two per layer: keys and values."""
    slots: int
    heads: int
    tokens: int
    head_size: int
    half: bool
    """float16 rather than float32."""
    blocks: int = 0
    block_tokens: int = 16

    @property
    def element(self) -> type[np.float16 | np.float32]:
        return np.float16 if self.half else np.float32

    @property
    def slot_bytes(self) -> int:
        """Bytes of one slot in one buffer."""
        return self.heads * self.tokens * self.head_size * (2 if self.half else 4)

    @property
    def block_bytes(self) -> int:
        """Bytes of one block, all buffers together."""
        return self.buffers * self.slot_bytes * self.block_tokens // self.tokens


class KvCache(Protocol):
    device: str
    blocks: int
    """Blocks that there really are."""

    def pointer(self, buffer: int, slot: int) -> int:
        """Address of a slot's slice."""

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` tokens of one slot over another, in every buffer."""

    def keep(self, slot: int, begin: int, block: int) -> None:
        """Copy one block's tokens out of a slot."""

    def restore(self, block: int, slot: int, begin: int) -> None:
        """Copy a block into a slot."""


class CpuKvCache:
    """In the process's memory. numpy asks for huge pages, so a slot takes all its memory when it is first used.

    Small pages would follow what is really written, but made 8 rows of 250 tokens 6 % slower.
    """

    device = "cpu"

    def __init__(self, shape: CacheShape) -> None:
        size = (shape.buffers, shape.slots, shape.heads, shape.tokens, shape.head_size)
        self._slots: NDArray[Any] = np.zeros(size, shape.element)
        self.blocks = shape.blocks
        size = (shape.blocks, shape.buffers, shape.heads, shape.block_tokens, shape.head_size)
        # Not touched until something is kept; then block by block.
        self._blocks: NDArray[Any] = np.zeros(size, shape.element)
        self._block_tokens = shape.block_tokens
        self._slot_bytes = shape.slot_bytes

    def pointer(self, buffer: int, slot: int) -> int:
        return int(self._slots[buffer].ctypes.data) + slot * self._slot_bytes

    def move(self, source: int, target: int, length: int) -> None:
        self._slots[:, target, :, :length] = self._slots[:, source, :, :length]

    def keep(self, slot: int, begin: int, block: int) -> None:
        self._blocks[block] = self._slots[:, slot, :, begin : begin + self._block_tokens]

    def restore(self, block: int, slot: int, begin: int) -> None:
        self._slots[:, slot, :, begin : begin + self._block_tokens] = self._blocks[block]


class CudaKvCache:
    """The same on a GPU. Slots are copied whole by a one-node graph, as ONNX Runtime has no device copy of its own.

    Nothing is kept in blocks: a graph that copies a few tokens of a slot would have to be written and tried on a GPU.
    """

    device = "cuda"
    blocks = 0

    def __init__(self, shape: CacheShape, config: SessionConfig) -> None:
        import onnxruntime  # noqa: PLC0415

        size = [shape.slots, shape.heads, shape.tokens, shape.head_size]
        self._buffers = [
            onnxruntime.OrtValue.ortvalue_from_shape_and_type(size, shape.element, Device.CUDA.value, config.device_id)
            for _ in range(shape.buffers)
        ]
        self._shape = shape
        self._device_id = config.device_id
        providers = [("CUDAExecutionProvider", {"device_id": str(config.device_id)})]
        self._copy = onnxruntime.InferenceSession(copy_graph(shape), session_options(config), providers=providers)

    def pointer(self, buffer: int, slot: int) -> int:
        return int(self._buffers[buffer].data_ptr()) + slot * self._shape.slot_bytes

    def move(self, source: int, target: int, length: int) -> None:
        del length
        size = [self._shape.heads, self._shape.tokens, self._shape.head_size]
        for buffer in range(self._shape.buffers):
            binding = self._copy.io_binding()
            place = (self.device, self._device_id, self._shape.element, size)
            binding.bind_input("source", *place, self.pointer(buffer, source))
            binding.bind_output("target", *place, self.pointer(buffer, target))
            self._copy.run_with_iobinding(binding)

    def keep(self, slot: int, begin: int, block: int) -> None:
        raise Internal(f"no block {block} to keep token {begin} of slot {slot} in")

    def restore(self, block: int, slot: int, begin: int) -> None:
        raise Internal(f"no block {block} for token {begin} of slot {slot}")


def open_cache(shape: CacheShape, config: SessionConfig) -> KvCache:
    return CudaKvCache(shape, config) if config.device is Device.CUDA else CpuKvCache(shape)


def copy_graph(shape: CacheShape) -> bytes:
    """A serialised graph with one Identity node over one slot's slice."""
    from onnx import TensorProto, helper  # noqa: PLC0415

    element = TensorProto.FLOAT16 if shape.half else TensorProto.FLOAT
    size = [shape.heads, shape.tokens, shape.head_size]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["source"], ["target"])],
        "copy",
        [helper.make_tensor_value_info("source", element, size)],
        [helper.make_tensor_value_info("target", element, size)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return bytes(model.SerializeToString())
