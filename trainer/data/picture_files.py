"""The picture files of a folder, by name and as they were when they were listed, in little memory."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from ...runtime.listing import Listing


@dataclass(frozen=True, eq=False)
class PictureFiles(Sequence[Path]):
    """The pictures below a folder, sorted; as a sequence, their paths.

    Names are relative to the folder and written with "/". `stamps` int64 [N, 2] are the size in bytes and the time of
    change in nanoseconds of each; of a file that cannot be asked for them, -1.
    """

    folder: Path
    names: Sequence[str]
    stamps: NDArray[np.int64]

    @classmethod
    def of(cls, listing: Listing) -> "PictureFiles":
        """Return the files of a listing."""
        flat = chain.from_iterable(_stamp(f"{listing.root}/{name}") for name in listing.names)
        return cls(listing.root, listing.names, np.fromiter(flat, np.int64, 2 * len(listing.names)).reshape(-1, 2))

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, place: int) -> Path: ...
    @overload
    def __getitem__(self, place: slice) -> "PictureFiles": ...
    def __getitem__(self, place: int | slice) -> "Path | PictureFiles":
        if isinstance(place, slice):
            return PictureFiles(self.folder, self.names[place], self.stamps[place])
        return self.folder / self.names[place]

    def named(self, names: Sequence[str]) -> "PictureFiles":
        """Return the files of these names; one that is not here has the stamp -1."""
        if names == self.names:
            return self
        places = {name: place for place, name in enumerate(self.names)}
        found = np.array([places.get(name, -1) for name in names], np.int64)
        stamps = np.full((len(names), 2), -1, np.int64)
        stamps[found >= 0] = self.stamps[found[found >= 0]]
        return PictureFiles(self.folder, names, stamps)


def _stamp(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path)  # noqa: PTH116 - of a hundred thousand, paths take seconds
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns
