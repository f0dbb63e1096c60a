"""A floor under the variance that instance norms divide by: for weights that were trained without one, and traced."""

import copy
from dataclasses import replace

import torch
from torch import nn

from ...runtime.contract import Picture
from ...runtime.errors import UsageError
from ...trainer.checkpoints.checkpoint import LoadedGenerator
from ...trainer.networks.norm_floor import FlooredInstanceNorm, floor_norms
from .affine_norm import AffineInstanceNorm
from .norm_statistics import measure_statistics


def floor_generator(generator: LoadedGenerator, pictures: Picture, floor: float) -> LoadedGenerator:
    """Return `generator` with a floor under the variance of every InstanceNorm; that one is not changed.

    What a channel's planes usually vary by is measured on `pictures`, uint8 [N, H, W, C], which go through as one
    batch; see `FlooredInstanceNorm`.

    Raises:
        UsageError: the network has no InstanceNorm, or was trained with a floor.
    """
    if trained := generator.config.networks.norm_floor:
        raise UsageError(
            f"{generator.name} was trained with norm_floor={trained:g}, which its file has anyway; leave it out",
            about=("norm_floor",),
        )
    network = copy.deepcopy(generator.network).eval()
    norms = floor_norms(network, floor)
    if not norms:
        raise UsageError(
            f"{generator.name} normalises nothing by instance; it has no norms to put a floor under",
            about=("norm_floor", "calibration"),
        )
    measure_statistics(network, norms, pictures)
    networks = generator.config.networks.model_copy(update={"norm_floor": floor})
    config = generator.config.model_copy(update={"networks": networks})
    return replace(generator, network=network.requires_grad_(False), config=config)


@torch.no_grad()
def fold_norm_floors(network: nn.Module) -> None:
    """Scale the convolution before every floored norm so that one eps is the floor of all channels.

    What is left is ONNX's InstanceNormalization, which every engine has: a floor costs no time.
    """
    for layers in [module for module in network.modules() if isinstance(module, nn.Sequential)]:
        for index, norm in enumerate(layers):
            if not isinstance(norm, FlooredInstanceNorm):
                continue
            convolution, scale = layers[index - 1], norm.scale
            assert isinstance(convolution, nn.Conv2d | nn.ConvTranspose2d)
            outputs = 1 if isinstance(convolution, nn.ConvTranspose2d) else 0
            convolution.weight.mul_(scale.view([-1 if side == outputs else 1 for side in range(4)]))
            if convolution.bias is not None:
                convolution.bias.mul_(scale)
            layers[index] = AffineInstanceNorm(torch.full_like(scale, norm.gain), torch.zeros_like(scale), norm.eps)
