"""Every family that can be converted, against the logits that its own makers' library computes.

The same made-up weights come as safetensors and as GGUF; both must give the reference's logits, whole and step by step.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from trunkline_testkit.tiny_decoders import write_tiny_decoder, write_tiny_gguf
from trunkline_worker.convert.decoder import build_decoder
from trunkline_worker.convert.folder import _decoder_description
from trunkline_worker.convert.precision import Precision
from trunkline_worker.convert.sources import Manners, open_source
from trunkline_worker.genai_config import GenaiConfig, write_genai_config
from trunkline_worker.model_store import open_model
from trunkline_worker.runtimes.onnx import OnnxDecoder, SlotConfig
from trunkline_worker.runtimes.session import SessionConfig

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "decoders.json").read_text(encoding="utf-8"))
IDS, KEPT, CASES = GOLDEN["prompt_ids"], GOLDEN["kept_after"], {case["name"]: case for case in GOLDEN["cases"]}
TOLERANCE = 1e-4
"""The golden numbers are rounded to 1e-5."""


def decoder_of(source: Path, folder: Path, precision: Precision = Precision.F32) -> OnnxDecoder:
    weights = open_source(source).weights
    build_decoder(weights, precision).save(folder)
    write_genai_config(GenaiConfig(model=_decoder_description(weights.shape(), Manners(eos_ids=(2,)))), folder)
    (folder / "tokenizer.json").write_text("{}")
    slots = SlotConfig(slots=2, slot_tokens=64, prefix_bytes=0)
    return OnnxDecoder(open_model(folder, f"path:{folder}"), slots, SessionConfig(threads=1))


def made(name: str, form: str, folder: Path) -> Path:
    case = CASES[name]
    if form == "safetensors":
        return write_tiny_decoder(case["config"], case["seed"], folder / "source")
    return write_tiny_gguf(case["config"], case["seed"], folder / "source.gguf")


@pytest.mark.parametrize("form", ["safetensors", "gguf"])
@pytest.mark.parametrize("name", list(CASES))
def test_the_reference_logits(name, form, tmp_path):
    decoder = decoder_of(made(name, form, tmp_path), tmp_path)
    expected = np.array(CASES[name]["logits"])
    decoder.prefill(0, IDS[:3], 0)
    assert np.abs(decoder.prefill(0, IDS[3:KEPT], 3) - expected[0]).max() < TOLERANCE
    for length in range(KEPT + 1, len(IDS) + 1):
        row = decoder.decode([IDS[length - 1]], [length])[0]
        assert np.abs(row - expected[length - KEPT]).max() < TOLERANCE
    assert np.abs(decoder.prefill(1, IDS, 0) - expected[-1]).max() < TOLERANCE


@pytest.mark.parametrize("precision", [Precision.Q8, Precision.Q4, Precision.F16])
@pytest.mark.parametrize("name", ["llama-tied-biased", "mistral", "qwen2", "qwen3", "qwen3-untied"])
def test_rounded_weights_are_near_the_reference(name, precision, tmp_path):
    decoder = decoder_of(made(name, "safetensors", tmp_path), tmp_path, precision)
    least = 0.9 if precision is Precision.Q4 else 0.995
    assert np.corrcoef(decoder.prefill(0, IDS, 0), CASES[name]["logits"][-1])[0, 1] > least
