"""Be one of two processes of a training run, each on a GPU of its own; what goes between them goes over gloo."""

import sys

import torch.distributed as dist
from pretended import tell

from cyclegan_edge.cli import main
from cyclegan_edge.trainer import distributed

assert distributed.dist is dist
initialise = dist.init_process_group


def over_gloo(backend: str) -> None:
    """Join as the product asks to, but for NCCL, which needs true GPUs."""
    tell(backend=backend)
    initialise("gloo")


dist.init_process_group = over_gloo
main(sys.argv[1:])
