"""Batch norms that take each picture's own statistics, as the official code's do when it tests without `--eval`."""

import copy
from dataclasses import replace

from torch import nn

from ...runtime.errors import UsageError
from ...trainer.checkpoints.checkpoint import LoadedGenerator
from .affine_norm import AffineInstanceNorm


def norm_by_picture(generator: LoadedGenerator) -> LoadedGenerator:
    """Return `generator` with an instance norm in the place of every BatchNorm; that one is not changed.

    It does what a BatchNorm in training mode does with a batch of one, for every picture of a batch.

    Raises:
        UsageError: the network has no BatchNorm.
    """
    network = copy.deepcopy(generator.network)
    replaced = False
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, AffineInstanceNorm(child.weight, child.bias, child.eps))
                replaced = True
    if not replaced:
        raise UsageError(f"{generator.name} normalises nothing by batch", about=("batch_norm",))
    return replace(generator, network=network.eval(), batch_norm="picture")
