"""Reads a GGUF file of the llama family: its shape, its weights as float32, its tokenizer.

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
from trunkline_worker.convert.weights import DecoderShape

ARCHITECTURES = ("llama", "qwen2", "qwen3")
"""`general.architecture`; Mistral's files say `llama`."""
_WOVEN = ("llama",)
"""Whose queries and keys llama.cpp's converter stores with the halves of each head woven into pairs."""
_ROPE_FACTORS = "rope_freqs.weight"
_CONTROL_TOKEN, _USER_TOKEN = 3, 4
"""`tokenizer.ggml.token_type` of tokens that are never part of text, and of those that are never split."""
_TURN_ENDS = frozenset(("<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endofturn|>", "<|eom_id|>"))
"""Control tokens that end an answer whatever the file calls its end of text. Source: llama.cpp src/llama-vocab.cpp."""
SPLIT = "tokenizer.ggml.pre"


class GgufTokenizer(Struct, frozen=True, kw_only=True):
    """A byte-level BPE tokenizer as GGUF stores it."""

    pre_tokenizer: str
    tokens: tuple[str, ...]
    merges: tuple[tuple[str, str], ...]
    control_ids: tuple[int, ...]
    user_ids: tuple[int, ...] = ()
    """Tokens that are taken whole from text, such as `<think>`."""


class TokenIds(Struct, frozen=True, kw_only=True):
    """Tokens with a part in the model's protocol, and its template."""

    tokens: tuple[str, ...] = ()
    bos_id: int | None = None
    eos_ids: tuple[int, ...] = ()
    unknown_id: int | None = None
    padding_id: int | None = None
    chat_template: str | None = None

    def text(self, token_id: int | None) -> str | None:
        return None if token_id is None or token_id >= len(self.tokens) else self.tokens[token_id]


class GgufWeights:
    """One GGUF file, mapped. Raises ModelError for another architecture or a broken file."""

    def __init__(self, path: Path) -> None:
        try:
            self._reader = GGUFReader(path)
        except (ValueError, IndexError, KeyError, OSError) as error:
            raise ModelError(f"{path.name} is not a readable GGUF file: {error}") from error
        self._tensors: dict[str, ReaderTensor] = {tensor.name: tensor for tensor in self._reader.tensors}
        self._architecture = str(self._field("general.architecture"))
        if self._architecture not in ARCHITECTURES:
            known = ", ".join(ARCHITECTURES)
            raise ModelError(f"{path.name} has the architecture {self._architecture!r}; the converter knows {known}")
        if self._number("expert_count", 0):
            raise ModelError(f"{path.name} is a mixture of experts; the converter knows dense models only")

    def shape(self) -> DecoderShape:
        heads, hidden = int(self._number("attention.head_count")), int(self._number("embedding_length"))
        head_size = int(self._number("attention.key_length", hidden // heads))
        self._refuse_unless("attention.value_length", head_size, "values of another size than keys")
        self._refuse_unless("rope.dimension_count", head_size, "rotation of a part of each head")
        words = self._tensors.get("token_embd.weight")
        context = int(self._number("context_length"))
        window = int(self._number("attention.sliding_window", 0))
        return DecoderShape(
            layers=int(self._number("block_count")),
            hidden=hidden,
            heads=heads,
            kv_heads=int(self._number("attention.head_count_kv", heads)),
            head_size=head_size,
            feed=int(self._number("feed_forward_length")),
            vocabulary=int(self._number("vocab_size")) if words is None else int(words.shape[1]),
            context_tokens=context,
            norm_epsilon=float(self._number("attention.layer_norm_rms_epsilon")),
            rope_base=float(self._number("rope.freq_base", 10000.0)),
            rope_divisors=self._rope_divisors(head_size),
            window_tokens=window if window < context else 0,
            tied="output.weight" not in self._tensors,
            head_norms=self._architecture == "qwen3",
            family=self._architecture,
        )

    def names(self) -> frozenset[str]:
        return frozenset(self._tensors) - {_ROPE_FACTORS}

    def matrix(self, name: str) -> F32:
        """A tensor as float32, whatever its storage, queries and keys put back into half-split order."""
        tensor = self._tensors.get(name)
        if tensor is None:
            raise ModelError(f"the GGUF file has no tensor {name!r}")
        try:
            weight = np.ascontiguousarray(quants.dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
        except (NotImplementedError, ValueError) as error:
            raise ModelError(f"{name} is stored as {tensor.tensor_type.name}, which cannot be read: {error}") from error
        heads = self._woven_heads(name)
        return weight[half_split_rows(weight.shape[0], heads)] if heads else weight

    def tokenizer(self) -> GgufTokenizer:
        """Raises ModelError for another kind than byte-level BPE."""
        model = self._field("tokenizer.ggml.model")
        if model != "gpt2":
            raise ModelError(
                f"the GGUF file's tokenizer is {model!r}; the converter rebuilds byte-level BPE (gpt2) only,"
                " so put the model's tokenizer.json beside the file"
            )
        kinds: Sequence[int] = self._field("tokenizer.ggml.token_type")
        return GgufTokenizer(
            pre_tokenizer=str(self._field(SPLIT)),
            tokens=tuple(self._field("tokenizer.ggml.tokens")),
            merges=tuple(_pair(merge) for merge in self._field("tokenizer.ggml.merges")),
            control_ids=tuple(index for index, kind in enumerate(kinds) if kind == _CONTROL_TOKEN),
            user_ids=tuple(index for index, kind in enumerate(kinds) if kind == _USER_TOKEN),
        )

    def token_ids(self) -> TokenIds:
        """What the file says of its tokens, whatever kind of tokenizer they are of."""
        tokens = tuple(self._field("tokenizer.ggml.tokens", ()))
        kinds: Sequence[int] = self._field("tokenizer.ggml.token_type", ())
        ends = [self._token(f"{name}_token_id") for name in ("eos", "eot", "eom")]
        turns = (at for at, kind in enumerate(kinds) if kind == _CONTROL_TOKEN and tokens[at] in _TURN_ENDS)
        template = self._field("tokenizer.chat_template", None)
        return TokenIds(
            tokens=tokens,
            bos_id=self._token("bos_token_id"),
            eos_ids=tuple(dict.fromkeys([*(end for end in ends if end is not None), *turns])),
            unknown_id=self._token("unknown_token_id"),
            padding_id=self._token("padding_token_id"),
            chat_template=None if template is None else str(template),
        )

    def _woven_heads(self, name: str) -> int:
        """How many heads' rows are woven in this tensor; 0: none."""
        if self._architecture not in _WOVEN:
            return 0
        part = name.rpartition(".")[0].rpartition(".")[2]
        if part == "attn_q":
            return int(self._number("attention.head_count"))
        if part == "attn_k":
            return int(self._number("attention.head_count_kv", self._number("attention.head_count")))
        return 0

    def _rope_divisors(self, head_size: int) -> tuple[float, ...]:
        if _ROPE_FACTORS in self._tensors:
            return tuple(self.matrix(_ROPE_FACTORS).astype(float).tolist())
        kind = str(self._field(f"{self._architecture}.rope.scaling.type", "none"))
        if kind == "none":
            return ()
        if kind != "linear":
            raise ModelError(
                f"the model scales its rotary positions by {kind!r}; the converter knows linear and llama3"
            )
        return (float(self._number("rope.scaling.factor")),) * (head_size // 2)

    def _refuse_unless(self, key: str, size: int, what: str) -> None:
        if int(self._number(key, size)) != size:
            raise ModelError(f"the model has {what} ({key} is not {size}), which the converter does not know")

    def _token(self, key: str) -> int | None:
        found = self._field(f"tokenizer.ggml.{key}", None)
        return None if found is None else int(found)

    def _number(self, key: str, *default: float) -> float:
        key = f"{self._architecture}.{key}"
        found = self._field(key, *default)
        if not isinstance(found, int | float):
            raise ModelError(f"{key} of the GGUF file is {found!r}; the converter knows one number for all layers")
        return found

    def _field(self, key: str, *default: Any) -> Any:
        field = self._reader.get_field(key)
        if field is not None:
            return field.contents()
        if default:
            return default[0]
        raise ModelError(f"the GGUF file does not say {key!r}")


def half_split_rows(rows: int, heads: int) -> NDArray[np.intp]:
    """Row order that undoes llama.cpp's permutation of rotary pairs, within each head."""
    head_size = rows // heads
    return np.arange(rows).reshape(heads, head_size // 2, 2).swapaxes(1, 2).reshape(-1)


def _pair(merge: str) -> tuple[str, str]:
    left, _, right = merge.partition(" ")
    if not left or not right or " " in right:
        raise ModelError(f"the GGUF tokenizer has the merge {merge!r}, which is not two tokens")
    return left, right
