"""The real models: equal to the reference token for token, and the same whoever else is in the batch."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline_kit.clock import SystemClock
from trunkline_testkit.models import require_model
from trunkline_worker.batching import BatchConfig, Batcher, next_chunk
from trunkline_worker.catalogue import MINILM, SMOLLM2
from trunkline_worker.convert.precision import Precision
from trunkline_worker.embedding import EmbedConfig, OnnxEncoder
from trunkline_worker.generation import GenerationRequest, SamplingOptions
from trunkline_worker.model_store import open_model, verify
from trunkline_worker.runtimes.onnx import OnnxDecoder, SlotConfig
from trunkline_worker.runtimes.session import SessionConfig
from trunkline_worker.speculation import Costs, Speculation
from trunkline_worker.tokenizer import (
    ChatMessage,
    IncrementalDetokenizer,
    ModelTokenizer,
    read_tokenizer,
    read_tokenizer_config,
)

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "smollm2_greedy.json").read_text(encoding="utf-8"))
CASES = GOLDEN["cases"]
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="session")
def small():
    return open_model(require_model(SMOLLM2.name), SMOLLM2.name)


@pytest.fixture(scope="session")
def codec(small):
    return ModelTokenizer(read_tokenizer(small.path / "tokenizer.json"), read_tokenizer_config(small.path))


def generate(folder, codec, requests, slots):
    """Ids of every request's answer."""
    runtime = OnnxDecoder(folder, SlotConfig(slots=slots, slot_tokens=512), SessionConfig())
    batcher = Batcher(runtime, codec, folder.config.model.eos_ids, BatchConfig(chunk_tokens=32), SystemClock())
    for request in requests:
        batcher.add(request)
    answers = {request.request_id: [] for request in requests}
    while batcher.has_work:
        for delta in batcher.step():
            answers[delta.request_id].extend(delta.token_ids)
    return answers


def golden_requests(**options) -> list[GenerationRequest]:
    sampling = SamplingOptions(temperature=0)
    return [
        GenerationRequest(
            request_id=case["prompt"],
            prompt_ids=tuple(case["prompt_ids"]),
            **{"sampling": sampling, "max_tokens": GOLDEN["new_tokens"]} | options,
        )
        for case in CASES
    ]


def test_the_float32_graph_answers_like_the_reference(codec):
    home = require_model(SMOLLM2.name, Precision.F32)
    folder = open_model(home, SMOLLM2.name, Precision.F32)
    answers = generate(folder, codec, golden_requests(), slots=8)
    assert len(CASES) == 15
    for case in CASES:
        assert answers[case["prompt"]] == case["answer_ids"], case["prompt"]


def test_prompts_have_the_reference_tokens(codec):
    for case in CASES:
        assert codec.encode_chat([ChatMessage(role="user", content=case["prompt"])]) == case["prompt_ids"]


# The model's vocabulary has no token for these bytes of UTF-8: six control characters and the planes 4 to 11, where
# Unicode has assigned nothing. The reference drops them as well.
UNKNOWN = "".join(map(chr, (0x04, 0x06, 0x13, 0x14, 0x16, 0x1D)))
KNOWN = st.characters(codec="utf-8", exclude_characters=UNKNOWN).filter(lambda one: not 0x40000 <= ord(one) < 0xC0000)


@settings(max_examples=200, deadline=None)
@given(text=st.text(KNOWN))
def test_any_text_comes_back(codec, text):
    assert codec.decode(codec.encode(text)) == text


@settings(max_examples=100, deadline=None)
@given(ids=st.lists(st.integers(0, 49151), max_size=40))
def test_pieces_of_any_ids_are_the_whole(codec, ids):
    stream = IncrementalDetokenizer(codec)
    assert "".join(stream.push([token]) for token in ids) + stream.flush() == codec.decode(ids)


def in_company(count, temperature):
    return [
        GenerationRequest(
            request_id=str(index),
            prompt_ids=tuple(case["prompt_ids"]),
            sampling=SamplingOptions(temperature=temperature, top_p=0.95, seed=index),
            max_tokens=8 + 3 * index,
        )
        for index, case in enumerate(CASES[:count])
    ]


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_answers_do_not_depend_on_the_company(small, codec, temperature):
    requests = in_company(12, temperature)
    alone = generate(small, codec, requests, slots=1)
    for slots in (4, 8):
        assert generate(small, codec, requests, slots=slots) == alone


def test_nor_do_they_where_a_lone_row_takes_another_kernel(codec):
    home, requests = require_model(SMOLLM2.name, Precision.Q4), in_company(6, 0.9)
    smaller = open_model(home, SMOLLM2.name, Precision.Q4)
    alone = generate(smaller, codec, requests, slots=1)
    for slots in (2, 4):
        assert generate(smaller, codec, requests, slots=slots) == alone


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_answers_with_kept_prefixes_are_those_without(small, codec, temperature):
    shared = codec.encode("You are a careful assistant. " * 12)
    requests = [
        GenerationRequest(
            request_id=str(index),
            prompt_ids=(*shared[: 20 + 11 * index], *case["prompt_ids"]),
            sampling=SamplingOptions(temperature=temperature, top_p=0.95, seed=index),
            max_tokens=16,
        )
        for index, case in enumerate(CASES[:6])
    ]
    alone = generate(small, codec, requests, slots=1)
    salted = [msgspec.structs.replace(request, cache_salt=b"tenant") for request in requests]
    for slots in (1, 4):
        assert generate(small, codec, salted, slots=slots) == alone


class Tireless(Speculation):
    """Verifies whatever can be drafted, wrong or not."""

    def draft(self, drafter, room_tokens):
        self.costs = Costs(single_s=1.0, draft_s=1e-9)
        return super().draft(drafter, room_tokens)


@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_answers_with_drafts_are_those_without(small, codec, temperature):
    """The answers loop, so a part of the drafts comes true and a part does not."""
    sampling = SamplingOptions(temperature=temperature, top_p=0.95, seed=3)
    words = ("one two three four five six", "def add(a, b):\n    return a + b\n\n\ndef sub(a, b):\n")
    prompts = [tuple(codec.encode(word * 3)) for word in words] + [tuple(CASES[0]["prompt_ids"])]
    runtime = OnnxDecoder(small, SlotConfig(slots=1, slot_tokens=256), SessionConfig())
    for prompt in prompts:
        request = GenerationRequest(request_id="a", prompt_ids=prompt, sampling=sampling, max_tokens=24)
        made = {}
        for speculation in (Speculation(0), Tireless(runtime.verify_tokens)):
            batch = Batcher(runtime, codec, small.config.model.eos_ids, BatchConfig(), SystemClock())
            batch._speculation = speculation
            batch.add(request)
            made[type(speculation)] = []
            while batch.has_work:
                made[type(speculation)] += [token for delta in batch.step() for token in delta.token_ids]
        assert made[Speculation] == made[Tireless]
        assert runtime.verify_tokens == 4


def test_how_a_prompt_is_cut_changes_no_bit(small):
    runtime = OnnxDecoder(small, SlotConfig(slots=1, slot_tokens=256), SessionConfig())
    chance = np.random.default_rng(3)
    ids = chance.integers(100, 40_000, 120).tolist()
    whole = runtime.prefill(0, ids, 0).copy()
    for _ in range(10):
        past = 0
        while past < len(ids):
            size = next_chunk(len(ids) - past, int(chance.integers(3, 65)))
            row = runtime.prefill(0, ids[past : past + size], past)
            past += size
        assert (row == whole).all()


def test_damage_is_found(small):
    assert verify(require_model(SMOLLM2.name), SMOLLM2.name).revision == small.revision


def test_sentences_of_like_meaning_are_near():
    folder = open_model(require_model(MINILM.name), MINILM.name)
    encoder = OnnxEncoder(folder, read_tokenizer(folder.path / "tokenizer.json"), SessionConfig())
    texts = [
        "How do I reset my password?",
        "I forgot my password, how can I change it?",
        "What is the weather like in Paris?",
        "word " * 400,
    ]
    made = encoder.embed(texts, EmbedConfig())
    assert made.vectors.shape == (4, 384)
    assert made.truncated_texts == 1
    near, far = made.vectors[0] @ made.vectors[1], made.vectors[0] @ made.vectors[2]
    assert near > 0.7
    assert far < 0.3
    alone = np.stack([encoder.embed([text], EmbedConfig()).vectors[0] for text in texts])
    assert (alone * made.vectors).sum(axis=1).min() > 0.9999
