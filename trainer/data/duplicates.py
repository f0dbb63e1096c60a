"""Near-duplicates among many pictures: each is compared only with those whose fingerprints may be near.

Two pictures differ at most as much along any direction as they do in all. So fingerprints are projected on the few
directions along which these pictures differ most, and cells as wide as the largest difference of near-duplicates divide
that space: what is near lies in the same cell or a neighbouring one. This misses no pair, whatever the pictures are.
Libraries for this compare 64-bit hashes of grey pictures (imagehash), which miss pairs and take recoloured pictures for
the same, or are large for the purpose (faiss, scikit-learn).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import cv2
import numpy as np
from numpy.typing import NDArray

THUMBNAIL = 64
FINGERPRINT = 16  # side of the small picture by which two files are told apart
SIZE = 3 * FINGERPRINT**2

# Two files show the same where their fingerprints, and then their thumbnails, differ by no more: root mean square, of
# 255 once the wider of their ranges is stretched to that. Embedded emoji that were resized and saved as JPEG stay below
# 3 and 5.2; all others but a moon are 7 away.
MOST_LEVELS = (4.0, 6.0)
SMALLEST_RANGE = 16.0  # that is stretched; what is narrower is noise

DIRECTIONS = 4
SAMPLE = 2000  # fingerprints that the directions are computed from
BLOCK = (1024, 4096)  # pictures that are compared with each other at once


@dataclass(frozen=True)
class Thumbnail:
    """A small picture, kept stretched to 0..255, uint8 [S, S, 3], from `low` and `high`."""

    stretched: NDArray[np.uint8]
    low: float
    high: float

    @classmethod
    def of(cls, values: NDArray[np.float32]) -> "Thumbnail":
        """Keep float [S, S, 3] in [0, 255]."""
        low, high = float(values.min()), float(values.max())
        return cls(np.rint((values - low) * 255 / max(high - low, 1e-6)).astype(np.uint8), low, high)

    @property
    def values(self) -> NDArray[np.float32]:
        """The picture as the networks see it, float [S, S, 3] in [0, 255], not rounded."""
        return self.stretched.astype(np.float32) * np.float32((self.high - self.low) / 255) + np.float32(self.low)

    @property
    def range(self) -> float:
        """Distance of the darkest from the brightest value, no less than what is worth stretching."""
        return max(self.high - self.low, SMALLEST_RANGE)

    def difference(self, other: "Thumbnail") -> float:
        """Return the root mean square difference, of 255 where the wider of both ranges is stretched to that."""
        error = np.sqrt(np.square(self.values - other.values).mean())
        return float(error * 255 / max(self.range, other.range))


class Fingerprints:
    """The fingerprints of N pictures, 784 bytes each, and the pairs that are near."""

    def __init__(self, number: int) -> None:
        self._stretched = np.zeros((number, SIZE), np.uint8)
        self._bounds = np.zeros((number, 2), np.float32)  # of the fingerprint
        self._ranges = np.zeros(number, np.float32)  # of the thumbnail

    def put(self, place: int, thumbnail: Thumbnail) -> None:
        """Take in the picture at a place."""
        averages = cv2.resize(thumbnail.values, (FINGERPRINT, FINGERPRINT), interpolation=cv2.INTER_AREA)
        print_ = Thumbnail.of(np.asarray(averages, np.float32))
        self._stretched[place] = print_.stretched.ravel()
        self._bounds[place] = print_.low, print_.high
        self._ranges[place] = thumbnail.range

    def near_pairs(self, places: NDArray[np.int64], folders: NDArray[np.int8]) -> Iterator[tuple[int, int]]:
        """Give for each of `places`, which ascend, the nearest earlier one in each folder, if it is near enough.

        Args:
            places: the pictures that are compared [M].
            folders: in which of the folders 0, 1, … each of them lies [M].
        """
        if len(places) < 2:
            return
        mean = self._sample(places).mean(axis=0)
        cells = self._cells(places, mean)
        members = _members(cells)
        for cell, own in members.items():
            around = [members[near] for near in _around(cell) if near in members]
            others = np.sort(np.concatenate(around))
            others = others[others < own.max()]
            for start in range(0, len(own), BLOCK[0]):
                yield from self._nearest(places, folders, own[start : start + BLOCK[0]], others, mean)

    def _nearest(
        self, places: NDArray[np.int64], folders: NDArray[np.int8], own: NDArray[np.int64], others: NDArray[np.int64],
        mean: NDArray[np.float32],
    ) -> Iterator[tuple[int, int]]:  # fmt: skip
        number = int(folders.max()) + 1
        best = np.full((number, len(own)), np.inf, np.float32)
        found = np.zeros((number, len(own)), np.int64)
        values, ranges = self._values(places[own], mean), self._ranges[places[own]]
        for start in range(0, len(others), BLOCK[1]):
            block = others[start : start + BLOCK[1]]
            squared = _squared(values, self._values(places[block], mean))
            most = MOST_LEVELS[0] * np.maximum(ranges[:, None], self._ranges[places[block]]) / 255
            squared[(squared > most**2) | (block >= own[:, None])] = np.inf
            for folder in range(number):
                of_folder = np.flatnonzero(folders[block] == folder)
                if len(of_folder):
                    nearest = squared[:, of_folder].argmin(axis=1)
                    distance = squared[np.arange(len(own)), of_folder[nearest]]
                    better = distance < best[folder]
                    best[folder, better] = distance[better]
                    found[folder, better] = block[of_folder[nearest]][better]
        for column, folder in zip(*np.nonzero(np.isfinite(best.T)), strict=True):
            yield int(places[found[folder, column]]), int(places[own[column]])

    def _values(self, places: NDArray[np.int64], mean: NDArray[np.float32] | float = 0.0) -> NDArray[np.float32]:
        low, high = self._bounds[places].T[:, :, None]
        values: NDArray[np.float32] = self._stretched[places] * ((high - low) / np.float32(255)) + low - mean
        return values

    def _sample(self, places: NDArray[np.int64]) -> NDArray[np.float32]:
        return self._values(places[:: max(1, len(places) // SAMPLE)])

    def _cells(self, places: NDArray[np.int64], mean: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the cell of each picture [M, DIRECTIONS]."""
        directions = np.linalg.svd(self._sample(places) - mean, full_matrices=False)[2][:DIRECTIONS]
        width = MOST_LEVELS[0] * np.sqrt(SIZE) * 1.001  # a little more, for rounding
        blocks = np.array_split(places, -(-len(places) // BLOCK[1]))
        return np.concatenate([np.floor(self._values(block, mean) @ directions.T / width) for block in blocks]).astype(
            int
        )


def _squared(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean squared difference of each of [M, SIZE] from each of [N, SIZE]."""
    lengths = np.square(first).mean(axis=1)[:, None] + np.square(second).mean(axis=1)
    squared: NDArray[np.float32] = lengths - first @ second.T * np.float32(2 / SIZE)
    return squared


def _members(cells: NDArray[np.int64]) -> dict[tuple[int, ...], NDArray[np.int64]]:
    """Return which pictures lie in each cell that is not empty, ascending."""
    order = np.lexsort(cells.T)
    bounds = np.flatnonzero(np.any(np.diff(cells[order], axis=0), axis=1)) + 1
    return {tuple(cells[group[0]].tolist()): np.sort(group) for group in np.split(order, bounds)}


def _around(cell: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    for steps in product((-1, 0, 1), repeat=len(cell)):
        yield tuple(place + step for place, step in zip(cell, steps, strict=True))
