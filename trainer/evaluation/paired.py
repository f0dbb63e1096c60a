"""Distances between pictures and their true counterparts, one by one."""

import torch
from torch import Tensor
from torch.nn import functional as F

from . import similarity


def psnr(result: Tensor, truth: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio of each picture in dB, inf for equal ones; both uint8 [N, C, H, W]."""
    error = (result.float() - truth.float()).square().flatten(1).mean(1)
    return 10 * torch.log10(255.0**2 / error)


def ssim(result: Tensor, truth: Tensor) -> Tensor:
    """Return the structural similarity of each picture, see `similarity.ssim`; both [N, C, H, W] in [0, 255]."""
    pairs = zip(result.permute(0, 2, 3, 1).numpy(), truth.permute(0, 2, 3, 1).numpy(), strict=True)
    return torch.tensor([similarity.ssim(one, other) for one, other in pairs])


def gmsd(result: Tensor, truth: Tensor) -> Tensor:
    """Return the gradient magnitude similarity deviation of each picture; both [N, C, H, W] in [0, 255]; 0 is equal.

    A perceptual distance without weights: how unevenly edges are kept (Xue et al., IEEE TIP 2014, with its constant
    170 and its halved resolution), on the mean of the channels.
    """
    first, second = (_gradient_magnitude(pictures) for pictures in (result, truth))
    likeness = (2 * first * second + 170) / (first.square() + second.square() + 170)
    return likeness.flatten(1).std(1, correction=0)


def _gradient_magnitude(pictures: Tensor) -> Tensor:
    gray = F.avg_pool2d(pictures.float().mean(1, keepdim=True), 2)
    prewitt = torch.tensor([[1.0, 0.0, -1.0]] * 3) / 3
    kernels = torch.stack((prewitt, prewitt.T))[:, None]
    return F.conv2d(gray, kernels, padding=1).square().sum(1).sqrt()


def mean_of(values: Tensor) -> float:
    """Average over the pictures; an identical one counts as 100 dB rather than infinitely much."""
    return float(values.clamp(max=100.0).mean())
