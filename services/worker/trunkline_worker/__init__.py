"""The worker: runs one model on ONNX Runtime and serves it over gRPC."""
