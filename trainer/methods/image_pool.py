"""The history of fakes that a discriminator is shown (Shrivastava et al., CVPR 2017; 50 in CycleGAN)."""

from typing import Any

import torch
from torch import Tensor


class ImagePool:
    """Up to `size` past fakes, drawn and replaced picture by picture; size 0 passes everything through.

    What goes where is decided on the host; a whole batch then moves in a few kernels, and nobody waits for the device.
    """

    def __init__(self, size: int, generator: torch.Generator) -> None:
        self.size = size
        self._generator = generator
        self._count = 0
        # A row for each picture, or a list of them where a run trains on pictures of several sizes.
        self._images: Tensor | list[Tensor] = []

    def __len__(self) -> int:
        return self._count

    def query(self, fakes: Tensor) -> Tensor:
        """Store new fakes [B, C, H, W] and give as many back: the official history buffer.

        While the buffer fills, the new ones come back. Then each comes back with probability 1/2; otherwise a stored
        one does, and the new one takes its place.
        """
        if self.size == 0:
            return fakes
        kept: dict[int, int] = {}  # place in the history → which of the new ones is there in the end
        shown = []  # places in the history, or `size` and more: which of the new ones
        for number in range(len(fakes)):
            if self._count < self.size:
                kept[self._count] = number
                self._count += 1
            elif self._draw(2):
                place = self._draw(self.size)
                shown.append(self.size + kept[place] if place in kept else place)
                kept[place] = number
                continue
            shown.append(self.size + number)
        result = self._select(shown, fakes)
        self._replace(kept, fakes)
        return result

    def sample(self, count: int) -> Tensor:
        """Give `count` stored fakes [count, C, H, W], uniformly drawn, each as often as it comes; some are stored."""
        places = [self._draw(self._count) for _ in range(count)]
        if isinstance(self._images, list):
            return torch.stack([self._images[place] for place in places])
        return self._images.index_select(0, _on(self._images.device, places))

    def store(self, fakes: Tensor) -> None:
        """Keep new fakes, in free places first, then in place of random stored ones."""
        kept: dict[int, int] = {}
        for number in range(min(self.size, len(fakes))):
            if self._count < self.size:
                kept[self._count] = number
                self._count += 1
            else:
                kept[self._draw(self.size)] = number
        self._replace(kept, fakes)

    def _select(self, shown: list[int], fakes: Tensor) -> Tensor:
        """Return what is shown: of the history, as it was before this batch, and of the new ones."""
        if shown == list(range(self.size, self.size + len(fakes))):
            return fakes
        if isinstance(self._images, list):
            past, new = self._images, fakes.unbind()
            return torch.stack([past[place] if place < self.size else new[place - self.size] for place in shown])
        is_new = [place >= self.size for place in shown]
        of_past = [min(place, self.size - 1) for place in shown]
        of_new = [max(place - self.size, 0) for place in shown]
        places, numbers, chosen = _on(fakes.device, [of_past, of_new, is_new])
        stored = self._images.index_select(0, places)
        if not any(is_new):
            return stored
        return torch.where(chosen.bool()[:, None, None, None], fakes.index_select(0, numbers), stored)

    def _replace(self, kept: dict[int, int], fakes: Tensor) -> None:
        """Put new ones into their places."""
        if not kept:
            return
        if isinstance(self._images, Tensor) and not _alike(self._images, fakes):
            self._images = list(self._images[: self._count])
        elif not len(self._images):
            self._images = fakes.new_empty(self.size, *fakes.shape[1:])
        if isinstance(self._images, Tensor):
            places, numbers = _on(fakes.device, [list(kept), list(kept.values())])
            self._images.index_copy_(0, places, fakes.index_select(0, numbers))
            return
        for place, number in sorted(kept.items()):
            self._images[place : place + 1] = [fakes[number].clone()]

    def _draw(self, count: int) -> int:
        return int(torch.randint(count, (), generator=self._generator))

    def state_dict(self) -> dict[str, Any]:
        """Return the stored pictures where they lie, and the state of the draw."""
        return {"images": self._images[: self._count], "rng": self._generator.get_state()}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Go on exactly where `state_dict` was taken."""
        images: Tensor | list[Tensor] = state["images"]
        if len(images) and (
            isinstance(images, Tensor) or all(_alike(images[0][None], image[None]) for image in images)
        ):
            stored = images if isinstance(images, Tensor) else torch.stack(images)
            free = stored.new_empty(self.size - len(stored), *stored.shape[1:])
            self._images = torch.cat((stored, free)).to(device)
        else:
            self._images = [image.to(device, copy=True) for image in images]
        self._count = len(images)
        self._generator.set_state(state["rng"].cpu())


def _alike(first: Tensor, second: Tensor) -> bool:
    """Whether two batches hold pictures of one size and type."""
    return first.shape[1:] == second.shape[1:] and first.dtype == second.dtype


def _on(device: torch.device, numbers: list[Any]) -> Tensor:
    """Copy numbers to a device; the host goes on at once."""
    return torch.tensor(numbers).to(device, non_blocking=True)
