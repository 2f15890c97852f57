"""Writes ONNX graphs node by node, so that a model's file reads like its equations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from trunkline_kit.errors import ModelError
from trunkline_worker.convert.precision import (
    BLOCK,
    F32,
    Blocks,
    ExtendedBlocks,
    Precision,
    quantise,
    quantise_to_four_bits,
    with_rests,
)

MICROSOFT = "com.microsoft"
"""Domain of ONNX Runtime's fused operators."""
_OPSET = 21
_IR_VERSION = 10
_INT8_ACCUMULATION = 4
"""MatMulNBits `accuracy_level`: activations are rounded to 8 bits as well, which the VNNI kernels want."""
_INLINE_BYTES = 1024
"""Tensors below this stay in model.onnx; larger ones go to model.onnx.data and are mapped, not read."""

Array: TypeAlias = NDArray[Any]
Attribute: TypeAlias = int | float | str | list[int]
Dimension: TypeAlias = int | str


class GraphBuilder:
    """Collects inputs, constants, nodes and outputs; every value is known by its name."""

    def __init__(self, name: str, precision: Precision) -> None:
        self._name = name
        self.precision = precision
        self.float_type = TensorProto.FLOAT16 if precision is Precision.F16 else TensorProto.FLOAT
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    def input(self, name: str, element: int, shape: Sequence[Dimension]) -> str:
        self._inputs.append(helper.make_tensor_value_info(name, element, shape))
        return name

    def optional_input(self, name: str, default: Array, shape: Sequence[Dimension]) -> str:
        """An input that has a value when nobody gives one."""
        self.constant(name, default)
        return self.input(name, helper.np_dtype_to_tensor_dtype(default.dtype), shape)

    def output(self, name: str, element: int, shape: Sequence[Dimension]) -> str:
        self._outputs.append(helper.make_tensor_value_info(name, element, shape))
        return name

    def constant(self, name: str, array: Array) -> str:
        """A tensor of the graph; float32 becomes float16 in a half-precision graph. A name keeps its first value."""
        if name not in self._constants:
            stored = array.astype(np.float16) if self._halves(array) else array
            self._constants[name] = numpy_helper.from_array(np.ascontiguousarray(stored), name)
        return name

    def integers(self, *values: int) -> str:
        """A one-dimensional int64 constant."""
        return self.constant("int_" + "_".join(map(str, values)), np.array(values, np.int64))

    def scalar(self, value: int) -> str:
        return self.constant(f"scalar_{value}", np.array(value, np.int64))

    def node(
        self,
        operator: str,
        inputs: Sequence[str],
        outputs: str | Sequence[str],
        domain: str = "",
        **attributes: Attribute,
    ) -> str:
        """Add one operator and return the name of its first output. An empty name leaves an optional value out."""
        names = [outputs] if isinstance(outputs, str) else list(outputs)
        extra: dict[str, Any] = {"name": f"{names[0]}/{operator}", "domain": domain, **attributes}
        made = helper.make_node(operator, list(inputs), names, **extra)
        self._nodes.append(made)
        return names[0]

    @property
    def quantised(self) -> bool:
        """Whether matrices are stored in blocks; embedding and head have 8 bits then."""
        return self.precision in (Precision.Q8, Precision.Q4)

    def linear(
        self, x: str, name: str, weight: F32, bias: F32 | None = None, *, fine: bool = False, rests_twice: bool = True
    ) -> str:
        """X @ weight.T + bias, with the weight [out, in] stored at the graph's precision; `fine`: at 8 bits or more.

        `rests_twice` is about 4 bits: whether what they leave out is kept in 8 bits or in 4 (`precision.with_rests`).
        """
        if self.quantised and weight.shape[1] % BLOCK:
            raise ModelError(
                f"{name} has rows of {weight.shape[1]} weights, which is no multiple of {BLOCK}; use the variant f32"
            )
        if self.precision is Precision.Q4 and not fine:
            blocks = with_rests(quantise_to_four_bits(weight), twice=rests_twice)
            return self._four_bit_linear(x, name, blocks, weight.shape, bias)
        if self.quantised:
            return self.quantised_linear(x, name, self.blocks(name, quantise(weight)), weight.shape, bias)
        product = self.node("MatMul", [x, self.constant(f"{name}.weight", weight.T)], f"{name}.product")
        if bias is None:
            return product
        return self.node("Add", [product, self.constant(f"{name}.bias", bias)], f"{name}.out")

    def blocks(self, name: str, blocks: Blocks) -> tuple[str, str]:
        """Constants of a quantised matrix: names of its codes and of its scales."""
        return self.constant(f"{name}.codes", blocks.codes), self.constant(f"{name}.scales", blocks.scales)

    def quantised_linear(
        self, x: str, name: str, blocks: tuple[str, str], shape: tuple[int, ...], bias: F32 | None = None
    ) -> str:
        inputs = [x, *blocks]
        if bias is not None:
            inputs += ["", "", self.constant(f"{name}.bias", bias)]
        return self._product(inputs, f"{name}.out", shape, bits=8)

    def _four_bit_linear(
        self, x: str, name: str, blocks: ExtendedBlocks, shape: tuple[int, ...], bias: F32 | None
    ) -> str:
        """One product with the codes and with what they leave out, by the mean of every block of x."""
        rows, columns = shape
        # Faster than AveragePool, which takes each row for an image.
        blocked = self.node("Reshape", [x, self.integers(0, 0, columns // BLOCK, BLOCK)], f"{name}.blocked")
        means = self.node("ReduceMean", [blocked, self.integers(-1)], f"{name}.means", keepdims=0)
        extended = self.node("Concat", [x, *[means] * blocks.copies], f"{name}.extended", axis=-1)
        parts = (("codes", blocks.codes), ("scales", blocks.scales), ("zeros", blocks.zeros))
        inputs = [extended, *(self.constant(f"{name}.{part}", array) for part, array in parts)]
        if bias is not None:
            inputs += ["", self.constant(f"{name}.bias", bias)]
        return self._product(inputs, f"{name}.out", (rows, columns + blocks.copies * (columns // BLOCK)), bits=4)

    def _product(self, inputs: list[str], output: str, shape: tuple[int, ...], bits: int) -> str:
        return self.node(
            "MatMulNBits",
            inputs,
            output,
            MICROSOFT,
            N=shape[0],
            K=shape[1],
            bits=bits,
            block_size=BLOCK,
            accuracy_level=_INT8_ACCUMULATION,
        )

    def save(self, folder: Path) -> None:
        """Write model.onnx and model.onnx.data into `folder`."""
        graph = helper.make_graph(self._nodes, self._name, self._inputs, self._outputs, list(self._constants.values()))
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(MICROSOFT, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="trunkline")
        onnx.save_model(
            model,
            str(folder / "model.onnx"),
            save_as_external_data=True,
            all_tensors_to_one_file=True,
            location="model.onnx.data",
            size_threshold=_INLINE_BYTES,
        )

    def _halves(self, array: Array) -> bool:
        return self.precision is Precision.F16 and array.dtype == np.float32
