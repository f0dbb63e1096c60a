"""A grid of pictures that shows at a glance what the translators do now."""

from collections.abc import Mapping
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.utils import make_grid

from ...runtime.files import replacing
from ...runtime.metadata import Direction
from ..data.dataset import Domain
from ..evaluation.evaluate import OPPOSITE, translate_all

COLUMNS = 8


def translate_examples(
    translators: Mapping[Direction, nn.Module],
    teachers: Mapping[Direction, nn.Module],
    domains: tuple[Domain, Domain],
    device: torch.device,
) -> list[Tensor]:
    """Return three rows [N, C, H, W], 0 to 255, for each direction: real, translated, and translated back again.

    In the place of the last is the teacher's translation, where the generators have teachers.
    """
    rows = []
    for direction, translator in translators.items():
        domain = domains["AB".index(direction[0])]
        spread = torch.linspace(0, len(domain) - 1, min(COLUMNS, len(domain))).long()
        real = domain.stacked[spread]
        fake = translate_all(translator, real, device)
        if direction in teachers:
            rows += [real, fake, translate_all(teachers[direction], real, device)]
        else:
            rows += [real, fake, translate_all(translators[OPPOSITE[direction]], fake, device)]
    return rows


def preview_grid(rows: list[Tensor]) -> Tensor:
    """Lay rows of pictures [N, C, H, W], 0 to 255, into one picture, uint8 [3, H, W]."""
    columns = min(len(row) for row in rows)
    pictures = torch.cat([_visible(row[:columns]) for row in rows])
    grid: Tensor = make_grid(pictures, nrow=columns, padding=2, pad_value=255)
    return grid


def _visible(pictures: Tensor) -> Tensor:
    """Turn [N, C, H, W] of any range and channels into uint8 RGB: gray is repeated, of more than three the first."""
    shown = pictures[:, :3] if pictures.shape[1] >= 3 else pictures[:, :1].expand(-1, 3, -1, -1)
    return shown.byte()


def save_preview(grid: Tensor, path: Path) -> None:
    """Write a grid of uint8 [3, H, W] as PNG.

    Raises:
        OutputError: the file cannot be written.
    """
    with replacing(path) as partial:
        Image.fromarray(grid.permute(1, 2, 0).numpy()).save(partial, format="PNG")
