"""Training in PyTorch: data, networks, losses, one step, the loop, checkpoints."""
