"""LoRA adapters as PEFT saves them, added to a model's weights: W + scale * B @ A (Hu et al., 2021)."""

from __future__ import annotations

import math
import re
from pathlib import Path

import msgspec

from trunkline_kit.errors import ModelError
from trunkline_worker.convert.precision import F32
from trunkline_worker.convert.safetensors_files import SafetensorsFiles
from trunkline_worker.convert.weights import DecoderShape, DecoderWeights

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_TARGETS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_NAME = re.compile(r"base_model\.model\.model\.layers\.(\d+)\.(.+)\.lora_(A|B)(?:\.default)?\.weight")


class AdapterConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The part of `adapter_config.json` that the merge depends on. Source: huggingface/peft `LoraConfig`."""

    peft_type: str = "LORA"
    r: int
    lora_alpha: float
    use_rslora: bool = False
    use_dora: bool = False
    bias: str = "none"
    fan_in_fan_out: bool = False
    rank_pattern: dict[str, int] = {}
    alpha_pattern: dict[str, float] = {}
    modules_to_save: tuple[str, ...] | None = None


class Adapter:
    """One adapter folder. Raises ModelError for what is not a plain LoRA of a decoder's matrices."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.config = _read_config(folder)
        if not (folder / WEIGHTS).is_file():
            raise ModelError(f"{folder} has no {WEIGHTS}; save the adapter with PEFT's safe_serialization")
        self._files = SafetensorsFiles((folder / WEIGHTS,))
        self._halves: dict[str, dict[str, str]] = {}
        for name in sorted(self._files.names()):
            found = _NAME.fullmatch(name)
            if found is None or found[2] not in _TARGETS:
                known = ", ".join(part.rpartition(".")[2] for part in _TARGETS)
                raise ModelError(f"the adapter in {folder} changes {name!r}; only LoRA of {known} can be merged")
            ours = f"blk.{found[1]}.{_TARGETS[found[2]]}.weight"
            self._halves.setdefault(ours, {})[found[3]] = name

    def names(self) -> frozenset[str]:
        """The tensors that it changes."""
        return frozenset(self._halves)

    def delta(self, name: str, weight: F32) -> F32:
        """What to add to `weight`."""
        halves = self._halves[name]
        if set(halves) != {"A", "B"}:
            raise ModelError(f"the adapter in {self._folder} has only half of a change of {name}")
        down, up = self._files.tensor(halves["A"]), self._files.tensor(halves["B"])
        if (up.shape[0], down.shape[1]) != weight.shape or up.shape[1] != down.shape[0]:
            raise ModelError(
                f"the adapter in {self._folder} does not fit {name}: {list(up.shape)} by {list(down.shape)}"
                f" is not {list(weight.shape)}; it was made for another model"
            )
        delta: F32 = (up @ down) * self._scale(down.shape[0])
        return delta

    def _scale(self, rank: int) -> float:
        if rank != self.config.r:
            raise ModelError(f"the adapter in {self._folder} has rank {rank} but says r is {self.config.r}")
        return self.config.lora_alpha / (math.sqrt(rank) if self.config.use_rslora else rank)


class AdaptedWeights:
    """A model's weights with adapters added, one after the other; everything else passes through."""

    def __init__(self, base: DecoderWeights, adapters: tuple[Adapter, ...]) -> None:
        self._base = base
        self._adapters = adapters
        for adapter in adapters:
            strange = sorted(adapter.names() - base.names())
            if strange:
                raise ModelError(f"the adapter changes {strange[0]}, which the model does not have")

    def shape(self) -> DecoderShape:
        return self._base.shape()

    def names(self) -> frozenset[str]:
        return self._base.names()

    def matrix(self, name: str) -> F32:
        weight = self._base.matrix(name)
        for adapter in self._adapters:
            if name in adapter.names():
                weight = weight + adapter.delta(name, weight)
        return weight


def _read_config(folder: Path) -> AdapterConfig:
    path = folder / CONFIG
    try:
        config = msgspec.json.decode(path.read_bytes(), type=AdapterConfig)
    except FileNotFoundError as error:
        raise ModelError(f"{folder} has no {CONFIG}; give the folder that PEFT saved") from error
    except (OSError, msgspec.DecodeError) as error:
        raise ModelError(f"{path} cannot be used: {error}") from error
    refused = {
        f"peft_type {config.peft_type}": config.peft_type != "LORA",
        "use_dora": config.use_dora,
        f"bias {config.bias!r}": config.bias != "none",
        "fan_in_fan_out": config.fan_in_fan_out,
        "modules_to_save": bool(config.modules_to_save),
        "rank_pattern or alpha_pattern": bool(config.rank_pattern or config.alpha_pattern),
    }
    found = [what for what, there in refused.items() if there]
    if found:
        raise ModelError(f"the adapter in {folder} has {', '.join(found)}; only plain LoRA can be merged")
    return config
