"""Decoders of every family with made-up weights, as their makers publish them: config.json and model.safetensors.

The tool that asks the reference and the tests that compare with it make the same weights with this module.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFWriter, RopeScalingType
from numpy.typing import NDArray
from safetensors.numpy import save_file

_WEIGHT_SCALE = 0.2
_GAIN_SCALE = 0.1


def tiny_tensor(name: str, shape: Sequence[int], seed: int) -> NDArray[np.float32]:
    """The same numbers for the same name and seed, everywhere: numpy has frozen this generator's stream (NEP 19)."""
    chance = np.random.RandomState((seed + zlib.crc32(name.encode())) % (1 << 32))
    values = chance.standard_normal(tuple(shape))
    if name.endswith("norm.weight"):
        return np.asarray(1 + _GAIN_SCALE * values, np.float32)
    return np.asarray(_WEIGHT_SCALE * values, np.float32)


def decoder_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a decoder's tensors, in the layout of Hugging Face's llama, mistral, qwen2 and qwen3."""
    hidden, wide, words = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    size = config.get("head_dim") or hidden // heads
    family, biased = config["model_type"], config.get("attention_bias", False)
    rows = {"q_proj": heads * size, "k_proj": kv_heads * size, "v_proj": kv_heads * size}
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (words, hidden), "model.norm.weight": (hidden,)}
    if not config.get("tie_word_embeddings", False):
        shapes["lm_head.weight"] = (words, hidden)
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        shapes |= {f"{prefix}{norm}_layernorm.weight": (hidden,) for norm in ("input", "post_attention")}
        shapes |= {f"{prefix}self_attn.{part}.weight": (rows[part], hidden) for part in rows}
        shapes[f"{prefix}self_attn.o_proj.weight"] = (hidden, heads * size)
        shapes |= {f"{prefix}mlp.{part}_proj.weight": (wide, hidden) for part in ("gate", "up")}
        shapes[f"{prefix}mlp.down_proj.weight"] = (hidden, wide)
        if family == "qwen2" or biased:
            shapes |= {f"{prefix}self_attn.{part}.bias": (rows[part],) for part in rows}
        if biased:
            shapes[f"{prefix}self_attn.o_proj.bias"] = (hidden,)
        if config.get("mlp_bias", False):
            shapes |= {f"{prefix}mlp.{part}_proj.bias": (wide,) for part in ("gate", "up")}
            shapes[f"{prefix}mlp.down_proj.bias"] = (hidden,)
        if family == "qwen3":
            shapes |= {f"{prefix}self_attn.{part}_norm.weight": (size,) for part in ("q", "k")}
    return shapes


def tiny_tensors(config: Mapping[str, Any], seed: int) -> dict[str, NDArray[np.float32]]:
    return {name: tiny_tensor(name, shape, seed) for name, shape in decoder_shapes(config).items()}


def write_tiny_decoder(config: Mapping[str, Any], seed: int, folder: Path) -> Path:
    """A model folder without a tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tiny_tensors(config, seed), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def write_tiny_gguf(config: Mapping[str, Any], seed: int, path: Path) -> Path:
    """The same decoder as llama.cpp's converter writes it, without a tokenizer. For llama, mistral, qwen2 and qwen3."""
    family = "llama" if config["model_type"] == "mistral" else config["model_type"]
    writer = GGUFWriter(path, family)
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    size = config.get("head_dim") or config["hidden_size"] // heads
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_rope_dimension_count(size)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    _add_rope(writer, config, size)
    if config.get("sliding_window") and config["model_type"] == "mistral":
        writer.add_sliding_window(config["sliding_window"])
    for name, tensor in tiny_tensors(config, seed).items():
        part = name.split(".")[-2]
        woven = {"q_proj": heads, "k_proj": kv_heads}.get(part, 0) if family == "llama" else 0
        writer.add_tensor(_gguf_name(name), _woven(tensor, woven) if woven else tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


_GGUF_NAMES = {
    "embed_tokens": "token_embd",
    "norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "q_proj": "attn_q",
    "k_proj": "attn_k",
    "v_proj": "attn_v",
    "o_proj": "attn_output",
    "q_norm": "attn_q_norm",
    "k_norm": "attn_k_norm",
    "gate_proj": "ffn_gate",
    "up_proj": "ffn_up",
    "down_proj": "ffn_down",
}


def _gguf_name(name: str) -> str:
    *places, part, kind = name.split(".")
    layer = f"blk.{places[2]}." if "layers" in places else ""
    return f"{layer}{_GGUF_NAMES[part]}.{kind}"


def _woven(tensor: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """The halves of each head, row by row in turns. Source: ggml-org/llama.cpp `LlamaModel.permute`."""
    size = tensor.shape[0] // heads
    halves = tensor.reshape(heads, 2, size // 2, *tensor.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(tensor.shape))


def _add_rope(writer: GGUFWriter, config: Mapping[str, Any], size: int) -> None:
    scaling = config.get("rope_parameters") or config.get("rope_scaling") or {}
    base = config.get("rope_theta") or scaling["rope_theta"]
    writer.add_rope_freq_base(base)
    if scaling.get("rope_type") == "linear":
        writer.add_rope_scaling_type(RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(scaling["factor"])
    if scaling.get("rope_type") == "llama3":
        writer.add_tensor("rope_freqs.weight", np.array(_llama3_factors(base, size, scaling), np.float32))


def _llama3_factors(base: float, size: int, scaling: Mapping[str, Any]) -> list[float]:
    """Source: ggml-org/llama.cpp `LlamaModel.generate_extra_tensors`."""
    factor, low, high = scaling["factor"], scaling["low_freq_factor"], scaling["high_freq_factor"]
    original = scaling["original_max_position_embeddings"]
    factors = []
    for index in range(0, size, 2):
        wave = 2 * np.pi * base ** (index / size)
        if wave < original / high:
            factors.append(1.0)
        elif wave > original / low:
            factors.append(factor)
        else:
            smooth = (original / wave - low) / (high - low)
            factors.append(1 / ((1 - smooth) / factor + smooth))
    return factors
