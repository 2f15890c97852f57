"""Reads a llama-architecture GGUF file: its shape, its weights as float32 in the usual row order, its tokenizer.

Format: ggml-org/ggml docs/gguf.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader, ReaderTensor, quants
from msgspec import Struct
from numpy.typing import NDArray

from trunkline_kit.errors import ModelError
from trunkline_worker.convert.precision import F32

_CONTROL_TOKEN = 3
"""`tokenizer.ggml.token_type` of tokens that are never part of text."""


class DecoderShape(Struct, frozen=True, kw_only=True):
    """What the graph of a llama-like decoder needs to know besides its weights."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_size: int
    vocabulary: int
    context_tokens: int
    norm_epsilon: float
    rope_base: float


class GgufTokenizer(Struct, frozen=True, kw_only=True):
    """A byte-level BPE tokenizer as GGUF stores it."""

    pre_tokenizer: str
    tokens: tuple[str, ...]
    merges: tuple[tuple[str, str], ...]
    control_ids: tuple[int, ...]
    bos_id: int
    eos_id: int
    unknown_id: int
    padding_id: int
    chat_template: str


class GgufWeights:
    """One GGUF file, mapped. Raises ModelError for another architecture or a broken file."""

    def __init__(self, path: Path) -> None:
        try:
            self._reader = GGUFReader(path)
        except (ValueError, IndexError, OSError) as error:
            raise ModelError(f"{path.name} is not a readable GGUF file: {error}") from error
        self._tensors: dict[str, ReaderTensor] = {tensor.name: tensor for tensor in self._reader.tensors}
        architecture = self._field("general.architecture")
        if architecture != "llama":
            raise ModelError(f"{path.name} has the architecture {architecture!r}; the converter knows llama")

    def shape(self) -> DecoderShape:
        heads = int(self._field("llama.attention.head_count"))
        hidden = int(self._field("llama.embedding_length"))
        return DecoderShape(
            layers=int(self._field("llama.block_count")),
            hidden=hidden,
            heads=heads,
            kv_heads=int(self._field("llama.attention.head_count_kv")),
            head_size=hidden // heads,
            vocabulary=int(self._field("llama.vocab_size")),
            context_tokens=int(self._field("llama.context_length")),
            norm_epsilon=float(self._field("llama.attention.layer_norm_rms_epsilon")),
            rope_base=float(self._field("llama.rope.freq_base")),
        )

    def matrix(self, name: str) -> F32:
        """A weight as float32 [out, in], whatever its storage."""
        tensor = self._tensors.get(name)
        if tensor is None:
            raise ModelError(f"the GGUF file has no tensor {name!r}")
        return np.ascontiguousarray(quants.dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)

    def attention_matrix(self, name: str, heads: int) -> F32:
        """A query or key weight with its rows put back from GGUF's interleaved rotary order to the half-split one."""
        weight = self.matrix(name)
        return weight[half_split_rows(weight.shape[0], heads)]

    def has(self, name: str) -> bool:
        return name in self._tensors

    def tokenizer(self) -> GgufTokenizer:
        model = self._field("tokenizer.ggml.model")
        if model != "gpt2":
            raise ModelError(f"the GGUF tokenizer is {model!r}; the converter knows byte-level BPE (gpt2)")
        kinds: Sequence[int] = self._field("tokenizer.ggml.token_type")
        return GgufTokenizer(
            pre_tokenizer=str(self._field("tokenizer.ggml.pre")),
            tokens=tuple(self._field("tokenizer.ggml.tokens")),
            merges=tuple(_pair(merge) for merge in self._field("tokenizer.ggml.merges")),
            control_ids=tuple(index for index, kind in enumerate(kinds) if kind == _CONTROL_TOKEN),
            bos_id=int(self._field("tokenizer.ggml.bos_token_id")),
            eos_id=int(self._field("tokenizer.ggml.eos_token_id")),
            unknown_id=int(self._field("tokenizer.ggml.unknown_token_id")),
            padding_id=int(self._field("tokenizer.ggml.padding_token_id")),
            chat_template=str(self._field("tokenizer.chat_template")),
        )

    def _field(self, key: str) -> Any:
        field = self._reader.get_field(key)
        if field is None:
            raise ModelError(f"the GGUF file does not say {key!r}")
        return field.contents()


def half_split_rows(rows: int, heads: int) -> NDArray[np.intp]:
    """Row order that undoes llama.cpp's permutation of rotary pairs, within each head."""
    head_size = rows // heads
    return np.arange(rows).reshape(heads, head_size // 2, 2).swapaxes(1, 2).reshape(-1)


def _pair(merge: str) -> tuple[str, str]:
    left, right = merge.split(" ")
    return left, right
