"""Graphs that are not what their description says are refused with the name that does not fit."""

import msgspec
import pytest

from trunkline_kit.errors import ConfigError, ModelError
from trunkline_worker.catalogue import SMOLLM2
from trunkline_worker.convert.folder import convert
from trunkline_worker.convert.precision import Precision
from trunkline_worker.genai_config import DecoderInputs, DecoderOutputs
from trunkline_worker.model_store import open_model
from trunkline_worker.runtimes.kv_cache import CacheShape, CpuKvCache, copy_graph
from trunkline_worker.runtimes.onnx import OnnxDecoder, SlotConfig
from trunkline_worker.runtimes.session import SessionConfig

SLOTS = SlotConfig(slots=1, slot_tokens=64, prefix_bytes=1 << 20)


@pytest.fixture(scope="session")
def folder(tiny_gguf, tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny")
    convert(SMOLLM2, tiny_gguf, Precision.F32, path)
    return open_model(path, f"path:{path}")


def changed(folder, **decoder):
    config = folder.config
    section = msgspec.structs.replace(config.model.decoder, **decoder)
    model = msgspec.structs.replace(config.model, decoder=section)
    return msgspec.structs.replace(folder, config=msgspec.structs.replace(config, model=model))


@pytest.mark.parametrize(
    ("decoder", "text"),
    [
        ({"num_hidden_layers": 3}, r"no input 'past_key_values\.2\.key'"),
        ({"num_hidden_layers": 1}, r"wants an input 'past_key_values\.1\.key'"),
        ({"num_key_value_heads": 7}, r"has the shape .* expected \[batch, 7"),
        ({"inputs": DecoderInputs(position_ids="position_ids")}, "no input 'position_ids'"),
        ({"outputs": DecoderOutputs(logits="scores")}, "no output 'scores'"),
        ({"inputs": DecoderInputs(input_ids="tokens")}, "no input 'tokens'"),
    ],
)
def test_a_wrong_description_is_refused(folder, decoder, text):
    with pytest.raises(ModelError, match=text):
        OnnxDecoder(changed(folder, **decoder), SLOTS, SessionConfig(threads=1))


def test_slots_longer_than_the_context_are_refused(folder):
    with pytest.raises(ConfigError, match=r"slot_tokens is 9999; .* has 512"):
        OnnxDecoder(folder, SlotConfig(slot_tokens=9999), SessionConfig())


def test_an_encoder_cannot_generate(folder):
    model = msgspec.structs.replace(folder.config.model, decoder=None)
    config = msgspec.structs.replace(folder.config, model=model)
    with pytest.raises(ModelError, match="cannot generate"):
        OnnxDecoder(msgspec.structs.replace(folder, config=config), SLOTS, SessionConfig())


def test_the_device_copy_copies_one_slot():
    """The graph that moves slots on a GPU, run on the CPU."""
    import numpy as np
    import onnxruntime

    shape = CacheShape(buffers=1, slots=2, heads=2, tokens=4, head_size=8, half=False)
    session = onnxruntime.InferenceSession(copy_graph(shape), providers=["CPUExecutionProvider"])
    slot = np.random.default_rng(1).random((2, 4, 8), np.float32)
    assert (session.run(None, {"source": slot})[0] == slot).all()


def test_blocks_bring_a_prompt_into_another_slot(folder):
    import numpy as np

    decoder = OnnxDecoder(folder, SlotConfig(slots=2, slot_tokens=64, prefix_bytes=1 << 20), SessionConfig(threads=1))
    assert decoder.blocks == (1 << 20) // (2 * 2 * 2 * 16 * 16 * 4)
    ids = np.random.default_rng(3).integers(0, 200, 40).tolist()
    alone = decoder.prefill(0, ids, 0).copy()
    for block in range(2):
        decoder.keep(0, 16 * block, 5 - block)
    decoder.prefill(0, ids[::-1], 0)
    for block in range(2):
        decoder.restore(5 - block, 1, 16 * block)
    assert (decoder.prefill(1, ids[32:], 32) == alone).all()


def test_slots_are_slices_of_one_buffer():
    cache = CpuKvCache(CacheShape(buffers=2, slots=3, heads=2, tokens=4, head_size=8, half=True))
    assert cache.pointer(1, 2) - cache.pointer(1, 0) == 2 * 2 * 4 * 8 * 2
