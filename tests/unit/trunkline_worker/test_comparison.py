"""What rounding costs: laws of the measure, and a whole comparison of a tiny model."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from trunkline_kit.errors import ModelError
from trunkline_worker.catalogue import SMOLLM2
from trunkline_worker.comparison import compare, log_shares, loss_of, passages, read
from trunkline_worker.convert.folder import convert
from trunkline_worker.convert.precision import Precision
from trunkline_worker.model_store import ModelFolder, open_model, variant_folder
from trunkline_worker.runtimes.onnx import OnnxDecoder, SlotConfig
from trunkline_worker.runtimes.session import SessionConfig

logits = arrays(np.float32, (5, 7), elements=st.floats(-20, 20, width=32))
ids = st.lists(st.integers(0, 6), min_size=5, max_size=5)


@pytest.fixture(scope="session")
def folders(tiny_gguf, tmp_path_factory) -> dict[Precision, ModelFolder]:
    home = tmp_path_factory.mktemp("home")
    for precision in (Precision.F32, Precision.Q8, Precision.Q4):
        folder = variant_folder(home, SMOLLM2, precision)
        folder.mkdir(parents=True)
        convert(SMOLLM2, tiny_gguf, precision, folder)
    return {one: open_model(home, SMOLLM2.name, one) for one in (Precision.F32, Precision.Q8, Precision.Q4)}


@given(logits, ids)
def test_a_model_does_not_differ_from_itself(one, following):
    loss = loss_of([one], [one], [following])
    assert (loss.divergence_nats, loss.same_choice) == (0, 1)
    assert loss.perplexity >= 1


@given(logits, logits, ids)
def test_divergence_is_never_negative_and_blind_to_shifts(one, other, following):
    loss = loss_of([one], [other], [following])
    shifted = loss_of([one + 3], [other - 2], [following])
    assert loss.divergence_nats >= 0
    assert shifted.divergence_nats == pytest.approx(loss.divergence_nats, abs=1e-4)
    assert 0 <= loss.same_choice <= 1


@given(logits)
def test_shares_are_shares(one):
    np.testing.assert_allclose(np.exp(log_shares(one)).sum(axis=-1), 1)


def test_knowing_nothing_is_as_bad_as_guessing():
    even = np.zeros((4, 16), np.float32)
    assert loss_of([even], [even], [[0, 1, 2, 3]]).perplexity == pytest.approx(16)
    sure = np.zeros((1, 2), np.float32)
    sure[0, 0] = np.log(3)
    # p = (3/4, 1/4) against (1/2, 1/2).
    expected = 0.75 * np.log(1.5) + 0.25 * np.log(0.5)
    assert loss_of([sure], [np.zeros((1, 2), np.float32)], [[0]]).divergence_nats == pytest.approx(expected)


def test_the_text_is_some_hundreds_of_words():
    texts = passages()
    assert len(texts) == 4
    assert all(len(text.split()) > 60 for text in texts)
    assert "def median" in texts[3]


def test_passages_of_any_length_are_read_side_by_side(folders):
    decoder = OnnxDecoder(folders[Precision.F32], SlotConfig(slots=3, slot_tokens=64), SessionConfig(threads=1))
    ids = [[5, 6, 7], [9, 10, 11, 12, 13, 14], [20, 21]]
    told = []
    found = read(decoder, ids, told.append)
    assert [one.shape[0] for one in found] == [2, 5, 1]
    assert told == [1, 2, 3, 4, 5]
    for one, rows in zip(ids, found, strict=True):
        alone = decoder.prefill(0, one[:-1], 0)
        np.testing.assert_allclose(rows[-1], alone, atol=1e-3)


def test_a_comparison(folders):
    told = []
    reference, *others = folders.values()
    lines = compare(
        reference,
        others,
        ["some text to read", "and more of it"],
        SessionConfig(threads=1),
        lambda *one: told.append(one),
    )
    assert [line.variant for line in lines] == ["f32", "q8", "q4"]
    exact, eight, four = lines
    assert (exact.divergence_nats, exact.same_choice) == (0, 1)
    assert 0 < eight.divergence_nats < four.divergence_nats
    assert exact.size_bytes > eight.size_bytes
    assert all(line.tokens_per_s > 0 and line.load_s > 0 and line.tokens == exact.tokens for line in lines)
    assert {variant for variant, _, _ in told} == {"f32", "q8", "q4"}
    for variant in ("f32", "q8", "q4"):
        steps = [(done, total) for name, done, total in told if name == variant]
        assert [done for done, _ in steps] == list(range(1, steps[0][1] + 1))


def test_nothing_to_read(folders):
    with pytest.raises(ModelError, match="must have two tokens"):
        compare(folders[Precision.F32], [], [""], SessionConfig(), lambda *_: None)
