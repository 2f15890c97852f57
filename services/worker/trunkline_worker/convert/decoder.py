"""A llama-like decoder as an ONNX graph of fused operators.

The interface is the one of onnxruntime-genai's graphs: `input_ids`, `attention_mask`, `past_key_values.N.key|value` in,
`logits`, `present.N.key|value` out. Only the last position's logits are computed, since a server needs no others;
and of the batch's rows only the first ones, where the optional input `head_rows` says how many.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from trunkline_kit.errors import ModelError
from trunkline_worker.convert.graph import MICROSOFT, Attribute, Dimension, GraphBuilder
from trunkline_worker.convert.precision import BLOCK, F32, Precision, quantise
from trunkline_worker.convert.weights import (
    DecoderWeights,
    bias_of,
    check_tensors,
    expected_tensors,
    rotary_frequencies,
)
from trunkline_worker.genai_config import HEAD_ROWS


def build_decoder(weights: DecoderWeights, precision: Precision) -> GraphBuilder:
    """The whole graph; its largest matrices are shared between the embedding and the head when the model ties them.

    Raises ModelError for weights that are not those of the shape they claim.
    """
    check_tensors(weights)
    return _DecoderGraph(weights, precision).build()


class _DecoderGraph:
    def __init__(self, weights: DecoderWeights, precision: Precision) -> None:
        self._weights = weights
        self._shape = weights.shape()
        self._sizes = expected_tensors(self._shape)
        self._names = weights.names()
        self._graph = GraphBuilder("decoder", precision)

    def build(self) -> GraphBuilder:
        graph, shape = self._graph, self._shape
        graph.input("input_ids", TensorProto.INT64, ["batch", "sequence"])
        graph.input("attention_mask", TensorProto.INT64, ["batch", "total"])
        lengths = self._lengths()
        tables = self._rotary_tables()
        residual = self._embedding("input_ids")
        normed = graph.node(
            "SimplifiedLayerNormalization",
            [residual, self._vector("blk.0.attn_norm.weight")],
            "norm.0",
            axis=-1,
            epsilon=shape.norm_epsilon,
            stash_type=1,
        )
        for layer in range(shape.layers):
            attended = self._attention(layer, normed, [*lengths, *tables])
            normed, residual = self._norm(f"{layer}.ffn", residual, attended, f"blk.{layer}.ffn_norm.weight")
            fed = self._feed_forward(layer, normed)
            last = layer + 1 == shape.layers
            following = "output_norm.weight" if last else f"blk.{layer + 1}.attn_norm.weight"
            normed, residual = self._norm(f"{layer}.next", residual, fed, following)
        self._head(normed)
        return graph

    def _lengths(self) -> tuple[str, str]:
        """Per row: index of its last valid token; for all rows: the length the mask covers."""
        graph = self._graph
        valid = graph.node("ReduceSum", ["attention_mask", graph.integers(1)], "mask.valid", keepdims=0)
        last = graph.node("Sub", [valid, graph.scalar(1)], "mask.last")
        covered = graph.node(
            "Gather", [graph.node("Shape", ["attention_mask"], "mask.shape"), graph.scalar(1)], "mask.length"
        )
        return (
            graph.node("Cast", [last], "last_index", to=TensorProto.INT32),
            graph.node("Cast", [covered], "total_length", to=TensorProto.INT32),
        )

    def _rotary_tables(self) -> tuple[str, str]:
        """Cos and sin for every position of the model's context."""
        frequencies = rotary_frequencies(self._shape.rope_base, self._shape.head_size)
        if self._shape.rope_divisors:
            frequencies = frequencies / np.array(self._shape.rope_divisors)
        angles = np.outer(np.arange(self._shape.context_tokens), frequencies)
        return (
            self._graph.constant("rotary.cos", np.cos(angles).astype(np.float32)),
            self._graph.constant("rotary.sin", np.sin(angles).astype(np.float32)),
        )

    def _embedding(self, ids: str) -> str:
        weight = self._weight("token_embd.weight")
        if not self._graph.quantised:
            return self._graph.node("Gather", [self._graph.constant("embedding.weight", weight), ids], "embedded")
        blocks = quantise(weight)
        codes = self._graph.constant("embedding.codes", blocks.codes.reshape(weight.shape))
        scales = self._graph.constant("embedding.scales", blocks.scales)
        return self._graph.node(
            "GatherBlockQuantized",
            [codes, ids, scales],
            "embedded",
            MICROSOFT,
            gather_axis=0,
            quantize_axis=1,
            block_size=BLOCK,
            bits=8,
        )

    def _attention(self, layer: int, x: str, extra: list[str]) -> str:
        graph, shape, prefix = self._graph, self._shape, f"blk.{layer}."
        packed = self._linear(x, f"{layer}.qkv", *(f"{prefix}attn_{part}.weight" for part in "qkv"))
        parts = self._normed_heads(layer, packed) if shape.head_norms else [packed, "", ""]
        past = [self._cache(f"past_key_values.{layer}.{part}", "past") for part in ("key", "value")]
        present = [f"present.{layer}.{part}" for part in ("key", "value")]
        options: dict[str, Attribute] = {"local_window_size": shape.window_tokens} if shape.window_tokens else {}
        attended = graph.node(
            "GroupQueryAttention",
            [*parts, *past, *extra],
            [f"{layer}.attended", *present],
            MICROSOFT,
            num_heads=shape.heads,
            kv_num_heads=shape.kv_heads,
            scale=float(shape.head_size**-0.5),
            do_rotary=1,
            rotary_interleaved=0,
            **options,
        )
        return self._linear(attended, f"{layer}.output", f"{prefix}attn_output.weight", rests_twice=False)

    def _normed_heads(self, layer: int, packed: str) -> list[str]:
        """Queries, keys and values of a packed product, the first two with an RMS norm over each head's numbers."""
        graph, shape = self._graph, self._shape
        rows = {"q": shape.heads, "k": shape.kv_heads, "v": shape.kv_heads}
        names = {part: f"{layer}.{part}" for part in rows}
        sizes = graph.integers(*(heads * shape.head_size for heads in rows.values()))
        graph.node("Split", [packed, sizes], list(names.values()), axis=-1)
        for part in ("q", "k"):
            name = names[part]
            heads = graph.node("Reshape", [name, graph.integers(0, 0, -1, shape.head_size)], f"{name}.heads")
            gain = self._vector(f"blk.{layer}.attn_{part}_norm.weight")
            normed = graph.node(
                "SimplifiedLayerNormalization",
                [heads, gain],
                f"{name}.normed",
                axis=-1,
                epsilon=shape.norm_epsilon,
                stash_type=1,
            )
            flat = graph.integers(0, 0, rows[part] * shape.head_size)
            names[part] = graph.node("Reshape", [normed, flat], f"{name}.flat")
        return list(names.values())

    def _cache(self, name: str, length: str) -> str:
        shape: list[Dimension] = ["batch", self._shape.kv_heads, length, self._shape.head_size]
        return self._graph.input(name, self._graph.float_type, shape)

    def _feed_forward(self, layer: int, x: str) -> str:
        graph, prefix = self._graph, f"blk.{layer}."
        parts = (f"{prefix}ffn_gate.weight", f"{prefix}ffn_up.weight")
        wide = self._linear(x, f"{layer}.gate_up", *parts, rests_twice=False)
        graph.node("Split", [wide], [f"{layer}.gate", f"{layer}.up"], axis=-1, num_outputs=2)
        # With alpha 1 QuickGelu is x * sigmoid(x), the SiLU of the model, in one pass over memory.
        silu = graph.node("QuickGelu", [f"{layer}.gate"], f"{layer}.silu", MICROSOFT, alpha=1.0)
        product = graph.node("Mul", [silu, f"{layer}.up"], f"{layer}.gated")
        return self._linear(product, f"{layer}.down", f"{prefix}ffn_down.weight")

    def _norm(self, name: str, residual: str, x: str, weight: str) -> tuple[str, str]:
        """RMS norm of residual + x; returns the normed value and the new residual."""
        outputs = [f"{name}.normed", "", "", f"{name}.residual"]
        inputs = [residual, x, self._vector(weight)]
        epsilon = self._shape.norm_epsilon
        self._graph.node("SkipSimplifiedLayerNormalization", inputs, outputs, MICROSOFT, epsilon=epsilon)
        return outputs[0], outputs[3]

    def _head(self, x: str) -> None:
        graph, shape = self._graph, self._shape
        last = graph.node("Gather", [x, graph.integers(-1)], "last_hidden", axis=1)
        rows = graph.optional_input(HEAD_ROWS, np.array([np.iinfo(np.int64).max]), [1])
        last = graph.node("Slice", [last, graph.integers(0), rows, graph.integers(0)], "head.hidden")
        if shape.tied:
            logits = self._tied_head(last)
        else:
            logits = graph.linear(last, "head", self._weight("output.weight"), fine=True)
        graph.node("Identity", [logits], "logits")
        graph.output("logits", graph.float_type, ["head_rows", 1, shape.vocabulary])
        for layer in range(shape.layers):
            for part in ("key", "value"):
                cache: list[Dimension] = ["batch", shape.kv_heads, "total_cache", shape.head_size]
                graph.output(f"present.{layer}.{part}", graph.float_type, cache)

    def _tied_head(self, last: str) -> str:
        """The embedding read backwards: the same constant, so it is stored once."""
        graph, shape = self._graph, self._shape
        if graph.quantised:
            blocked = graph.integers(shape.vocabulary, shape.hidden // BLOCK, BLOCK)
            codes = graph.node("Reshape", ["embedding.codes", blocked], "head.codes")
            return graph.quantised_linear(last, "head", (codes, "embedding.scales"), (shape.vocabulary, shape.hidden))
        flat = graph.node("Reshape", [last, graph.integers(-1, shape.hidden)], "head.flat")
        logits = graph.node("Gemm", [flat, "embedding.weight"], "head.logits", transB=1)
        return graph.node("Reshape", [logits, graph.integers(-1, 1, shape.vocabulary)], "head.out")

    def _linear(self, x: str, name: str, *names: str, rests_twice: bool = True) -> str:
        """X by one matrix, or by several of the same input stacked, with the biases that there are."""
        weights = [self._weight(part) for part in names]
        stacked = np.concatenate(weights) if len(weights) > 1 else weights[0]
        return self._graph.linear(x, name, stacked, self._bias(names), rests_twice=rests_twice)

    def _bias(self, names: tuple[str, ...]) -> F32 | None:
        """One vector over the stacked rows, zero where a part has none; None where no part has."""
        if not any(bias_of(name) in self._names for name in names):
            return None
        parts: list[F32] = []
        for name in names:
            rows = self._sizes[name][:1]
            there = bias_of(name) in self._names
            parts.append(self._sized(bias_of(name), rows) if there else np.zeros(rows, np.float32))
        return np.concatenate(parts)

    def _vector(self, name: str) -> str:
        return self._graph.constant(name, self._weight(name))

    def _weight(self, name: str) -> F32:
        return self._sized(name, self._sizes[name])

    def _sized(self, name: str, size: tuple[int, ...]) -> F32:
        weight = self._weights.matrix(name)
        if weight.shape != size:
            raise ModelError(f"{name} is {list(weight.shape)} and should be {list(size)} by the model's description")
        return weight
