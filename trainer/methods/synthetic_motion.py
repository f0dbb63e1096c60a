"""Smooth random motion, which makes two frames of a film out of a still: what a temporal loss needs.

Translating must then go with the motion: the moved picture's translation is the translation, moved by the same flow.
Eilertsen et al., "Single-frame Regularization for Temporally Stable CNNs" (CVPR 2019); with synthetic flow for an
unpaired translation, Wang et al., "Learning Temporally and Semantically Consistent Unpaired Video-to-video Translation
Through Pseudo-Supervision From Synthetic Optical Flow" (AAAI 2022).
"""

import torch
from torch import Tensor
from torch.nn import functional as F

# Standard deviations: of a shift of the whole picture and of its bending, in shares of a side; of a sensor's noise, on
# pictures in [-1, 1], where it is 2.5 steps of 8 bits.
SHIFT = 1 / 64
BEND = 1 / 256
NOISE = 0.02
COARSE = 4  # bends on a side
NUM_DRAWS = 1 + COARSE**2


def draw_motion(batch: int, generator: torch.Generator) -> Tensor:
    """Draw what decides the motion of `batch` pictures: float [B, 2, 17], normal."""
    return torch.randn(batch, 2, NUM_DRAWS, generator=generator)


def flow_of(draws: Tensor, height: int, width: int) -> Tensor:
    """Return the flow [B, 2, H, W] that draws [B, 2, 17] stand for: dx and dy in pixels, a shift and smooth bends."""
    bends = draws[:, :, 1:].reshape(-1, 2, COARSE, COARSE)
    smooth = F.interpolate(bends, (height, width), mode="bicubic", align_corners=True)
    shares = SHIFT * draws[:, :, :1, None] + BEND * smooth
    return torch.stack((width * shares[:, 0], height * shares[:, 1]), dim=1)


def move(pictures: Tensor, flow: Tensor) -> Tensor:
    """Take, for each pixel x of [B, C, H, W], the value at x + flow[x] between pixels; borders are repeated."""
    return F.grid_sample(pictures.float(), _places(flow), mode="bilinear", padding_mode="border", align_corners=True)


def inside(flow: Tensor) -> Tensor:
    """Tell for each pixel whether the place that it shows was in the picture: bool [B, 1, H, W]."""
    return (_places(flow).abs() <= 1).all(dim=-1)[:, None]


def unsteadiness(moved_first: Tensor, moved_after: Tensor, flow: Tensor) -> Tensor:
    """Return the mean absolute difference of two [B, C, H, W] where the motion shows what was in the picture.

    The first is the translation of a moved picture, the second the moved translation.
    """
    seen = inside(flow)
    difference = (moved_first.float() - moved_after.float()).abs() * seen
    return difference.sum() / (seen.sum() * moved_first.shape[1]).clamp(min=1)


def _places(flow: Tensor) -> Tensor:
    """Return where each pixel looks, as `grid_sample` wants it: [B, H, W, 2], -1 and 1 the middles of border pixels."""
    height, width = flow.shape[-2:]
    rows = torch.linspace(-1, 1, height, device=flow.device).view(1, height, 1)
    columns = torch.linspace(-1, 1, width, device=flow.device).view(1, 1, width)
    return torch.stack((columns + flow[:, 0] * (2 / (width - 1)), rows + flow[:, 1] * (2 / (height - 1))), dim=-1)
