"""Batch norms that take each picture's own statistics, as the official code's do when it tests without `--eval`."""

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...runtime.errors import UsageError
from ...trainer.checkpoints.checkpoint import LoadedGenerator


class PictureNorm(nn.Module):
    """What a BatchNorm in training mode makes of a batch of one, for every picture of a batch; computed in FP32."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise every plane of [B, C, H, W]; the result has the input's type."""
        with torch.autocast(x.device.type, enabled=False):
            normal = F.instance_norm(x.float(), weight=self.weight.float(), bias=self.bias.float(), eps=self.eps)
        return normal.to(x.dtype)


def norm_by_picture(generator: LoadedGenerator) -> LoadedGenerator:
    """Return `generator` with a PictureNorm in the place of every BatchNorm; which is not changed.

    Raises:
        UsageError: the network has no BatchNorm.
    """
    network = copy.deepcopy(generator.network)
    replaced = False
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, PictureNorm(child))
                replaced = True
    if not replaced:
        raise UsageError(f"{generator.name} normalises nothing by batch", about=("batch_norm",))
    return replace(generator, network=network.eval(), batch_norm="picture")
