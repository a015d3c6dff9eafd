"""The training engine: layers with explicit forward and backward passes, channels last, on numpy arrays."""
