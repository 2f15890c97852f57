"""genai_config.json: how a model folder describes its graph. The layout is onnxruntime-genai's, so its folders load.

Encoders, for which that project has no layout, use an `encoder` section of ours beside the same outer keys.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import msgspec

from trunkline_kit.errors import ModelError

HEAD_ROWS = "head_rows"
"""Optional input that graphs of our own have besides: how many rows get logits, from the first on; all without it."""


class DecoderInputs(msgspec.Struct, frozen=True, kw_only=True):
    """Names of the graph's inputs; `%d` stands for the layer."""

    input_ids: str = "input_ids"
    attention_mask: str = "attention_mask"
    position_ids: str | msgspec.UnsetType | None = msgspec.UNSET
    """Only graphs whose attention does not rotate by itself have it."""
    past_key_names: str = "past_key_values.%d.key"
    past_value_names: str = "past_key_values.%d.value"


class DecoderOutputs(msgspec.Struct, frozen=True, kw_only=True):
    logits: str = "logits"
    present_key_names: str = "present.%d.key"
    present_value_names: str = "present.%d.value"


class DecoderConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A decoder with one key/value cache per layer that its graph updates in place."""

    head_size: int
    hidden_size: int
    num_attention_heads: int
    num_key_value_heads: int
    num_hidden_layers: int
    filename: str = "model.onnx"
    inputs: DecoderInputs = DecoderInputs()
    outputs: DecoderOutputs = DecoderOutputs()


class EncoderConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A sentence encoder: ids and mask in, one vector per row out."""

    hidden_size: int
    filename: str = "model.onnx"
    input_ids: str = "input_ids"
    attention_mask: str = "attention_mask"
    sentence_embedding: str = "sentence_embedding"
    normalised: bool = True


class Activation(StrEnum):
    """What turns a classifier's logits into scores."""

    SOFTMAX = "softmax"
    """One of the labels is right."""
    SIGMOID = "sigmoid"
    """Each label by itself."""


class ClassifierConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A classifier: ids, mask and segments in, one logit per label out."""

    labels: tuple[str, ...]
    activation: Activation = Activation.SOFTMAX
    filename: str = "model.onnx"
    input_ids: str = "input_ids"
    attention_mask: str = "attention_mask"
    token_type_ids: str = "token_type_ids"  # noqa: S105 - not a secret
    logits: str = "logits"


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the model is; exactly one of `decoder`, `encoder` and `classifier` is there."""

    type: str
    context_length: int
    """Positions the model was trained for, tokens."""
    vocab_size: int
    eos_token_id: int | tuple[int, ...] = ()
    bos_token_id: int | None = None
    pad_token_id: int | None = None
    decoder: DecoderConfig | None = None
    encoder: EncoderConfig | None = None
    classifier: ClassifierConfig | None = None

    @property
    def graph(self) -> str:
        """The graph's file."""
        section = self.decoder or self.encoder or self.classifier
        return "model.onnx" if section is None else section.filename

    @property
    def eos_ids(self) -> frozenset[int]:
        return frozenset((self.eos_token_id,) if isinstance(self.eos_token_id, int) else self.eos_token_id)


class SearchConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Present because onnxruntime-genai insists on it; of it, the worker uses what a request leaves open."""

    max_length: int = 2048
    do_sample: bool = False
    """Not looked at: a request's temperature says whether to sample."""
    temperature: float = 1.0
    """For requests that name none, as the model's makers advise."""
    top_p: float = 1.0
    """For requests that name none."""
    past_present_share_buffer: bool = True


class GenaiConfig(msgspec.Struct, frozen=True, kw_only=True):
    model: ModelConfig
    search: SearchConfig = SearchConfig()


def read_genai_config(folder: Path) -> GenaiConfig:
    """The folder's description. Raises ModelError saying which key is missing or wrong."""
    path = folder / "genai_config.json"
    try:
        config = msgspec.json.decode(path.read_bytes(), type=GenaiConfig)
    except FileNotFoundError as error:
        raise ModelError(f"{folder} has no genai_config.json; it must describe the graph of model.onnx") from error
    except (OSError, msgspec.DecodeError) as error:
        raise ModelError(f"{path} cannot be used: {error}") from error
    sections = (config.model.decoder, config.model.encoder, config.model.classifier)
    if sum(section is not None for section in sections) != 1:
        raise ModelError(f"{path} must have exactly one of `model.decoder`, `model.encoder` and `model.classifier`")
    return config


def write_genai_config(config: GenaiConfig, folder: Path) -> None:
    text = msgspec.json.format(msgspec.json.encode(config), indent=1)
    (folder / "genai_config.json").write_bytes(text)
