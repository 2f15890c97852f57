"""The classifier's graph against the equations, written here once more in numpy.

The weights are random: no package carries those of a real cross-encoder.
"""

import math

import numpy as np
import pytest
from safetensors.numpy import load_file

from trunkline_kit.errors import ModelError
from trunkline_worker.catalogue import ModelKind
from trunkline_worker.classifying import OnnxClassifier
from trunkline_worker.convert.classifier import build_classifier, convert_classifier, is_classifier_folder
from trunkline_worker.convert.encoder import BertWeights
from trunkline_worker.convert.folder import convert_own
from trunkline_worker.convert.origin import Origin
from trunkline_worker.convert.precision import Precision
from trunkline_worker.genai_config import Activation
from trunkline_worker.model_store import list_models, open_model
from trunkline_worker.own_models import own_model
from trunkline_worker.prepare import prepare_own
from trunkline_worker.runtimes.session import SessionConfig
from trunkline_worker.texts import TokenRow
from trunkline_worker.tokenizer import read_tokenizer

ROWS = [TokenRow([2, 5, 9, 3, 7, 8, 6, 3], 4), TokenRow([2, 11, 3], 0), TokenRow([2, 5, 3, 30, 31, 3], 3)]
HEADS = 4


def opened(source, tmp_path, precision=Precision.F32) -> OnnxClassifier:
    convert_classifier(source, precision, tmp_path)
    folder = open_model(tmp_path, f"path:{tmp_path}")
    assert folder.kind is ModelKind.CLASSIFY
    return OnnxClassifier(folder, read_tokenizer(tmp_path / "tokenizer.json"), SessionConfig(threads=1))


@pytest.mark.parametrize("labels", [1, 3])
def test_float32_is_the_equations(tiny_classifier, tmp_path, labels):
    source = tiny_classifier(labels)
    made = opened(source, tmp_path).run(ROWS)
    logits = np.stack([reference(source, row) for row in ROWS])
    expected = 1 / (1 + np.exp(-logits)) if labels == 1 else np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(made, expected, atol=1e-5)


@pytest.mark.parametrize("precision", [Precision.Q8, Precision.F16])
def test_other_precisions_are_near_and_company_changes_nothing(tiny_classifier, tmp_path, precision):
    source = tiny_classifier(2)
    model = opened(source, tmp_path, precision)
    made = model.run(ROWS)
    logits = np.stack([reference(source, row) for row in ROWS])
    np.testing.assert_allclose(made, np.exp(logits) / np.exp(logits).sum(-1, keepdims=True), atol=0.05)
    alone = np.concatenate([model.run([row]) for row in ROWS])
    np.testing.assert_allclose(made, alone, atol=5e-3 if precision is Precision.F16 else 1e-5)


def test_labels_and_what_they_mean(tiny_classifier, tmp_path):
    heading = {"id2label": {"0": "bad", "1": "good"}, "problem_type": "multi_label_classification"}
    model = opened(tiny_classifier(3, **heading), tmp_path)
    assert model.labels == ("bad", "good", "LABEL_2")
    assert model._classifier.activation is Activation.SIGMOID
    assert model.max_tokens == 64


def test_other_models_are_refused(tiny_bert, tmp_path):
    assert not is_classifier_folder(tiny_bert)
    assert not is_classifier_folder(tmp_path)
    with pytest.raises(ModelError, match=r"no classifier\.weight"):
        convert_classifier(tiny_bert, Precision.Q8, tmp_path)
    with pytest.raises(ModelError, match="no tensor 'pooler"):
        build_classifier(BertWeights(tiny_bert), Precision.F32)


def test_one_of_ones_own_is_prepared_and_listed(tiny_classifier, tmp_path):
    source = tiny_classifier(1, architectures=["BertForSequenceClassification"])
    folder = prepare_own(own_model(str(source), "mine", ()), tmp_path, variant=Precision.Q8)
    assert (folder.name, folder.kind) == ("mine", ModelKind.CLASSIFY)
    assert [(one.name, one.kind, one.problem) for one in list_models(tmp_path)] == [("mine", ModelKind.CLASSIFY, "")]
    assert open_model(tmp_path, "mine").revision == folder.revision
    origin = Origin(name="mine", source=source, adapters=(source,))
    with pytest.raises(ModelError, match="is a classifier"):
        convert_own(origin, Precision.Q8, tmp_path)


def reference(folder, row: TokenRow):
    """Logits of BertForSequenceClassification (Devlin et al., 2018): tanh pooler over the first position, one layer."""
    w = {name.removeprefix("bert."): tensor for name, tensor in load_file(folder / "model.safetensors").items()}
    types = [int(bool(row.second) and place >= row.second) for place in range(len(row.ids))]
    x = w["embeddings.word_embeddings.weight"][list(row.ids)]
    x = (
        x
        + w["embeddings.position_embeddings.weight"][: len(types)]
        + w["embeddings.token_type_embeddings.weight"][types]
    )
    x = _norm(x, w, "embeddings.LayerNorm")
    for layer in range(2):
        at = f"encoder.layer.{layer}."
        parts = [_linear(x, w, f"{at}attention.self.{part}") for part in ("query", "key", "value")]
        q, k, v = (part.reshape(len(types), HEADS, -1).swapaxes(0, 1) for part in parts)
        shares = np.exp(q @ k.swapaxes(1, 2) / math.sqrt(q.shape[-1]))
        mixed = (shares / shares.sum(-1, keepdims=True) @ v).swapaxes(0, 1).reshape(len(types), -1)
        x = _norm(x + _linear(mixed, w, f"{at}attention.output.dense"), w, f"{at}attention.output.LayerNorm")
        wide = _linear(x, w, f"{at}intermediate.dense")
        wide = wide * 0.5 * (1 + np.vectorize(math.erf)(wide / math.sqrt(2)))
        x = _norm(x + _linear(wide, w, f"{at}output.dense"), w, f"{at}output.LayerNorm")
    return _linear(np.tanh(_linear(x[0], w, "pooler.dense")), w, "classifier")


def _linear(x, w, name):
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def _norm(x, w, name):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12) * w[f"{name}.weight"] + w[f"{name}.bias"]
