"""Replace the statistics of each picture by fixed ones, so that no norm is left at run time."""

import copy
from dataclasses import replace
from typing import cast

from torch import nn

from ...runtime.contract import Picture
from ...runtime.errors import UsageError
from ...trainer.checkpoints.checkpoint import LoadedGenerator
from ...trainer.networks.layers import InstanceNorm
from .inference import fold_batch_norms
from .norm_statistics import measure_statistics


def freeze_norms(generator: LoadedGenerator, pictures: Picture) -> LoadedGenerator:
    """Return `generator` with every InstanceNorm folded into the convolution before it; that one is not changed.

    `pictures`, uint8 [N, H, W, C], go through as one batch. Each norm becomes the mean and variance of its channels
    over all of them, as BatchNorm's would be, and what follows it is measured behind these.

    Raises:
        UsageError: the network has no InstanceNorm.
    """
    network = copy.deepcopy(generator.network).eval()
    frozen = [norm for layers in network.modules() if isinstance(layers, nn.Sequential) for norm in _replaced(layers)]
    if not frozen:
        raise UsageError(
            f"{generator.name} normalises nothing by instance; it has no norms to freeze",
            about=("freeze_norm", "calibration"),
        )
    measure_statistics(network, frozen, pictures)
    fold_batch_norms(network)
    networks = generator.config.networks.model_copy(update={"norm": "none", "norm_floor": 0.0})
    config = generator.config.model_copy(update={"networks": networks})
    return replace(generator, network=network.requires_grad_(False), config=config, frozen_norm=True)


def _replaced(layers: nn.Sequential) -> list[nn.BatchNorm2d]:
    """Put a BatchNorm, whose statistics are those of the next batch alone, in the place of every InstanceNorm."""
    made = []
    for index, layer in enumerate(layers):
        if isinstance(layer, InstanceNorm):
            channels = cast(nn.Conv2d | nn.ConvTranspose2d, layers[index - 1]).out_channels
            made.append(nn.BatchNorm2d(channels, InstanceNorm.eps, momentum=1.0, affine=False))
            layers[index] = made[-1]
    return made
