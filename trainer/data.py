"""Two folders of unpaired pictures, decoded once into uint8 tensors, and the batches drawn from them.

Every draw is a function of the seed, the epoch and the step alone, so a resumed run sees exactly the pictures that an
uninterrupted one would have seen, and no state needs saving.
"""

import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ..runtime.contract import PICTURE_SUFFIXES, normalise
from ..runtime.errors import DatasetError
from .config import DataConfig

LOGGER = logging.getLogger(__name__)

LAYOUT = """
    {root}/
        trainA/  pictures of domain A
        trainB/  pictures of domain B, unpaired
        testA/   held out, optional
        testB/"""


@dataclass(frozen=True)
class Domain:
    """The decoded pictures of one folder: uint8 [N, 3, S, S], with the file each came from."""

    pictures: Tensor
    files: tuple[Path, ...]
    num_skipped: int

    def __len__(self) -> int:
        return len(self.files)


def list_pictures(folder: Path) -> list[Path]:
    """Return every picture below `folder`, by name, in sorted order."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file())


def decode_picture(path: Path, size: int) -> np.ndarray:
    """Read a picture as uint8 [size, size, 3] RGB: upright by its EXIF tag, on white where it is transparent.

    Resized bicubically with antialiasing, as PIL does and the official implementation with it.
    """
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.has_transparency_data:
            picture = upright.convert("RGBA")
            upright = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
        rgb = upright.convert("RGB")
        if rgb.size != (size, size):
            rgb = rgb.resize((size, size), Image.Resampling.BICUBIC)
        return np.asarray(rgb)


def load_domain(folder: Path, size: int) -> Domain:
    """Decode every picture of a folder; one that cannot be decoded is named, skipped and counted.

    Raises:
        DatasetError: the folder is missing or holds no picture that can be decoded.
    """
    layout = LAYOUT.format(root=folder.parent)
    if not folder.is_dir():
        raise DatasetError(f"there is no folder {folder}; a dataset looks like this:{layout}")
    files = list_pictures(folder)
    if not files:
        raise DatasetError(f"{folder} holds no picture ({', '.join(sorted(PICTURE_SUFFIXES))}); expected:{layout}")
    with ThreadPoolExecutor() as threads:
        decoded = list(threads.map(lambda path: _decode_or_explain(path, size), files))
    good = [(path, picture) for path, picture in zip(files, decoded, strict=True) if not isinstance(picture, str)]
    for path, picture in zip(files, decoded, strict=True):
        if isinstance(picture, str):
            LOGGER.warning("skipped %s: %s", path, picture)
    if not good:
        raise DatasetError(f"none of the {len(files)} pictures in {folder} can be decoded; are they whole?")
    pictures = torch.from_numpy(np.stack([picture for _, picture in good]).transpose(0, 3, 1, 2).copy())
    return Domain(pictures, tuple(path for path, _ in good), len(files) - len(good))


def _decode_or_explain(path: Path, size: int) -> np.ndarray | str:
    try:
        return decode_picture(path, size)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return f"it is no readable picture ({error})"


def load_held_out(dataroot: Path, size: int) -> tuple[Domain, Domain] | None:
    """Decode testA and testB at `size`, or None where the dataset has none."""
    folders = dataroot / "testA", dataroot / "testB"
    if not all(folder.is_dir() and list_pictures(folder) for folder in folders):
        return None
    return load_domain(folders[0], size), load_domain(folders[1], size)


class UnpairedBatches:
    """Random crops and flips of two domains that know nothing of each other."""

    def __init__(self, domain_a: Domain, domain_b: Domain, config: DataConfig, seed: int) -> None:
        self.domains = (domain_a, domain_b)
        self._config = config
        self._seed = seed
        self.num_pictures = max(len(domain_a), len(domain_b))
        self.steps_per_epoch = max(1, self.num_pictures // config.batch_size)

    def epoch_of(self, step: int) -> int:
        """Return the epoch, counted from 1, that step number `step`, counted from 0, belongs to."""
        return step // self.steps_per_epoch + 1

    def batch(self, step: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return real A and real B of step `step`: float [B, 3, crop, crop] in [-1, 1] each."""
        real_A, real_B = (self._draw(number, domain, step) for number, domain in enumerate(self.domains))
        return real_A.to(device), real_B.to(device)

    def _draw(self, number: int, domain: Domain, step: int) -> Tensor:
        epoch, position = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng([self._seed, number, 0, epoch]).permutation(self.num_pictures)
        start = position * self._config.batch_size
        chosen = np.take(order, range(start, start + self._config.batch_size), mode="wrap") % len(domain)
        augment = np.random.default_rng([self._seed, number, 1, step])
        return normalise(torch.stack(list(self._crops(domain.pictures, chosen, augment))).float())

    def _crops(self, pictures: Tensor, chosen: Iterable[int], augment: np.random.Generator) -> Iterable[Tensor]:
        crop = self._config.crop_size
        for index in chosen:
            top, left = augment.integers(pictures.shape[-1] - crop + 1, size=2)
            picture = pictures[index, :, top : top + crop, left : left + crop]
            yield picture.flip(-1) if self._config.flip and augment.random() < 0.5 else picture
