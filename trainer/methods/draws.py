"""What chance decides in a step, drawn on the host so that nobody waits for the device."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .diffaugment import draw
from .synthetic_motion import draw_motion

Draws = tuple[Tensor | None, ...]


@dataclass(frozen=True)
class Chance:
    """The random draws of a GAN of `directions` directions; all come from one generator, in the order of the calls."""

    generator: torch.Generator
    device: torch.device
    directions: int

    def augmentations(self, each: int, batch: int, wanted: bool) -> Draws:
        """Draw what DiffAugment does to `each` batches that every discriminator sees, or None for each."""
        count = each * self.directions
        return self._drawn(count, lambda: draw(batch, self.generator)) if wanted else (None,) * count

    def shares(self, batch: int) -> Draws:
        """Draw where between real pictures and fakes each discriminator's gradient is penalised: [B, 1, 1, 1]."""
        return self._drawn(self.directions, lambda: torch.rand((batch, 1, 1, 1), generator=self.generator))

    def motions(self, batch: int) -> Draws:
        """Draw the motion that each generator's translation must go along with."""
        return self._drawn(self.directions, lambda: draw_motion(batch, self.generator))

    def noise(self, deviation: float, *shapes: tuple[int, ...]) -> Draws:
        """Draw normal noise of a deviation, in each of these shapes."""
        drawn = (deviation * torch.randn(shape, generator=self.generator) for shape in shapes)
        return tuple(each.to(self.device, non_blocking=True) for each in drawn)

    def _drawn(self, count: int, make: Callable[[], Tensor]) -> Draws:
        return tuple(make().to(self.device, non_blocking=True) for _ in range(count))
