"""The batches of unpaired pictures that a run trains on.

Every draw is a function of the seed, the epoch and the place in it alone. A resumed run therefore sees exactly the
pictures that an uninterrupted one would have seen, with no state to save, and N processes with batch B see together
what one process with batch N·B sees.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ...runtime.contract import normalise
from ..config import DataConfig
from ..distributed import World
from .dataset import Domain

# Share of the free memory of a CUDA device that the pictures may take; networks and activations need the rest.
CACHE_SHARE = 0.3


class UnpairedBatches:
    """Random crops and flips of two domains that know nothing of each other."""

    def __init__(
        self,
        domains: tuple[Domain, Domain],
        config: DataConfig,
        seed: int,
        device: torch.device,
        world: World = World(),  # noqa: B008 - frozen
    ) -> None:
        """Keep the pictures on `device` where they fit, in RAM otherwise."""
        self._pictures = [_placed(domain.pictures, device) for domain in domains]
        self._config = config
        self._seed = seed
        self._device = device
        self._first = world.rank * config.batch_size
        self.global_batch = world.size * config.batch_size
        self.num_pictures = max(len(domain) for domain in domains)
        self.steps_per_epoch = max(1, self.num_pictures // self.global_batch)
        self._order: dict[int, tuple[int, np.ndarray]] = {}

    def epoch_of(self, step: int) -> int:
        """Return the epoch, counted from 1, that step number `step`, counted from 0, belongs to."""
        return step // self.steps_per_epoch + 1

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return real A and real B of step `step` on the device: float [B, C, crop, crop] in [-1, 1] each."""
        real_A, real_B = (torch.stack(list(self._crops(domain, step))) for domain in range(2))
        return self._normalised(real_A), self._normalised(real_B)

    def _crops(self, domain: int, step: int) -> Iterator[Tensor]:
        pictures, config = self._pictures[domain], self._config
        epoch, position = divmod(step, self.steps_per_epoch)
        order = self._shuffled(domain, epoch)
        start = position * self.global_batch + self._first
        for place in range(start, start + config.batch_size):
            picture = pictures[order[place % self.num_pictures] % len(pictures)]
            draws = np.random.default_rng([self._seed, domain, 1, epoch, place])
            if config.preprocess.endswith("crop"):
                crop = config.crop_size
                top, left = (draws.integers(side - crop + 1) for side in picture.shape[-2:])
                picture = picture[:, top : top + crop, left : left + crop]
            yield picture.flip(-1) if config.flip and draws.random() < 0.5 else picture

    def _shuffled(self, domain: int, epoch: int) -> np.ndarray:
        """Return the order of an epoch; it is drawn once and kept."""
        if self._order.get(domain, (-1,))[0] != epoch:
            order = np.arange(self.num_pictures)
            if not self._config.serial_batches:
                order = np.random.default_rng([self._seed, domain, 0, epoch]).permutation(order)
            self._order[domain] = epoch, order
        return self._order[domain][1]

    def _normalised(self, pictures: Tensor) -> Tensor:
        return normalise(pictures.to(self._device, non_blocking=True).float())


def _placed(pictures: Tensor | list[Tensor], device: torch.device) -> Tensor | list[Tensor]:
    """Move [N, C, H, W], or a list of [C, H, W], to the device unless they would crowd it."""
    together = [pictures] if isinstance(pictures, Tensor) else pictures
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        if sum(tensor.nbytes for tensor in together) > CACHE_SHARE * free:
            return pictures
    moved = [tensor.to(device) for tensor in together]
    return moved[0] if isinstance(pictures, Tensor) else moved
