"""Distances between two sets of pictures, without a trained network.

These tell training runs on the same pictures apart; they cannot be compared with a published FID. Pictures are
[N, C, H, W] in [0, 255], of any number, and of one size within and across the sets.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

PATCHES_A_PICTURE = 128
PATCH = 7
PROJECTIONS = 512
SMALLEST_LEVEL = 16  # pixels
HALF_PATCH = PATCH // 2


def sliced_wasserstein(first: Tensor, second: Tensor, seed: int = 0) -> float:
    """Return the distance of local structure, times 1000: the mean over a Laplacian pyramid down to 16 pixels.

    Patches of 7x7 are normalised by channel within each set, so that colour does not count, and compared along random
    directions (Karras et al., "Progressive Growing of GANs", ICLR 2018, section 5 and appendix).
    """
    random = torch.Generator().manual_seed(seed)
    levels = zip(_laplacian_pyramid(first.float()), _laplacian_pyramid(second.float()), strict=True)
    distances = [_sliced_distance(_patches(one, random), _patches(other, random), random) for one, other in levels]
    return 1000 * sum(distances) / len(distances)


def colour_distance(first: Tensor, second: Tensor) -> float:
    """Return how far colours must move, in steps of 1/255: the earth mover's distance of the histograms.

    It is taken channel by channel and averaged over them.
    """
    cumulative = [_histograms(pictures).cumsum(1) for pictures in (first, second)]
    return float((cumulative[0] - cumulative[1]).abs().sum(1).mean())


def checkerboard(pictures: Tensor) -> float:
    """Return the highest peak of the spectrum at periods of 2 and 4 pixels, in dB over the frequencies around it.

    Transposed convolutions of stride 2 leave such a grid (Odena et al., "Deconvolution and Checkerboard Artifacts",
    Distill 2016); natural pictures stay within some dB of 0. Sides are multiples of 4, and at least 32.
    """
    gray = pictures.float().mean(1)
    height, width = gray.shape[-2:]
    window = torch.hann_window(height)[:, None] * torch.hann_window(width)
    gray = gray - gray.mean(dim=(1, 2), keepdim=True)
    power = torch.fft.fft2(gray * window).abs().square().mean(0)
    floor = torch.finfo(torch.float32).eps
    ratios = []
    for row in range(4):
        for column in range(4):
            if row or column:
                centred = torch.roll(power, (HALF_PATCH - row * height // 4, HALF_PATCH - column * width // 4), (0, 1))
                region = centred[:PATCH, :PATCH]
                peak = region[2:5, 2:5]  # the window smears a peak over its neighbours
                around = (region.sum() - peak.sum()) / (region.numel() - peak.numel())
                ratios.append((peak.mean() + floor) / (around + floor))
    return float(10 * torch.log10(torch.stack(ratios).max()))


def _laplacian_pyramid(pictures: Tensor) -> list[Tensor]:
    levels = []
    while min(pictures.shape[-2:]) >= 2 * SMALLEST_LEVEL:
        smaller = F.avg_pool2d(_blurred(pictures), 2)
        enlarged = F.interpolate(smaller, size=pictures.shape[-2:], mode="bilinear", align_corners=False)
        levels.append(pictures - enlarged)
        pictures = smaller
    return [*levels, pictures]


def _blurred(pictures: Tensor) -> Tensor:
    channels = pictures.shape[1]
    binomial = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    kernel = torch.outer(binomial, binomial).expand(channels, 1, 5, 5).to(pictures)
    return F.conv2d(F.pad(pictures, (2, 2, 2, 2), mode="reflect"), kernel, groups=channels)


def _patches(pictures: Tensor, random: torch.Generator) -> Tensor:
    """Draw normalised patches [N·128, C·7·7] at random places."""
    number, _, height, width = pictures.shape
    drawn = number * PATCHES_A_PICTURE
    tops = torch.randint(height - PATCH + 1, (drawn, 1, 1), generator=random)
    lefts = torch.randint(width - PATCH + 1, (drawn, 1, 1), generator=random)
    rows, columns = tops + torch.arange(PATCH)[:, None], lefts + torch.arange(PATCH)
    which = torch.arange(number).repeat_interleave(PATCHES_A_PICTURE)[:, None, None]
    patches = pictures[which, :, rows, columns]  # [drawn, 7, 7, C]
    deviation = patches.std(dim=(0, 1, 2), keepdim=True).clamp_min(1e-8)
    return ((patches - patches.mean(dim=(0, 1, 2), keepdim=True)) / deviation).flatten(1)


def _sliced_distance(first: Tensor, second: Tensor, random: torch.Generator) -> float:
    directions = F.normalize(torch.randn(first.shape[1], PROJECTIONS, generator=random), dim=0)
    along = [_sort_rows(directions.T.contiguous() @ patches.T) for patches in (first, second)]
    size = min(len(first), len(second))
    if len(first) != len(second):
        along = [values[:, (torch.arange(size) + 0.5).mul(values.shape[1] / size).long()] for values in along]
    return float((along[0] - along[1]).abs().mean())


def _sort_rows(values: Tensor) -> Tensor:
    """Sort every row of [M, N] in place; NumPy does that several times faster than torch."""
    values.numpy().sort(axis=1)
    return values


def _histograms(pictures: Tensor) -> Tensor:
    """Return the share of every value by channel, [C, 256]."""
    values = pictures.float().round().clamp(0, 255).long().transpose(0, 1).flatten(1)
    counts = torch.stack([torch.bincount(channel, minlength=256) for channel in values])
    return counts / values.shape[1]
