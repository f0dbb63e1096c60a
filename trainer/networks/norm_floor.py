"""Instance norms with a floor under the variance, so that a flat picture stays flat.

An InstanceNorm divides a plane by its own deviation, however small that is: the noise of a covered lens comes out of it
as strong as a picture, and the norms that follow keep it so. An absolute floor, a larger eps, is none, because the
convolution before it learns to be larger. This one is relative to what the channel's planes usually vary by.
"""

import math
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from .layers import InstanceNorm

MOMENTUM = 0.01  # of the usual variance, once it has seen a hundred batches


class FlooredInstanceNorm(InstanceNorm):
    """Instance normalisation by √(v + floor·u), times √(1 + floor); v is a plane's variance, u the channel's usual one.

    So a plane of the usual variance comes out with the variance 1, as without a floor. One of a hundredth of the usual
    deviation comes out with √(1/floor + 1) hundredths of a unit, and not with 1. u is the mean over the planes that are
    seen in training, at first of all of them, then with a momentum; in evaluation it is fixed.
    """

    eps = 1.0  # of planes that are scaled so that the floor is 1

    plane_variance: Tensor  # [C], u
    num_batches: Tensor

    def __init__(self, channels: int, floor: float) -> None:
        super().__init__()
        self.floor = floor
        self.register_buffer("plane_variance", torch.zeros(channels))
        self.register_buffer("num_batches", torch.zeros(()))

    @property
    def fused(self) -> None:
        """No kernel computes this norm together with an activation."""
        return

    @property
    def gain(self) -> float:
        """What the normalised planes are multiplied by."""
        return math.sqrt(1 + self.floor)

    @property
    def scale(self) -> Tensor:
        """What each channel is multiplied by before it is normalised, [C]."""
        return (self.floor * self.plane_variance.float() + InstanceNorm.eps).rsqrt()

    def forward(self, x: Tensor) -> Tensor:
        """Normalise every plane of [B, C, H, W]; the result has the input's type."""
        if self.training:
            self.observe(x)
        with torch.autocast(x.device.type, enabled=False):
            return (super().forward(x.float() * self.scale[:, None, None]) * self.gain).to(x.dtype)

    @torch.no_grad()
    def observe(self, x: Tensor) -> None:
        """Take the planes of [B, C, H, W] into the usual variance, unless one of them is not finite."""
        variance = x.float().var((2, 3), correction=0).mean(0)
        sound = variance.isfinite().all()
        self.num_batches.add_(sound)
        share = (1 / self.num_batches.clamp(min=1)).clamp(min=MOMENTUM)
        usual = torch.lerp(self.plane_variance, variance, share)
        self.plane_variance.copy_(torch.where(sound, usual, self.plane_variance))

    def _load_from_state_dict(self, state: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        """Keep what was measured where the weights come from a network without a floor."""
        own = {f"{prefix}{name}": buffer for name, buffer in self.named_buffers()}
        super()._load_from_state_dict(own | dict(state), prefix, *rest)


def floor_norms(network: nn.Module, floor: float) -> list[FlooredInstanceNorm]:
    """Put a floor under every InstanceNorm of a network, behind its convolution; returns the new norms."""
    made = []
    for layers in [module for module in network.modules() if isinstance(module, nn.Sequential)]:
        for index, layer in enumerate(layers):
            if type(layer) is InstanceNorm:
                channels = cast(nn.Conv2d | nn.ConvTranspose2d, layers[index - 1]).out_channels
                made.append(FlooredInstanceNorm(channels, floor))
                layers[index] = made[-1]
    return made
