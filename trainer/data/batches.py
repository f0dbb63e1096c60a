"""The batches of unpaired pictures that a run trains on.

Every draw is a function of the seed, the epoch and the place in it alone. A resumed run therefore sees exactly the
pictures that an uninterrupted one would have seen, with no state to save, and N processes with batch B see together
what one process with batch N·B sees.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ...runtime.contract import normalise
from ...runtime.errors import DatasetError
from ..config import DataConfig
from ..distributed import World
from .prefetch import Ahead, steps_ahead
from .side_stream import Copied, SideStream
from .training_pictures import TrainingPictures, Window, whole

# Share of the free memory of a CUDA device that the pictures may take; networks and activations need the rest.
CACHE_SHARE = 0.3


class PictureSource(Protocol):
    """Where crops are taken from: the disk, or the memory of a device."""

    @property
    def files(self) -> Sequence[Path]:
        """The files that the pictures are made from."""

    def __len__(self) -> int: ...
    def read(self, place: int, window: Window) -> Tensor:
        """Return a part of a picture, [C, h, w]."""


class ResidentPictures:
    """All pictures of a domain in the memory of a device."""

    def __init__(self, pictures: TrainingPictures, device: torch.device) -> None:
        self.files = pictures.files
        sizes = pictures.sizes()
        every = (pictures.read(place, whole).to(pictures.dtype) for place in range(len(pictures)))
        self._pictures: Tensor | list[Tensor]
        if len(sizes) > 1:
            self._pictures = [picture.to(device) for picture in every]
            return
        ((_, (width, height)),) = sizes
        self._pictures = torch.empty(
            len(pictures), pictures.channels, height, width, dtype=pictures.dtype, device=device
        )
        for place, picture in enumerate(every):
            self._pictures[place] = picture

    def __len__(self) -> int:
        return len(self.files)

    def read(self, place: int, window: Window) -> Tensor:
        """Return a part of a picture [C, h, w], on the device."""
        picture = self._pictures[place]
        rows, columns = window(*picture.shape[-2:])
        return picture[:, rows, columns]


class UnpairedBatches:
    """Random crops and flips of two domains that know nothing of each other."""

    def __init__(
        self,
        domains: tuple[TrainingPictures, TrainingPictures],
        config: DataConfig,
        seed: int,
        device: torch.device,
        world: World = World(),  # noqa: B008 - frozen
    ) -> None:
        """Keep the pictures in the memory of a CUDA device where they fit; else read them ahead of the step."""
        resident = _fit(domains, device)
        self._sources: list[PictureSource] = (
            [ResidentPictures(domain, device) for domain in domains] if resident else list(domains)
        )
        self._config = config
        self._seed = seed
        self._device = device
        self._first = world.rank * config.batch_size
        self.global_batch = world.size * config.batch_size
        self.num_pictures = max(len(domain) for domain in domains)
        self.steps_per_epoch = max(1, self.num_pictures // self.global_batch)
        self._order: dict[tuple[int, int], np.ndarray] = {}
        stored = all(domain.all_stored for domain in domains)
        self._side = SideStream(device) if device.type == "cuda" and not resident else None
        self._ahead = None if resident else Ahead(self._load, steps_ahead(config, stored))

    def epoch_of(self, step: int) -> int:
        """Return the epoch, counted from 1, that step number `step`, counted from 0, belongs to."""
        return step // self.steps_per_epoch + 1

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return real A and real B of step `step` on the device: float [B, C, crop, crop] in [-1, 1] each.

        Raises:
            DatasetError: a picture that is decoded only now has a size that cannot be trained on.
        """
        loaded = self._ahead(step) if self._ahead else self._load(step)
        real_A, real_B = loaded.take() if isinstance(loaded, Copied) else loaded
        return self._normalised(real_A), self._normalised(real_B)

    def host_batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return the pictures of step `step` where they lie, [B, C, crop, crop], uint8 or float32 in [0, 255].

        Threads may call it for several steps at once, ahead of the step that is computed.
        """
        return self._stacked(0, step), self._stacked(1, step)

    def _load(self, step: int) -> "tuple[Tensor, Tensor] | Copied":
        """Read a step's pictures, and where they are copied to a CUDA device, begin with that."""
        pictures = self.host_batch(step)
        return self._side.copy(pictures) if self._side else pictures

    def close(self) -> None:
        """Stop reading ahead."""
        if self._ahead:
            self._ahead.close()

    def files(self, step: int) -> list[Path]:
        """Return the files of the whole batch of step `step`, of A and B, in every process."""
        epoch, position = divmod(step, self.steps_per_epoch)
        places = range(position * self.global_batch, (position + 1) * self.global_batch)
        return [
            source.files[self._shuffled(domain, epoch)[place % self.num_pictures] % len(source.files)]
            for domain, source in enumerate(self._sources)
            for place in places
        ]

    def _stacked(self, domain: int, step: int) -> Tensor:
        crops = list(self._crops(domain, step))
        if len({crop.shape for crop in crops}) > 1:
            sizes = " and ".join(sorted({f"{crop.shape[-1]}x{crop.shape[-2]}" for crop in crops})[:2])
            raise DatasetError(
                f"data.preprocess={self._config.preprocess} trains on whole pictures of one size, and "
                f"{self._sources[domain].files[0].parent} holds {sizes}; take scale_width_and_crop or crop"
            )
        if any(crop.dtype == torch.float32 for crop in crops):
            crops = [crop.float() for crop in crops]
        return torch.stack(crops)

    def _crops(self, domain: int, step: int) -> Iterator[Tensor]:
        source = self._sources[domain]
        epoch, position = divmod(step, self.steps_per_epoch)
        order = self._shuffled(domain, epoch)
        start = position * self.global_batch + self._first
        for place in range(start, start + self._config.batch_size):
            number = int(order[place % self.num_pictures]) % len(source)
            draws = np.random.default_rng([self._seed, domain, 1, epoch, place])
            crop = source.read(number, partial(self._window, draws, source.files[number]))
            yield crop.flip(-1) if self._config.flip and draws.random() < 0.5 else crop

    def _window(self, draws: np.random.Generator, path: Path, height: int, width: int) -> tuple[slice, slice]:
        """Draw the rows and columns of a picture that are trained on."""
        if not self._config.preprocess.endswith("crop"):
            return whole(height, width)
        crop = self._config.crop_size
        if min(height, width) < crop:
            raise DatasetError(
                f"{path} is {width}x{height}, smaller than the crop of {crop}; take "
                "data.preprocess=resize_and_crop, or smaller crops"
            )
        top, left = (int(draws.integers(side - crop + 1)) for side in (height, width))
        return slice(top, top + crop), slice(left, left + crop)

    def _shuffled(self, domain: int, epoch: int) -> np.ndarray:
        """Return the order of an epoch; it is drawn once and kept."""
        order = self._order.get((domain, epoch))
        if order is None:
            order = np.arange(self.num_pictures)
            if not self._config.serial_batches:
                order = np.random.default_rng([self._seed, domain, 0, epoch]).permutation(order)
            kept = {key: value for key, value in self._order.items() if abs(key[1] - epoch) <= 1}
            self._order = kept | {(domain, epoch): order}  # replaced whole, for other threads read it
        return order

    def _normalised(self, pictures: Tensor) -> Tensor:
        return normalise(pictures.to(self._device, non_blocking=True).float())


def _fit(domains: Sequence[TrainingPictures], device: torch.device) -> bool:
    """Whether the pictures of both domains are prepared and would not crowd a CUDA device."""
    if device.type != "cuda" or not all(domain.all_stored for domain in domains):
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return sum(domain.num_bytes for domain in domains) <= CACHE_SHARE * free
