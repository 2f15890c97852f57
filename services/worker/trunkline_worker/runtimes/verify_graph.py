"""Makes of a decoder's graph one that runs several tokens of one slot as if they came one by one, bit for bit.

The plain graph takes several tokens at once too, but its attention then runs another kernel, which rounds apart; what
it says of a draft would not always be what decoding says. Here only the matrix products see all the tokens together:
row by row they are those of single tokens. Every GroupQueryAttention becomes a chain of one for each token, each of
which takes the keys and values that the one before has left, in the same memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from trunkline_worker.genai_config import DecoderConfig

if TYPE_CHECKING:
    import onnx

_ATTENTION = "GroupQueryAttention"
_QUERY_KEY_VALUE, _PAST, _LENGTHS, _REST = slice(0, 3), slice(3, 5), slice(5, 7), slice(7, None)
"""Inputs of the operator: what is attended with (all in the first where it is packed); the cache; the number of tokens
before, and with the newest; rotary tables and the like."""


def present_name(name: str, place: int) -> str:
    """Output that holds the cache after the token at `place`, for the plain graph's output `name`."""
    return f"{name}.{place}"


def verifying(model: onnx.ModelProto, decoder: DecoderConfig, width: int) -> onnx.ModelProto | None:
    """The graph for runs of exactly `width` tokens, or None for one that is built in another way. `model` is changed.

    The mask of such a run covers what is in the slot and the first of its tokens. Logits come for every token.
    """
    graph = model.graph
    attentions = [node for node in graph.node if node.op_type == _ATTENTION]
    lengths = {tuple(node.input[_LENGTHS]) for node in attentions}
    if len(attentions) != decoder.num_hidden_layers or len(lengths) != 1:
        return None
    if isinstance(decoder.inputs.position_ids, str):
        return None
    rebuilding = _Rebuilding(graph, width)
    nodes = [made for node in graph.node for made in rebuilding.instead_of(node)]
    logits = next(value for value in graph.output if value.name == decoder.outputs.logits)
    if logits.type.tensor_type.shape.dim[1].dim_value == 1 and rebuilding.heads != 1:
        return None
    nodes += rebuilding.lengths(*lengths.pop())
    logits.type.tensor_type.ClearField("shape")
    del graph.node[:], graph.output[:]
    graph.node.extend(nodes)
    graph.output.extend([logits, *rebuilding.presents])
    return model


class _Rebuilding:
    """Turns the nodes of a plain graph into those of the new one; ONNX Runtime puts them in order."""

    def __init__(self, graph: onnx.GraphProto, width: int) -> None:
        from onnx import helper, numpy_helper  # noqa: PLC0415

        self._node = helper.make_node
        self._value_of = helper.get_attribute_value
        self._tensor = numpy_helper.from_array
        self._graph = graph
        self._places = range(width)
        self._outputs = {value.name: value for value in graph.output}
        self._minus_ones = {
            tensor.name
            for tensor in graph.initializer
            if tensor.dims == [1] and numpy_helper.to_array(tensor).tolist() == [-1]
        }
        self.presents: list[onnx.ValueInfoProto] = []
        self.heads = 0
        """Nodes that kept the last position only."""

    def instead_of(self, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        """What comes in the place of one node."""
        if node.op_type == _ATTENTION:
            yield from self._chain(node)
        elif node.op_type == "Gather" and node.input[1] in self._minus_ones:
            self.heads += 1
            yield self._node("Identity", [node.input[0]], list(node.output), name=f"{node.output[0]}/Identity")
        else:
            yield node

    def lengths(self, before: str, total: str) -> Iterator[onnx.NodeProto]:
        """Both lengths of every token: those of the first, and one more each time."""
        for place in self._places:
            for name, shape in ((before, (1,)), (total, ())):
                more = self._tensor(np.full(shape, place, np.int32), f"{name}.more.{place}")
                self._graph.initializer.append(more)
                yield self._node("Add", [name, more.name], [f"{name}.{place}"], name=f"{name}.{place}/Add")

    def _chain(self, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        attended, *presents = node.output[:3]
        rows: list[list[str]] = []
        for number, name in enumerate(node.input[_QUERY_KEY_VALUE]):
            rows.append([f"{attended}.{number}.{place}" if name else "" for place in self._places])
            if name:
                yield self._split(name, rows[-1])
        past = list(node.input[_PAST])
        attributes = {one.name: self._value_of(one) for one in node.attribute}
        every = [f"{attended}.{place}" for place in self._places]
        for place in self._places:
            lengths = [f"{name}.{place}" for name in node.input[_LENGTHS]]
            inputs = [*(parts[place] for parts in rows), *past, *lengths, *node.input[_REST]]
            past = self._exposed(presents, place)
            outputs = [every[place], *past]
            yield self._node(_ATTENTION, inputs, outputs, name=f"{outputs[0]}/chain", domain=node.domain, **attributes)
        yield self._node("Concat", every, [attended], name=f"{attended}/Concat", axis=1)

    def _split(self, name: str, parts: Sequence[str]) -> onnx.NodeProto:
        return self._node("Split", [name], parts, name=f"{parts[0]}/Split", axis=1, num_outputs=len(parts))

    def _exposed(self, presents: Sequence[str], place: int) -> list[str]:
        """Outputs of the new graph, so that their memory can be bound."""
        names = [present_name(name, place) for name in presents]
        for plain, name in zip(presents, names, strict=True):
            value = type(self._outputs[plain])()
            value.CopyFrom(self._outputs[plain])
            value.name = name
            self.presents.append(value)
        return names
