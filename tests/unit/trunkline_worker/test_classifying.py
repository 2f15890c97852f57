"""The classifier as its callers see it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_kit.clock import ManualClock
from trunkline_kit.errors import InvalidRequest, ModelError, Overloaded, Unsupported
from trunkline_worker.classifying import OnnxClassifier, open_classifier, scores
from trunkline_worker.convert.classifier import convert_classifier
from trunkline_worker.convert.precision import Precision
from trunkline_worker.embedding import EmbedConfig
from trunkline_worker.genai_config import Activation
from trunkline_worker.model_store import open_model
from trunkline_worker.runtimes.session import SessionConfig
from trunkline_worker.tokenizer import read_tokenizer


@pytest.fixture
def make(tiny_classifier, tmp_path):
    def made(labels: int) -> OnnxClassifier:
        convert_classifier(tiny_classifier(labels), Precision.F32, tmp_path)
        folder = open_model(tmp_path, f"path:{tmp_path}")
        return OnnxClassifier(folder, read_tokenizer(tmp_path / "tokenizer.json"), SessionConfig(threads=1))

    return made


numbers = st.lists(st.floats(-500, 500, width=32), min_size=1, max_size=6)


@given(numbers)
def test_scores_are_probabilities_in_the_order_of_the_logits(logits):
    row = np.array([logits], np.float32)
    for activation in Activation:
        made = scores(row, activation)[0]
        assert np.isfinite(made).all()
        assert (made >= 0).all()
        assert (made <= 1).all()
        assert (np.diff(made[np.argsort(row[0])]) >= 0).all()
    assert scores(row, Activation.SOFTMAX).sum() == pytest.approx(1, abs=1e-5)


async def test_documents_are_scored_with_the_query(make):
    model = make(1)
    async with open_classifier(model, EmbedConfig(), ManualClock()) as classifier:
        documents = ["b c", "d e f g", "", "a " * 200]
        made = await classifier.rerank("a b", documents)
        assert made.scores.shape == (4, 1)
        assert made.truncated == 1
        alone = [(await classifier.rerank("a b", [document])).scores[0, 0] for document in documents]
        np.testing.assert_allclose(made.scores[:, 0], alone, atol=1e-5)
        assert (await classifier.rerank("z z z", documents)).scores.tolist() != made.scores.tolist()
        with pytest.raises(InvalidRequest, match="1 to 2048"):
            await classifier.rerank("a", [])


async def test_a_model_of_several_labels_classifies_and_does_not_rerank(make):
    async with open_classifier(make(3), EmbedConfig(), ManualClock()) as classifier:
        made = await classifier.classify(["a", "b c"])
        np.testing.assert_allclose(made.scores.sum(axis=1), 1, atol=1e-5)
        assert made.prompt_tokens == 3 + 4
        with pytest.raises(Unsupported, match="3 labels"):
            await classifier.rerank("a", ["b"])
    async with open_classifier(make(3), EmbedConfig(max_waiting=0), ManualClock()) as classifier:
        with pytest.raises(Overloaded):
            await classifier.classify(["a"])


def test_another_model_is_refused(make, tiny_bert):
    import msgspec

    model = make(1)
    folder = open_model(None, f"path:{model_path(model)}")
    config = msgspec.structs.replace(folder.config, model=msgspec.structs.replace(folder.config.model, classifier=None))
    with pytest.raises(ModelError, match="no classifier"):
        OnnxClassifier(msgspec.structs.replace(folder, config=config), None, SessionConfig())


def model_path(model: OnnxClassifier) -> str:
    return str(model._session._model_path).removesuffix("/model.onnx")
