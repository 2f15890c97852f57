"""Makes tests/golden/decoders.json: the logits that transformers computes for tiny decoders of every family we convert.

Not part of the tests, which only read the file. It needs torch and transformers in an environment of its own, where
this repository's libs/testkit is on the path as well:

    pip install torch==2.13.0 transformers==5.24.0 gguf==0.19.0
    PYTHONPATH=libs/testkit python tools/make_decoder_golden.py tests/golden/decoders.json
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import transformers

from trunkline_testkit.tiny_decoders import write_tiny_decoder

PROMPT = [1, 17, 40, 3, 58, 22, 9, 63, 31, 5, 44, 12, 50, 27, 8, 36, 61, 2, 19, 47]
KEPT = 8
"""Logits are kept after this many tokens and after each further one."""
BASE: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 64,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
    "hidden_act": "silu",
    "bos_token_id": 1,
    "eos_token_id": 2,
}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
CASES: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama", "rope_theta": 10000.0},
    "llama-tied-biased": {
        "model_type": "llama",
        "rope_theta": 500.0,
        "tie_word_embeddings": True,
        "attention_bias": True,
        "mlp_bias": True,
    },
    "llama3-rope": {"model_type": "llama", "rope_theta": 500000.0, "rope_scaling": LLAMA3, "tie_word_embeddings": True},
    "llama-linear-rope": {
        "model_type": "llama",
        "rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1000.0},
    },
    "mistral": {"model_type": "mistral", "head_dim": 32, "rope_theta": 1e6, "sliding_window": None},
    "mistral-window": {"model_type": "mistral", "rope_theta": 1e4, "sliding_window": 6},
    "qwen2": {
        "model_type": "qwen2",
        "rope_theta": 1e6,
        "tie_word_embeddings": True,
        "use_sliding_window": False,
        "sliding_window": 32,
    },
    "qwen3": {
        "model_type": "qwen3",
        "head_dim": 32,
        "rope_theta": 1e6,
        "tie_word_embeddings": True,
        "rms_norm_eps": 1e-6,
    },
    "qwen3-untied": {"model_type": "qwen3", "head_dim": 16, "rope_theta": 1e4},
}


def logits_of(config: dict[str, Any], seed: int) -> list[list[float]]:
    with tempfile.TemporaryDirectory() as folder:
        write_tiny_decoder(config, seed, Path(folder))
        model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager"
        ).eval()
        with torch.no_grad():
            rows = model(torch.tensor([PROMPT])).logits[0]
    return [[round(value, 5) for value in row] for row in rows[KEPT - 1 :].tolist()]


def main() -> int:
    cases = []
    for seed, (name, family) in enumerate(CASES.items(), start=1):
        config = BASE | family
        cases.append({"name": name, "seed": seed, "config": config, "logits": logits_of(config, seed)})
    reference = f"transformers {transformers.__version__}, torch {torch.__version__}, float32, eager attention"
    body = {"reference": reference, "prompt_ids": PROMPT, "kept_after": KEPT, "cases": cases}
    Path(sys.argv[1]).write_text(json.dumps(body, separators=(",", ":")).replace('{"name"', '\n{"name"') + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
