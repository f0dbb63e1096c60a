"""DiffAugment: the same random change of colour, place and coverage for all that a discriminator sees.

Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training" (NeurIPS 2020): because gradients pass
through it, real pictures and fakes can both be changed, and a discriminator cannot learn few pictures by heart while
the generator never learns to make changed ones. Sizes are those of the paper.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

SHIFT = 1 / 8  # of a side, at most
CUTOUT = 1 / 2  # of a side
NUM_DRAWS = 7


def draw(batch: int, generator: torch.Generator) -> Tensor:
    """Draw what decides the changes of `batch` pictures: float [B, 7], uniform in [0, 1)."""
    return torch.rand(batch, NUM_DRAWS, generator=generator)


def diff_augment(pictures: Tensor, draws: Tensor) -> Tensor:
    """Change float [B, C, H, W] in [-1, 1] by `draws` [B, 7]: brightness, saturation, contrast, shift, cutout."""
    brightness, saturation, contrast, *place = draws.to(pictures.device).view(-1, NUM_DRAWS, 1, 1, 1).unbind(1)
    changed = pictures + (brightness - 0.5)
    changed = torch.lerp(changed.mean(1, keepdim=True), changed, 2 * saturation)
    changed = torch.lerp(changed.mean((1, 2, 3), keepdim=True), changed, 0.5 + contrast)
    down, right, top, left = (value.flatten() for value in place)
    return _cut_out(_shift(changed, down, right), top, left)


def _shift(pictures: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Move every picture by up to an eighth of its sides; what comes in is 0."""
    batch, _, height, width = pictures.shape
    rows, columns = (
        torch.arange(side, device=pictures.device) - _offset(share, side)
        for share, side in ((down, height), (right, width))
    )
    # One row and column of zeros around the picture stand for everything outside it.
    padded = F.pad(pictures, (1, 1, 1, 1))
    rows, columns = (rows + 1).clamp(0, height + 1), (columns + 1).clamp(0, width + 1)
    numbers = torch.arange(batch, device=pictures.device)
    moved = padded.permute(0, 2, 3, 1)[numbers[:, None, None], rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2)


def _offset(share: Tensor, side: int) -> Tensor:
    """Turn shares [B] in [0, 1) into whole offsets [B, 1] from -side/8 to side/8."""
    most = round(side * SHIFT)
    return (share * (2 * most + 1)).floor().long()[:, None] - most


def _cut_out(pictures: Tensor, top: Tensor, left: Tensor) -> Tensor:
    """Set a rectangle of half the sides to 0, its middle anywhere in the picture."""
    rows, columns = (
        (torch.arange(side, device=pictures.device) - (share * side).floor()[:, None]).abs() < side * CUTOUT / 2
        for side, share in ((pictures.shape[2], top), (pictures.shape[3], left))
    )
    return pictures.masked_fill(rows[:, None, :, None] & columns[:, None, None, :], 0.0)
