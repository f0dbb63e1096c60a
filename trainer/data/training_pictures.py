"""The pictures that a run trains on, of one domain: in no memory, read when they are needed."""

import logging
import threading
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...runtime.errors import DatasetError
from .cache.store import BITS, CHANNELS, COLUMNS, HEIGHT, WIDTH, DamagedStoreError, Row, StoreReader
from .picture_files import PictureFiles
from .pictures import UNREADABLE, Pixels, Preparation, WidthHeight

LOGGER = logging.getLogger(__name__)

WARNINGS = 10  # of one kind, one by one
KEPT_BYTES = 1 << 30  # of pictures that are not stored, and are kept in memory once they have been decoded

# Chooses the rows and columns of a picture, whose height and width it is told.
Window = Callable[[int, int], tuple[slice, slice]]


def whole(height: int, width: int) -> tuple[slice, slice]:
    """Choose all of a picture."""
    return slice(0, height), slice(0, width)


class Stored:
    """The prepared pictures of a domain on disk: a row of the index for each file, `bits` 0 where there is none."""

    def __init__(self, reader: StoreReader, rows: NDArray[np.int64], forget: Callable[[int], None]) -> None:
        self.rows = rows
        self._reader = reader
        self._forget = forget
        self._num_damaged = 0

    def read(self, place: int, rows: slice) -> Pixels | None:
        """Return rows of a stored picture; None where it is damaged, which is said and forgotten."""
        try:
            return self._reader.read(self.rows[place], rows)
        except (DamagedStoreError, OSError) as error:
            self._num_damaged += 1
            if self._num_damaged <= WARNINGS:
                more = "; further ones are not told" if self._num_damaged == WARNINGS else ""
                LOGGER.warning("a prepared picture is damaged (%s); it is made from its file again%s", error, more)
            self._forget(place)
            return None


class TrainingPictures:
    """The pictures of one domain: prepared ones are read from the disk, others are decoded when they are needed.

    A file that cannot be decoded gives its place to the next one that can, whether it was found to be unreadable
    before or is now: what a run sees does not depend on where its pictures lie.
    """

    def __init__(
        self, files: PictureFiles, prepare: Preparation, stored: Stored | None, unreadable: Sequence[int]
    ) -> None:
        """Open the pictures of files.

        Raises:
            DatasetError: all of them are known to be unreadable.
        """
        self.files = files
        self._prepare = prepare
        self._stored = stored
        self._rows = stored.rows if stored else np.zeros((len(files), len(COLUMNS)), np.int64)
        self._unreadable = np.zeros(len(files), bool)
        self._unreadable[list(unreadable)] = True
        self._kept: dict[int, Pixels] = {}
        self._kept_bytes = 0
        self._lock = threading.Lock()
        if self.num_skipped == len(self):
            raise self._nothing_readable()

    def __len__(self) -> int:
        return len(self.files)

    @property
    def num_skipped(self) -> int:
        """How many files are known to be unreadable."""
        return int(self._unreadable.sum())

    @property
    def all_stored(self) -> bool:
        """Whether every picture that can be read is prepared on the disk."""
        return bool(((self._rows[:, BITS] > 0) | self._unreadable).all())

    @property
    def dtype(self) -> torch.dtype:
        """The type that holds all stored pictures: float32 where one of them is."""
        return torch.float32 if (self._rows[:, BITS] == 32).any() else torch.uint8

    @property
    def channels(self) -> int:
        """Channels of every picture."""
        return self._prepare.channels

    @property
    def num_bytes(self) -> int:
        """What the stored pictures take in memory, all of them as `dtype`."""
        return int(np.prod(self._rows[:, HEIGHT : CHANNELS + 1], axis=1).sum()) * self.dtype.itemsize

    def sizes(self) -> list[tuple[int, WidthHeight]]:
        """Return every size that stored pictures have, (width, height), with the place of the first that has it."""
        stored = np.flatnonzero(self._rows[:, BITS])
        sizes, first = np.unique(self._rows[stored][:, [WIDTH, HEIGHT]], axis=0, return_index=True)
        return [
            (int(stored[place]), (int(width), int(height))) for place, (width, height) in zip(first, sizes, strict=True)
        ]

    def read(self, place: int, window: Window) -> Tensor:
        """Return the part of a picture that `window` chooses, [C, h, w], uint8 or float32 in [0, 255].

        Raises:
            DatasetError: neither this nor any other picture can be decoded.
        """
        for _ in range(len(self)):
            place = self.readable(place)
            pixels = self._read(place, window)
            if pixels is not None:
                return torch.from_numpy(pixels.transpose(2, 0, 1).copy())
            self._unreadable[place] = True
        raise self._nothing_readable()

    def readable(self, place: int) -> int:
        """Return this place, or the next one whose file is not known to be unreadable."""
        if not self._unreadable[place]:
            return place
        good = np.flatnonzero(~self._unreadable)
        if not len(good):
            raise self._nothing_readable()
        return int(good[np.searchsorted(good, place) % len(good)])

    def _nothing_readable(self) -> DatasetError:
        return DatasetError(f"none of the {len(self)} pictures in {self.files.folder} can be decoded; are they whole?")

    def _read(self, place: int, window: Window) -> Pixels | None:
        row: Row = self._rows[place]
        if self._stored and row[BITS]:
            rows, columns = window(int(row[HEIGHT]), int(row[WIDTH]))
            stored = self._stored.read(place, rows)
            if stored is not None:
                return stored[:, columns]
            decoded = self._decode(place)
            return None if decoded is None else decoded[rows, columns]
        decoded = self._decode(place)
        return None if decoded is None else decoded[window(*decoded.shape[:2])]

    def _decode(self, place: int) -> Pixels | None:
        """Return a whole picture made from its file, or from memory; None, and say why, where it cannot be read."""
        if place in self._kept:
            return self._kept[place]
        try:
            pixels = self._prepare(self.files[place])
        except UNREADABLE as error:
            LOGGER.warning("skipped %s: it is no readable picture (%s)", self.files[place], error)
            return None
        with self._lock:
            if self._kept_bytes + pixels.nbytes <= KEPT_BYTES:
                self._kept[place] = pixels
                self._kept_bytes += pixels.nbytes
        return pixels
