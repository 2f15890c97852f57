"""What runs a model: ONNX Runtime, and a deterministic fake with the same interface."""
