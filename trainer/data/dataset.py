"""Two folders of unpaired pictures: those that are trained on, and the few that are shown and measured."""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ...runtime.errors import DatasetError
from ...runtime.listing import list_files
from ..config import DataConfig, TrainConfig
from ..distributed import World
from .cache.contents import cache_place
from .origins.local_folder import bring_in, local_folder
from .picture_files import PictureFiles
from .pictures import TRAINING_SUFFIXES, UNREADABLE, Pixels, Preparation
from .prepared import open_pictures
from .training_pictures import TrainingPictures

LOGGER = logging.getLogger(__name__)


DomainName = Literal["A", "B"]
Phase = Literal["train", "test"]
_DOMAINS: tuple[DomainName, DomainName] = ("A", "B")

LAYOUT = """
    {root}/
        trainA/  pictures of domain A
        trainB/  pictures of domain B, unpaired
        testA/   held out, optional
        testB/"""


@dataclass(frozen=True)
class Domain:
    """The prepared pictures of one folder, with the file each came from.

    They are one tensor [N, C, H, W], or a list of [C, H, W] where their sizes differ; uint8 or, from 16-bit files,
    float32, both in [0, 255].
    """

    pictures: Tensor | list[Tensor]
    files: tuple[Path, ...]
    num_skipped: int

    def __len__(self) -> int:
        return len(self.files)

    @property
    def stacked(self) -> Tensor:
        """The pictures as one tensor [N, C, H, W]; held-out ones always share a size."""
        assert isinstance(self.pictures, Tensor)
        return self.pictures


def list_pictures(folder: Path) -> list[Path]:
    """Return every picture below `folder` in sorted order; see `runtime.listing`."""
    return [folder / name for name in list_files(folder, TRAINING_SUFFIXES).names]


def domain_folder(config: DataConfig, phase: Phase, domain: DomainName) -> Path:
    """Return the folder of a domain as the networks know it: with direction BtoA, domain A is trainB and testB."""
    return local_folder(config.dataroot, _folder_name(config, phase, domain), config.cache)


def _folder_name(config: DataConfig, phase: Phase, domain: DomainName) -> str:
    swapped = {"A": "B", "B": "A"}
    return f"{phase}{domain if config.direction == 'AtoB' else swapped[domain]}"


def _brought_in(config: DataConfig, phase: Phase, domain: DomainName) -> Path:
    return bring_in(config.dataroot, _folder_name(config, phase, domain), config.cache)


def load_training(config: TrainConfig, world: World = World()) -> tuple[TrainingPictures, TrainingPictures]:  # noqa: B008
    """Open what domains A and B are trained on; several processes take the files that the first one finds.

    Raises:
        DatasetError: a folder is missing or holds no picture that can be decoded, or a picture has a size that cannot
            be trained on.
    """
    place = cache_place(config.data.cache)
    domains: list[TrainingPictures] = []
    for domain in _DOMAINS:
        limit = config.data.max_dataset_size
        files = _list_or_explain(_brought_in(config.data, "train", domain), limit)
        used = files.named(world.share(files.names[: limit or None]))
        domains.append(open_pictures(files, used, _preparation(config, domain), place))
    _check_sizes(domains, config)
    return domains[0], domains[1]


def load_examples(config: TrainConfig, count: int) -> tuple[Domain, Domain]:
    """Prepare the first training pictures of both domains as held-out ones are, for a dataset that has none."""
    domain_A, domain_B = (
        load_domain(
            _brought_in(config.data, "train", domain), replace(_preparation(config, domain), held_out=True), count
        )
        for domain in _DOMAINS
    )
    return domain_A, domain_B


def load_held_out(config: TrainConfig, count: int = 0) -> tuple[Domain, Domain] | None:
    """Decode testA and testB, crop_size x crop_size from the middle; None where the dataset has none.

    With `count`, only that many of each are decoded, spread evenly over them and always the same: where both folders
    hold the same names, of the same names.
    """
    folders = [_brought_in(config.data, "test", domain) for domain in _DOMAINS]
    names = [_names(folder, config.data.max_dataset_size) for folder in folders]
    if not all(names):
        return None
    if count:
        stems = [{Path(name).stem: name for name in domain} for domain in names]
        if stems[0].keys() == stems[1].keys():
            shared = _spread(sorted(stems[0]), count)
            names = [[domain[stem] for stem in shared] for domain in stems]
        names = [_spread(domain, count) for domain in names]
    domain_A, domain_B = (
        decode_files([folder / name for name in chosen], replace(_preparation(config, domain), held_out=True))
        for folder, chosen, domain in zip(folders, names, _DOMAINS, strict=True)
    )
    return domain_A, domain_B


def _names(folder: Path, limit: int) -> list[str]:
    if not folder.is_dir():
        return []
    listing = list_files(folder, TRAINING_SUFFIXES)
    if listing.summary():
        LOGGER.info("%s", listing.summary())
    return listing.names[: limit or None]


def _spread(names: list[str], count: int) -> list[str]:
    return [names[place * len(names) // count] for place in range(count)] if len(names) > count else names


def load_domain(folder: Path, prepare: Preparation, limit: int = 0) -> Domain:
    """Prepare the first `limit` pictures of a folder, 0: all; one that cannot be decoded is named, skipped, counted.

    Raises:
        DatasetError: the folder is missing or holds no picture that can be decoded.
    """
    return decode_files(list(_list_or_explain(folder, limit)[: limit or None]), prepare)


def decode_files(files: Sequence[Path], prepare: Preparation) -> Domain:
    """Prepare some pictures in memory; one that cannot be decoded is named, skipped, counted.

    Raises:
        DatasetError: none can be decoded.
    """
    with ThreadPoolExecutor() as threads:
        decoded = list(threads.map(lambda path: _prepare_or_explain(path, prepare), files))
    good = [(path, picture) for path, picture in zip(files, decoded, strict=True) if not isinstance(picture, str)]
    for path, picture in zip(files, decoded, strict=True):
        if isinstance(picture, str):
            LOGGER.warning("skipped %s: %s", path, picture)
    if not good:
        raise DatasetError(f"none of the {len(files)} pictures in {files[0].parent} can be decoded; are they whole?")
    pictures = [torch.from_numpy(pixels.transpose(2, 0, 1).copy()) for _, pixels in good]
    if any(picture.dtype == torch.float32 for picture in pictures):
        pictures = [picture.float() for picture in pictures]
    uniform = len({picture.shape for picture in pictures}) == 1
    return Domain(
        torch.stack(pictures) if uniform else pictures, tuple(path for path, _ in good), len(files) - len(good)
    )


def _list_or_explain(folder: Path, limit: int = 0) -> PictureFiles:
    """List the pictures of a folder; what is left out is said, but where only some are asked for nobody expects all."""
    layout = LAYOUT.format(root=folder.parent)
    if not folder.is_dir():
        raise DatasetError(f"there is no folder {folder}; a dataset looks like this:{layout}")
    listing = list_files(folder, TRAINING_SUFFIXES)
    if not listing.names:
        left_out = f"; {listing.summary()}" if listing.summary() else ""
        raise DatasetError(
            f"{folder} holds no picture ({', '.join(sorted(TRAINING_SUFFIXES))}){left_out}; expected:{layout}"
        )
    if listing.summary() and not limit:
        LOGGER.info("%s", listing.summary())
    return PictureFiles.of(listing)


def _prepare_or_explain(path: Path, prepare: Preparation) -> Pixels | str:
    try:
        return prepare(path)
    except UNREADABLE as error:
        return f"it is no readable picture ({error})"


def _preparation(config: TrainConfig, domain: DomainName) -> Preparation:
    data = config.data
    return Preparation(
        channels=data.input_nc if domain == "A" else data.output_nc,
        preprocess=data.preprocess,
        load_size=data.load_size,
        crop_size=data.crop_size,
        multiple=config.networks.size_multiple,
        white=data.white_A if domain == "A" else data.white_B,
    )


def _check_sizes(domains: Sequence[TrainingPictures], config: TrainConfig) -> None:
    """Refuse pictures that are smaller than the crop or, where there is no crop, that do not share one size.

    What is decoded only when it is needed is checked then.
    """
    data = config.data
    sized = [(domain.files[place], size) for domain in domains for place, size in domain.sizes()]
    if not sized:
        return
    smallest, (width, height) = min(sized, key=lambda entry: min(entry[1]))
    if data.preprocess.endswith("crop"):
        if min(width, height) < data.crop_size:
            raise DatasetError(
                f"{smallest} is {width}x{height}, smaller than the crop of {data.crop_size}; take "
                "data.preprocess=resize_and_crop, or a smaller data.crop_size"
            )
        return
    for path, size in sized:
        if size != (width, height):
            raise DatasetError(
                f"data.preprocess={data.preprocess} trains on whole pictures of one size, and {smallest} becomes "
                f"{width}x{height} but {path} {size[0]}x{size[1]}; take scale_width_and_crop or crop"
            )
    if min(width, height) < config.networks.smallest_crop:
        raise DatasetError(
            f"{smallest} becomes {width}x{height}, too small for the {config.networks.discriminator} discriminator, "
            f"which needs {config.networks.smallest_crop}"
        )


def pairs(domain_a: Domain, domain_b: Domain) -> tuple[list[int], list[int]] | None:
    """Return the places of the pictures that are each other's true translations; None where the folders are unpaired.

    They are paired where both hold the same names, but for as many as could not be read.
    """
    a, b = ({path.stem: place for place, path in enumerate(domain.files)} for domain in (domain_a, domain_b))
    shared = a.keys() & b.keys()
    if not shared or len(a.keys() ^ b.keys()) > domain_a.num_skipped + domain_b.num_skipped:
        return None
    return [a[name] for name in sorted(shared)], [b[name] for name in sorted(shared)]


def take(domain: Domain, places: list[int]) -> Domain:
    """Return some pictures of a domain."""
    return Domain(domain.stacked[places], tuple(domain.files[place] for place in places), domain.num_skipped)


def evenly(domain: Domain, number: int) -> Domain:
    """Return at most `number` pictures of a domain, spread evenly over it, always the same."""
    if len(domain) <= number:
        return domain
    return take(domain, [place * len(domain) // number for place in range(number)])
