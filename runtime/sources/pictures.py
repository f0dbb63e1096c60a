"""Picture files as a source."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..contract import PICTURE_SUFFIXES, Picture, to_8_bits
from ..errors import InputError
from ..frame import Frame
from ..listing import Listing, list_files
from . import heif
from .picture_file import decode_picture

PICTURE_NAMES = PICTURE_SUFFIXES | heif.SUFFIXES  # of files that are pictures, whether all can be read here or not


@dataclass(frozen=True)
class PictureSource:
    """Picture files under one folder, by their relative names."""

    root: Path
    names: Sequence[Path]
    live: bool = False

    @property
    def total(self) -> int:
        """How many files there are."""
        return len(self.names)

    def __iter__(self) -> Iterator[Frame | InputError]:
        for name in self.names:
            yield self._read(name)

    def _read(self, name: Path) -> Frame | InputError:
        try:
            pixels, profile = read_whole(self.root / name)
            return Frame(pixels, name, profile=profile)
        except InputError as error:
            return error


@dataclass(frozen=True)
class SinglePicture:
    """One picture, read already; its frame bears the name that it will be written under."""

    frame: Frame
    total: int = 1
    live: bool = False

    def __iter__(self) -> Iterator[Frame | InputError]:
        yield self.frame


def read_picture(path: Path) -> Picture:
    """Read a picture file as uint8 [H, W, 3] in RGB order, turned upright by its EXIF orientation.

    Gray becomes three equal channels, 16 bits become 8, and an alpha channel is dropped.

    Raises:
        InputError: the file is missing, no picture, or damaged.
    """
    return to_8_bits(read_whole(path)[0][..., :3])


def read_whole(path: Path) -> tuple[Picture, bytes | None]:
    """Read a picture file with all that it holds: upright in RGB order, uint8 or uint16 [H, W, 3], or 4 with alpha.

    Returns:
        the pixels, and the ICC profile where there is one.

    Raises:
        InputError: the file is missing, no picture, or damaged.
    """
    try:
        data = np.fromfile(path, np.uint8)  # cv2.imread cannot open every Unicode path
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    file = decode_picture(data, str(path))
    return file.pixels, file.profile


def readable_suffixes() -> frozenset[str]:
    """Return the suffixes of the pictures that can be read: HEIC where its extra is installed."""
    return PICTURE_NAMES if heif.has_heif() else PICTURE_SUFFIXES


def left_out(listing: Listing) -> str:
    """Return one line about the files of a folder that are left out, empty where there are none; see `Listing`."""
    summary = listing.summary()
    if not heif.has_heif() and any(path.suffix.lower() in heif.SUFFIXES for path in listing.others):
        summary += f"; HEIC is read after: {heif.INSTALL}"
    return summary


def find_pictures(root: Path, *, outside: Path) -> list[Path]:
    """Return the picture files in a folder and its subfolders, sorted, relative to it; see `listing.list_files`.

    Raises:
        InputError: there are none.
    """
    listing = list_files(root, readable_suffixes(), outside=outside)
    if not listing.names:
        others = left_out(listing)
        raise InputError(
            f"there is no picture in {root}; it should hold {', '.join(sorted(readable_suffixes()))} files"
            + (f" ({others})" if others else "")
        )
    return listing.files
