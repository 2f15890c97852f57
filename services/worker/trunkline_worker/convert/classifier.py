"""A BERT classifier as an ONNX graph: encoder, pooler and head. With one label it is a cross-encoder, which reranks.

`input_ids`, `attention_mask` and `token_type_ids` [batch, sequence] in, `logits` [batch, labels] out. What is read from
is a folder of `BertForSequenceClassification`: config.json, model.safetensors, tokenizer.json.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from onnx import TensorProto

from trunkline_kit.errors import ModelError
from trunkline_worker.convert.encoder import BertWeights, EncoderGraph
from trunkline_worker.convert.graph import GraphBuilder
from trunkline_worker.convert.precision import Precision
from trunkline_worker.convert.tokenizer_files import write_encoder_tokenizer
from trunkline_worker.genai_config import Activation, ClassifierConfig, GenaiConfig, ModelConfig, write_genai_config

_HEAD = "classifier.weight"
_ARCHITECTURE = "BertForSequenceClassification"


class _Heading(msgspec.Struct, frozen=True):
    """The part of `config.json` that is about the head."""

    id2label: dict[int, str] = {}
    problem_type: str | None = None


class _Kind(msgspec.Struct, frozen=True):
    architectures: tuple[str, ...] = ()


def is_classifier_folder(folder: Path) -> bool:
    """Whether a folder says of itself that it is what is converted here."""
    try:
        kind = msgspec.json.decode((folder / "config.json").read_bytes(), type=_Kind)
    except (OSError, msgspec.DecodeError):
        return False
    return _ARCHITECTURE in kind.architectures


def convert_classifier(source: Path, precision: Precision, folder: Path) -> None:
    """Write graph, tokenizer and description of the model folder `source` into `folder`, which `path:` then takes.

    Raises ModelError for a folder that is something else.
    """
    weights = BertWeights(source)
    if not weights.has(_HEAD):
        raise ModelError(f"{source.name} has no {_HEAD}; it is no classifier")
    described = _description(weights, source)
    build_classifier(weights, precision).save(folder)
    write_encoder_tokenizer(source, described.context_length, folder)
    write_genai_config(GenaiConfig(model=described), folder)


def build_classifier(weights: BertWeights, precision: Precision) -> GraphBuilder:
    return _ClassifierGraph(weights, precision).build()


def _description(weights: BertWeights, source: Path) -> ModelConfig:
    heading = msgspec.json.decode((source / "config.json").read_bytes(), type=_Heading, strict=False)
    count = weights.tensor(_HEAD).shape[0]
    several = heading.problem_type == "multi_label_classification"
    return ModelConfig(
        type="bert",
        context_length=weights.config.max_position_embeddings,
        vocab_size=weights.config.vocab_size,
        pad_token_id=weights.config.pad_token_id,
        classifier=ClassifierConfig(
            labels=tuple(heading.id2label.get(index, f"LABEL_{index}") for index in range(count)),
            activation=Activation.SIGMOID if count == 1 or several else Activation.SOFTMAX,
        ),
    )


class _ClassifierGraph(EncoderGraph):
    """The encoder with both segments, and another end."""

    def _embedding(self) -> str:
        self._graph.input("token_type_ids", TensorProto.INT64, ["batch", "sequence"])
        return super()._embedding()

    def _segments(self, total: str) -> str:
        """What sets the second text apart; the first one's row is in every position already."""
        graph, types = self._graph, self._weights.tensor("embeddings.token_type_embeddings.weight")
        table = graph.constant("segments.table", types - types[0])
        return graph.node("Add", [total, graph.node("Gather", [table, "token_type_ids"], "segments")], "segmented")

    def _pool(self, x: str) -> None:
        """The first position through two layers, which stay in floating point: they are small and decide."""
        graph = self._graph
        first = graph.node(
            "Squeeze", [graph.node("Gather", [x, graph.integers(0)], "begin", axis=1), graph.integers(1)], "first"
        )
        pooled = graph.node("Tanh", [self._exact(first, "pooler.dense")], "pooled")
        scores = self._exact(pooled, "classifier")
        graph.node("Cast", [scores], "logits", to=TensorProto.FLOAT)
        graph.output("logits", TensorProto.FLOAT, ["batch", self._weights.tensor(_HEAD).shape[0]])

    def _exact(self, x: str, source: str) -> str:
        graph, tensor = self._graph, self._weights.tensor
        weight = graph.constant(f"{source}.weight", tensor(f"{source}.weight"))
        bias = graph.constant(f"{source}.bias", tensor(f"{source}.bias"))
        return graph.node("Gemm", [x, weight, bias], f"{source}.out", transB=1)
