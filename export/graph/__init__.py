"""A generator becomes a graph: what is traced, and the ONNX file that comes of it."""
