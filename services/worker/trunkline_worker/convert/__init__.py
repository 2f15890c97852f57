"""From published weights to ONNX graphs, with numpy and onnx alone."""
