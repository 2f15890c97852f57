"""A BERT sentence encoder as an ONNX graph of fused operators, with masked mean pooling and L2 norm inside.

`input_ids` and `attention_mask` [batch, sequence] in, `sentence_embedding` [batch, dimensions] out. In the q8 graph
each row is rounded by itself, so a text has the same vector alone and in a batch (per-tensor quantisation would not).
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
from onnx import TensorProto
from safetensors import SafetensorError
from safetensors.numpy import load_file

from trunkline_kit.errors import ModelError
from trunkline_worker.convert.graph import MICROSOFT, GraphBuilder
from trunkline_worker.convert.precision import BLOCK, F32, Precision, quantise


class BertConfig(msgspec.Struct, frozen=True):
    """The part of a BERT `config.json` that shapes the graph."""

    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    num_hidden_layers: int
    layer_norm_eps: float
    max_position_embeddings: int
    vocab_size: int
    model_type: str
    hidden_act: str
    pad_token_id: int = 0


class BertWeights:
    """Config and weights of one model folder. Raises ModelError for a broken folder or another architecture."""

    def __init__(self, folder: Path) -> None:
        try:
            self.config = msgspec.json.decode((folder / "config.json").read_bytes(), type=BertConfig)
            tensors = load_file(folder / "model.safetensors")
        except (OSError, msgspec.DecodeError, SafetensorError) as error:
            raise ModelError(f"{folder.name} is not a readable BERT model: {error}") from error
        if (self.config.model_type, self.config.hidden_act) != ("bert", "gelu"):
            raise ModelError(
                f"{folder.name} is a {self.config.model_type} with {self.config.hidden_act}; need bert, gelu"
            )
        self._tensors = {name.removeprefix("bert."): tensor for name, tensor in tensors.items()}

    def has(self, name: str) -> bool:
        return name in self._tensors

    def tensor(self, name: str) -> F32:
        if name not in self._tensors:
            raise ModelError(f"the encoder's weights have no tensor {name!r}")
        return np.ascontiguousarray(self._tensors[name], dtype=np.float32)


def build_encoder(weights: BertWeights, precision: Precision) -> GraphBuilder:
    return EncoderGraph(weights, precision).build()


class EncoderGraph:
    """The encoder, and what makes of its last layer what is asked for."""

    def __init__(self, weights: BertWeights, precision: Precision) -> None:
        self._weights = weights
        self._config = weights.config
        self._graph = GraphBuilder("sentence_encoder", precision)

    def build(self) -> GraphBuilder:
        graph = self._graph
        graph.input("input_ids", TensorProto.INT64, ["batch", "sequence"])
        graph.input("attention_mask", TensorProto.INT64, ["batch", "sequence"])
        valid = graph.node("ReduceSum", ["attention_mask", graph.integers(1)], "mask.valid", keepdims=0)
        lengths = graph.node("Cast", [valid], "lengths", to=TensorProto.INT32)
        x = self._embedding()
        for layer in range(self._config.num_hidden_layers):
            x = self._layer(layer, x, lengths)
        self._pool(x)
        return graph

    def _embedding(self) -> str:
        """Word + position + type, normed. Only token type 0 occurs, so its row is in every position."""
        graph, tensor = self._graph, self._weights.tensor
        words = self._words(tensor("embeddings.word_embeddings.weight"))
        table = tensor("embeddings.position_embeddings.weight") + tensor("embeddings.token_type_embeddings.weight")[0]
        length = graph.node(
            "Gather", [graph.node("Shape", ["input_ids"], "ids.shape"), graph.integers(1)], "ids.length"
        )
        positions = graph.constant("positions", table)
        cut = graph.node("Slice", [positions, graph.integers(0), length, graph.integers(0)], "positions.cut")
        total = self._segments(graph.node("Add", [words, cut], "embedded"))
        gain = graph.constant("embedding.gain", tensor("embeddings.LayerNorm.weight"))
        bias = graph.constant("embedding.bias", tensor("embeddings.LayerNorm.bias"))
        return graph.node(
            "LayerNormalization", [total, gain, bias], "normed", epsilon=self._config.layer_norm_eps, axis=-1
        )

    def _segments(self, total: str) -> str:
        """What sets a second text apart: here there is none."""
        return total

    def _words(self, weight: F32) -> str:
        graph = self._graph
        if not graph.quantised:
            return graph.node("Gather", [graph.constant("words.weight", weight), "input_ids"], "words")
        blocks = quantise(weight)
        codes = graph.constant("words.codes", blocks.codes.reshape(weight.shape))
        scales = graph.constant("words.scales", blocks.scales)
        return graph.node(
            "GatherBlockQuantized",
            [codes, "input_ids", scales],
            "words",
            MICROSOFT,
            gather_axis=0,
            quantize_axis=1,
            block_size=BLOCK,
            bits=8,
        )

    def _layer(self, layer: int, x: str, lengths: str) -> str:
        graph, prefix = self._graph, f"encoder.layer.{layer}."
        attended = self._attention(layer, x, lengths)
        output = self._linear(attended, f"{layer}.output", f"{prefix}attention.output.dense")
        hidden = self._norm(f"{layer}.attention", x, output, f"{prefix}attention.output.LayerNorm")
        wide = self._linear(hidden, f"{layer}.wide", f"{prefix}intermediate.dense")
        active = graph.node("Gelu", [wide], f"{layer}.gelu", MICROSOFT)
        narrow = self._linear(active, f"{layer}.narrow", f"{prefix}output.dense")
        return self._norm(f"{layer}.feed", hidden, narrow, f"{prefix}output.LayerNorm")

    def _attention(self, layer: int, x: str, lengths: str) -> str:
        graph, prefix = self._graph, f"encoder.layer.{layer}.attention.self."
        parts = ("query", "key", "value")
        weight = np.concatenate([self._weights.tensor(f"{prefix}{part}.weight") for part in parts])
        bias = np.concatenate([self._weights.tensor(f"{prefix}{part}.bias") for part in parts])
        packed = graph.linear(x, f"{layer}.qkv", weight, bias)
        split = [f"{layer}.{part}" for part in parts]
        graph.node("Split", [packed], split, axis=-1, num_outputs=3)
        heads = self._config.num_attention_heads
        inputs = [*split, "", lengths]
        return graph.node("MultiHeadAttention", inputs, f"{layer}.attended", MICROSOFT, num_heads=heads)

    def _linear(self, x: str, name: str, source: str) -> str:
        tensor = self._weights.tensor
        return self._graph.linear(x, name, tensor(f"{source}.weight"), tensor(f"{source}.bias"))

    def _norm(self, name: str, residual: str, x: str, source: str) -> str:
        graph = self._graph
        gain = graph.constant(f"{name}.gain", self._weights.tensor(f"{source}.weight"))
        bias = graph.constant(f"{name}.bias", self._weights.tensor(f"{source}.bias"))
        inputs = [residual, x, gain, bias]
        epsilon = self._config.layer_norm_eps
        return graph.node("SkipLayerNormalization", inputs, f"{name}.normed", MICROSOFT, epsilon=epsilon)

    def _pool(self, x: str) -> None:
        """Mean over valid positions at length one. The norm makes the division by their number needless."""
        graph = self._graph
        mask = graph.node("Cast", ["attention_mask"], "mask.float", to=graph.float_type)
        column = graph.node("Unsqueeze", [mask, graph.integers(2)], "mask.column")
        masked = graph.node("Mul", [x, column], "masked")
        total = graph.node("ReduceSum", [masked, graph.integers(1)], "total", keepdims=0)
        wide = graph.node("Cast", [total], "total.float", to=TensorProto.FLOAT)
        graph.node("LpNormalization", [wide], "sentence_embedding", axis=-1, p=2)
        graph.output("sentence_embedding", TensorProto.FLOAT, ["batch", self._config.hidden_size])
