"""Picture files as a source."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ..contract import PICTURE_SUFFIXES, Picture
from ..errors import InputError
from ..frame import Frame


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
            return Frame(read_picture(self.root / name), name)
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
    try:
        data = np.fromfile(path, np.uint8)  # cv2.imread cannot open every Unicode path
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error:  # an empty file, or more pixels than OpenCV takes
        picture = None
    if picture is None:
        raise InputError(f"{path} is damaged or no picture; replace it or take it away")
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def find_pictures(root: Path, *, outside: Path) -> list[Path]:
    """Return the picture files in a folder and its subfolders, sorted, relative to it.

    Hidden files are passed by, and so is everything inside `outside`, where results are written.

    Raises:
        InputError: there are none.
    """
    start, results = root.resolve(), outside.resolve()
    around = start.is_relative_to(results)  # the results' folder holds the whole input: there is nothing to pass by
    names = [
        path.relative_to(root) for path in root.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()
    ]
    names = sorted(
        name
        for name in names
        if not any(part.startswith(".") for part in name.parts)
        and (around or not (start / name).is_relative_to(results))
    )
    if not names:
        raise InputError(f"there is no picture in {root}; it should hold {', '.join(sorted(PICTURE_SUFFIXES))} files")
    return names
