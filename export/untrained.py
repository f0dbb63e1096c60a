"""Generators with the weights that PyTorch starts with: what can be measured of a network before it is trained."""

from ..runtime.metadata import Direction
from ..trainer.checkpoints.checkpoint import LoadedGenerator
from ..trainer.config import TrainConfig
from ..trainer.networks.build import build_generator


def untrained_generator(
    config: TrainConfig, direction: Direction = "AtoB", input_nc: int = 3, output_nc: int = 3
) -> LoadedGenerator:
    """Build the generator of a configuration, in evaluation mode."""
    network = build_generator(config.networks, input_nc, output_nc).eval().requires_grad_(False)
    name = config.networks.generator
    return LoadedGenerator(network, config, direction, "raw", name, None, "0" * 64, input_nc, output_nc)
