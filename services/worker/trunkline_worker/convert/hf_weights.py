"""Reads a folder as Hugging Face publishes decoders: config.json beside safetensors, of the llama and qwen families.

Sources: huggingface/transformers, `configuration_{llama,mistral,qwen2,qwen3}.py` (names and defaults).
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from trunkline_kit.errors import ModelError
from trunkline_worker.convert.precision import F32
from trunkline_worker.convert.safetensors_files import SafetensorsFiles, weight_files
from trunkline_worker.convert.weights import FAMILIES, DecoderShape, rope_divisors

_NULL = b"null"
_QWEN3_HEAD_SIZE = 128
"""Of Qwen3 where its config.json says nothing."""
_OUTER = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
_INNER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_LAYER = re.compile(r"model\.layers\.(\d+)\.(.+)\.(weight|bias)")
_DERIVED = re.compile(r".*rotary_emb\.inv_freq")
"""Tables that old checkpoints carry and that follow from the config."""
_Scaling = dict[str, float | int | str | list[float] | None]


class _Family(msgspec.Struct, frozen=True):
    model_type: str = ""


class DecoderConfigFile(msgspec.Struct, frozen=True, kw_only=True):
    """The part of `config.json` that shapes the graph."""

    model_type: str
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    vocab_size: int
    max_position_embeddings: int
    rms_norm_eps: float = 1e-6
    hidden_act: str = "silu"
    rope_theta: float | None = None
    rope_scaling: _Scaling | None = None
    rope_parameters: _Scaling | None = None
    """Both of the above, as newer files have it."""
    partial_rotary_factor: float = 1.0
    tie_word_embeddings: bool = False
    sliding_window: int | None = None
    use_sliding_window: bool | None = None
    layer_types: tuple[str, ...] | None = None
    quantization_config: msgspec.Raw = msgspec.Raw(_NULL)
    bos_token_id: int | None = None
    eos_token_id: int | tuple[int, ...] | None = None
    pad_token_id: int | None = None


def read_decoder_config(folder: Path) -> DecoderConfigFile:
    """Raises ModelError for what is missing, or for a family that the converter does not know."""
    path = folder / "config.json"
    try:
        data = path.read_bytes()
        family = msgspec.json.decode(data, type=_Family).model_type
        if family not in FAMILIES:
            known = ", ".join(FAMILIES)
            raise ModelError(f"{folder} has a model of the type {family!r}; the converter knows {known}")
        config = msgspec.json.decode(data, type=DecoderConfigFile)
    except FileNotFoundError as error:
        raise ModelError(f"{folder} has no config.json; give a folder of safetensors or a GGUF file") from error
    except (OSError, msgspec.DecodeError) as error:
        raise ModelError(f"{path} cannot be used: {error}") from error
    if config.hidden_act != "silu":
        raise ModelError(f"{path} has hidden_act {config.hidden_act!r}; the converter knows silu")
    if bytes(config.quantization_config) != _NULL:
        raise ModelError(f"{path} says that the weights are quantised; give the model's plain weights, or a GGUF file")
    return config


class HfWeights:
    """One model folder. Raises ModelError for what cannot be converted."""

    def __init__(self, folder: Path) -> None:
        self.config = read_decoder_config(folder)
        self._files = SafetensorsFiles(weight_files(folder))
        self._names = {_ours(name): name for name in self._files.names() if not _DERIVED.fullmatch(name)}
        if self.config.tie_word_embeddings:
            self._names.pop("output.weight", None)

    def shape(self) -> DecoderShape:
        config = self.config
        default = _QWEN3_HEAD_SIZE if config.model_type == "qwen3" else config.hidden_size // config.num_attention_heads
        head_size = config.head_dim or default
        base, divisors = _rope(config, head_size)
        return DecoderShape(
            layers=config.num_hidden_layers,
            hidden=config.hidden_size,
            heads=config.num_attention_heads,
            kv_heads=config.num_key_value_heads or config.num_attention_heads,
            head_size=head_size,
            feed=config.intermediate_size,
            vocabulary=config.vocab_size,
            context_tokens=config.max_position_embeddings,
            norm_epsilon=config.rms_norm_eps,
            rope_base=base,
            rope_divisors=divisors,
            window_tokens=_window(config),
            tied=config.tie_word_embeddings,
            head_norms=config.model_type == "qwen3",
            family=config.model_type,
        )

    def names(self) -> frozenset[str]:
        return frozenset(self._names)

    def matrix(self, name: str) -> F32:
        return self._files.tensor(self._names.get(name, name))


def _ours(name: str) -> str:
    """GGUF's name for a tensor; an unknown name stays as it is, to be named when it is refused."""
    inner = _LAYER.fullmatch(name)
    if inner and inner[2] in _INNER:
        return f"blk.{inner[1]}.{_INNER[inner[2]]}.{inner[3]}"
    return _OUTER.get(name, name)


def _rope(config: DecoderConfigFile, head_size: int) -> tuple[float, tuple[float, ...]]:
    """Base and divisors of the rotary frequencies."""
    scaling = config.rope_parameters or config.rope_scaling or {}
    said = config.rope_theta if config.rope_theta is not None else scaling.get("rope_theta")
    base = float(said) if isinstance(said, int | float) else 10000.0
    part = scaling.get("partial_rotary_factor", config.partial_rotary_factor)
    if part not in (None, 1, 1.0):
        raise ModelError("the model rotates a part of each head only, which the converter does not know")
    numbers = {key: value for key, value in scaling.items() if not isinstance(value, list)}
    return base, rope_divisors(numbers, base, head_size)


def _window(config: DecoderConfigFile) -> int:
    """How far a token attends; 0 where that is no bound. Raises ModelError if the layers differ."""
    used = config.use_sliding_window if config.use_sliding_window is not None else config.model_type == "mistral"
    window = config.sliding_window or 0
    if not used or window == 0 or window >= config.max_position_embeddings:
        return 0
    if len(kinds := set(config.layer_types or ())) > 1 or (config.model_type != "mistral" and not kinds):
        raise ModelError("the model's layers attend to windows of different length, which the converter does not know")
    return 0 if kinds == {"full_attention"} else window
