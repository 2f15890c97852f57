import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto

from trunkline_worker.convert.graph import GraphBuilder
from trunkline_worker.convert.precision import BLOCK, Precision

X = np.random.default_rng(3).standard_normal((4, 2 * BLOCK)).astype(np.float32)
WEIGHT = np.random.default_rng(4).standard_normal((6, 2 * BLOCK)).astype(np.float32)
BIAS = np.arange(6, dtype=np.float32)


def run(folder, precision, bias=None):
    """x @ weight.T + bias by a graph of one layer."""
    graph = GraphBuilder("one", precision)
    graph.input("x", graph.float_type, ["batch", WEIGHT.shape[1]])
    graph.node("Identity", [graph.linear("x", "layer", WEIGHT, bias)], "y")
    graph.output("y", graph.float_type, ["batch", WEIGHT.shape[0]])
    graph.save(folder)
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    element = np.float16 if precision is Precision.F16 else np.float32
    return session.run(None, {"x": X.astype(element)})[0].astype(np.float32)


@pytest.mark.parametrize("bias", [None, BIAS])
@pytest.mark.parametrize(
    ("precision", "tolerance"), [(Precision.F32, 1e-5), (Precision.F16, 0.05), (Precision.Q8, 0.3)]
)
def test_a_layer_at_every_precision(tmp_path, precision, tolerance, bias):
    expected = X @ WEIGHT.T + (0 if bias is None else bias)
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
