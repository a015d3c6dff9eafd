"""Other people's files: ONNX, SCALE-Sim, saved weights."""
