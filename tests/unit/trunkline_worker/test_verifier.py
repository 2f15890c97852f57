"""A run over several tokens says what decoding them one by one says, bit for bit."""

import msgspec
import numpy as np
import onnx
import pytest

from trunkline_worker.catalogue import SMOLLM2
from trunkline_worker.convert.folder import convert
from trunkline_worker.convert.precision import Precision
from trunkline_worker.genai_config import DecoderInputs
from trunkline_worker.model_store import open_model
from trunkline_worker.runtimes.onnx import OnnxDecoder, SlotConfig
from trunkline_worker.runtimes.session import Device, SessionConfig
from trunkline_worker.runtimes.verifier import VERIFY_TOKENS, open_verifier
from trunkline_worker.runtimes.verify_graph import present_name, verifying

ONE_THREAD = SessionConfig(threads=1)
SLOTS = SlotConfig(slots=2, slot_tokens=64, prefix_bytes=0)
PROMPT = [7, 90, 33, 200, 5, 61, 61, 8]


VARIANTS = [Precision.Q8, Precision.F16, Precision.F32]


@pytest.fixture(scope="session", params=VARIANTS, ids=lambda precision: precision.value)
def folder(request, tiny_gguf, tmp_path_factory):
    path = tmp_path_factory.mktemp(f"verify-{request.param.value}")
    convert(SMOLLM2, tiny_gguf, request.param, path)
    return open_model(path, f"path:{path}")


def test_it_is_decoding_bit_for_bit(folder):
    decoder = OnnxDecoder(folder, SLOTS, ONE_THREAD)
    assert decoder.verify_tokens == VERIFY_TOKENS
    ids = np.random.default_rng(5).integers(0, 200, 3 * VERIFY_TOKENS).tolist()
    decoder.prefill(0, PROMPT, 0)
    expected = [decoder.decode([token], [len(PROMPT) + place + 1])[0].copy() for place, token in enumerate(ids)]
    decoder.prefill(0, PROMPT, 0)
    found = []
    for begin in range(0, len(ids), VERIFY_TOKENS):
        found += [*decoder.verify(ids[begin : begin + VERIFY_TOKENS], len(PROMPT) + begin).copy()]
    assert (np.array(found) == np.array(expected)).all()


def test_it_is_not_used_where_kernels_round_apart(folder):
    decoder = OnnxDecoder(folder, SLOTS, ONE_THREAD)
    assert decoder._verifier.agrees(decoder._copied)
    assert not decoder._verifier.agrees(lambda ids, lengths: decoder._copied(ids, lengths) + np.float32(1e-3))


def test_what_was_drafted_wrongly_is_forgotten(folder):
    decoder = OnnxDecoder(folder, SLOTS, ONE_THREAD)
    decoder.prefill(0, PROMPT, 0)
    expected = decoder.decode([3], [9])[0].copy(), decoder.decode([4], [10])[0].copy()
    decoder.prefill(0, PROMPT, 0)
    assert (decoder.verify([3, 99, 98, 97], 8)[0] == expected[0]).all()
    assert (decoder.decode([4], [10])[0] == expected[1]).all()


def test_other_graphs_and_devices_have_none(folder):
    decoder = folder.config.model.decoder
    plain = onnx.load(str(folder.path / "model.onnx"), load_external_data=False)
    turned = msgspec.structs.replace(decoder, inputs=DecoderInputs(position_ids="position_ids"))
    assert verifying(plain, turned, 4) is None
    assert verifying(plain, msgspec.structs.replace(decoder, num_hidden_layers=3), 4) is None
    for node in plain.graph.node:
        if node.op_type == "Gather" and node.output[0] == "last_hidden":
            node.op_type = "Other"
    assert verifying(plain, decoder, 4) is None
    off = OnnxDecoder(folder, msgspec.structs.replace(SLOTS, speculation=False), ONE_THREAD)
    assert off.verify_tokens == 0
    assert open_verifier(folder, None, None, SessionConfig(device=Device.CUDA)) is None


def test_every_step_of_the_chain_can_be_bound(folder):
    plain = onnx.load(str(folder.path / "model.onnx"), load_external_data=False)
    graph = verifying(plain, folder.config.model.decoder, 3)
    names = {value.name for value in graph.graph.output}
    assert names == {"logits"} | {
        present_name(f"present.{layer}.{part}", place)
        for layer in range(2)
        for part in ("key", "value")
        for place in range(3)
    }
