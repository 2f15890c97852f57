import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto

from trunkline_kit.errors import ModelError
from trunkline_worker.convert.graph import GraphBuilder
from trunkline_worker.convert.precision import BLOCK, Precision, quantise_to_four_bits, restore_four_bits

X = np.random.default_rng(3).standard_normal((2, 4, 2 * BLOCK)).astype(np.float32)
WEIGHT = np.random.default_rng(4).standard_normal((6, 2 * BLOCK)).astype(np.float32)
BIAS = np.arange(6, dtype=np.float32)


def run(folder, precision, bias=None):
    """x @ weight.T + bias by a graph of one layer."""
    graph = GraphBuilder("one", precision)
    graph.input("x", graph.float_type, ["batch", "sequence", WEIGHT.shape[1]])
    graph.node("Identity", [graph.linear("x", "layer", WEIGHT, bias)], "y")
    graph.output("y", graph.float_type, ["batch", "sequence", WEIGHT.shape[0]])
    graph.save(folder)
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    element = np.float16 if precision is Precision.F16 else np.float32
    return session.run(None, {"x": X.astype(element)})[0].astype(np.float32)


@pytest.mark.parametrize("bias", [None, BIAS])
@pytest.mark.parametrize(
    ("precision", "tolerance"), [(Precision.F32, 1e-5), (Precision.F16, 0.05), (Precision.Q8, 0.3), (Precision.Q4, 0.3)]
)
def test_a_layer_at_every_precision(tmp_path, precision, tolerance, bias):
    stored = restore_four_bits(quantise_to_four_bits(WEIGHT)) if precision is Precision.Q4 else WEIGHT
    expected = X @ stored.T + (0 if bias is None else bias)
    np.testing.assert_allclose(run(tmp_path, precision, bias), expected, atol=tolerance)


def test_large_constants_are_beside_the_graph(tmp_path):
    run(tmp_path, Precision.F32)
    assert (tmp_path / "model.onnx.data").stat().st_size >= WEIGHT.nbytes
    assert (tmp_path / "model.onnx").stat().st_size < WEIGHT.nbytes
    onnx.checker.check_model(str(tmp_path / "model.onnx"))


def test_constants_are_made_once_and_halved_where_asked():
    graph = GraphBuilder("one", Precision.F16)
    assert graph.integers(1, 2) == graph.integers(1, 2)
    graph.constant("a", np.ones(2, np.float32))
    graph.constant("a", np.zeros(2, np.float32))
    kept = graph._constants["a"]
    assert kept.data_type == TensorProto.FLOAT16
    assert onnx.numpy_helper.to_array(kept).tolist() == [1, 1]


def test_rows_that_are_no_blocks_are_refused():
    graph = GraphBuilder("one", Precision.Q8)
    with pytest.raises(ModelError, match="rows of 33 weights, which is no multiple of 32; use the variant f32"):
        graph.linear("x", "layer", np.ones((2, 33), np.float32))


def test_of_four_bits_the_fine_ones_have_eight():
    graph = GraphBuilder("one", Precision.Q4)
    graph.linear("x", "layer", WEIGHT, fine=True)
    (bits,) = [one.i for node in graph._nodes for one in node.attribute if one.name == "bits"]
    assert bits == 8
