"""The history of fakes that a discriminator is shown (Shrivastava et al., CVPR 2017; 50 in CycleGAN)."""

from typing import Any

import torch
from torch import Tensor


class ImagePool:
    """Up to `size` past fakes, drawn and replaced picture by picture; size 0 passes everything through."""

    def __init__(self, size: int, generator: torch.Generator) -> None:
        self.size = size
        self._generator = generator
        self._images: list[Tensor] = []

    def __len__(self) -> int:
        return len(self._images)

    def query(self, fakes: Tensor) -> Tensor:
        """Store new fakes [B, C, H, W] and give as many back: the official history buffer.

        While the buffer fills, the new ones come back. Then each comes back with probability 1/2; otherwise a stored
        one does, and the new one takes its place.
        """
        if self.size == 0:
            return fakes
        return torch.stack([self._exchange(fake) for fake in fakes])

    def sample(self, count: int) -> Tensor:
        """Give `count` stored fakes [count, C, H, W], uniformly drawn, each as often as it comes; some are stored."""
        return torch.stack([self._images[self._draw(len(self._images))] for _ in range(count)])

    def store(self, fakes: Tensor) -> None:
        """Keep new fakes, in free places first, then in place of random stored ones."""
        for fake in fakes[: self.size]:
            if len(self._images) < self.size:
                self._images.append(fake.clone())
            else:
                self._images[self._draw(self.size)] = fake.clone()

    def _exchange(self, fake: Tensor) -> Tensor:
        if len(self._images) < self.size:
            self._images.append(fake.clone())
            return fake
        if self._draw(2) == 0:
            return fake
        place = self._draw(self.size)
        stored, self._images[place] = self._images[place], fake.clone()
        return stored

    def _draw(self, count: int) -> int:
        return int(torch.randint(count, (), generator=self._generator))

    def state_dict(self) -> dict[str, Any]:
        """Return the stored pictures and the state of the draw, on the CPU."""
        return {"images": [image.cpu() for image in self._images], "rng": self._generator.get_state()}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Go on exactly where `state_dict` was taken."""
        self._images = [image.to(device) for image in state["images"]]
        self._generator.set_state(state["rng"].cpu())
