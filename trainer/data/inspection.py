"""What a dataset holds before hours are spent on it: counts, sizes, damage, duplicates, leaks, flat pictures."""

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...runtime.errors import DatasetError
from .dataset import LAYOUT, list_pictures
from .pictures import decode_picture, describe_file

FOLDERS = ("trainA", "trainB", "testA", "testB")
THUMBNAIL = 64
FINGERPRINT = 16  # side of the small picture by which two files are told apart

# Two files show the same where their fingerprints, and then their thumbnails, differ by no more: root mean square, of
# 255. Embedded emoji that were resized and saved as JPEG stay below 3 and 5.2; all others but a moon are 7 away.
MOST_LEVELS = (4.0, 6.0)
FLAT = 3.0  # standard deviation of grey levels below which InstanceNorm has only noise to magnify

FEW = 50
MOST_LEAKED = 0.01  # share of the test pictures that may have been trained on
IMBALANCE = 3.0
STRETCHED = 1.5
ROWS_AT_ONCE = 1024

Level = Literal["problem", "warning", "note"]


@dataclass(frozen=True)
class PictureFacts:
    """One decoded file; the thumbnail is uint8 [64, 64, 3]."""

    path: Path
    width: int
    height: int
    kind: str  # such as "RGB 8 bit"
    thumbnail: NDArray[np.uint8]


@dataclass(frozen=True)
class FolderFacts:
    """What is told of one folder."""

    count: int
    corrupt: dict[str, str]  # file → why
    kinds: dict[str, int]
    widths: tuple[int, float, int]  # smallest, median, largest
    heights: tuple[int, float, int]
    flat: list[str]


@dataclass(frozen=True)
class Duplicate:
    """Two files that show the same picture; `levels` is the root mean square difference of their thumbnails, of 255."""

    first: str
    second: str
    levels: float


@dataclass(frozen=True)
class Finding:
    """One sentence; a problem makes the check fail."""

    level: Level
    text: str


@dataclass(frozen=True)
class Inspection:
    """The whole check. Duplicates lie within a folder, across the domains, or between what is trained and tested on."""

    dataroot: str
    folders: dict[str, FolderFacts]
    within: list[Duplicate]
    across: list[Duplicate]
    leaks: list[Duplicate]
    paired: bool
    findings: list[Finding] = field(default_factory=list)

    @property
    def num_problems(self) -> int:
        """How many findings make the check fail."""
        return sum(finding.level == "problem" for finding in self.findings)


def inspect_dataset(dataroot: Path) -> tuple[Inspection, dict[str, list[PictureFacts]]]:
    """Look at every picture of a dataset; returns what was found, and the pictures that can be decoded, by folder.

    Raises:
        DatasetError: trainA or trainB is missing, or holds nothing that can be decoded.
    """
    pictures: dict[str, list[PictureFacts]] = {}
    corrupt: dict[str, dict[str, str]] = {}
    for name in FOLDERS:
        folder = dataroot / name
        if folder.is_dir():
            pictures[name], corrupt[name] = _read_folder(folder)
        if name.startswith("train") and not pictures.get(name):
            raise DatasetError(
                f"{folder} holds no picture that can be decoded; expected:{LAYOUT.format(root=dataroot)}"
            )
    pictures = {name: found for name, found in pictures.items() if found or corrupt[name]}
    duplicates = list(_duplicates(pictures))
    inspection = Inspection(
        dataroot=str(dataroot),
        folders={name: _facts(found, corrupt[name]) for name, found in pictures.items()},
        within=[pair for first, second, pair in duplicates if first == second],
        across=[pair for first, second, pair in duplicates if first[-1] != second[-1]],
        leaks=[pair for first, second, pair in duplicates if first != second and first[-1] == second[-1]],
        paired=_names(pictures.get("testA", ())) == _names(pictures.get("testB", ())) != [],
    )
    inspection.findings.extend(_findings(inspection))
    return inspection, pictures


def fingerprint(thumbnail: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return a picture, uint8 [H, W, 3], as 16x16 averages [768]."""
    return cv2.resize(thumbnail, (FINGERPRINT, FINGERPRINT), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()


def _read_folder(folder: Path) -> tuple[list[PictureFacts], dict[str, str]]:
    files = list_pictures(folder)
    with ThreadPoolExecutor() as threads:
        read = list(threads.map(_read, files))
    good = [facts for facts in read if isinstance(facts, PictureFacts)]
    bad = {str(path): facts for path, facts in zip(files, read, strict=True) if isinstance(facts, str)}
    return good, bad


def _read(path: Path) -> PictureFacts | str:
    try:
        width, height, kind = describe_file(path)
        return PictureFacts(path, width, height, kind, decode_picture(path, THUMBNAIL))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return str(error)


def _facts(pictures: Sequence[PictureFacts], corrupt: dict[str, str]) -> FolderFacts:
    widths, heights = [picture.width for picture in pictures] or [0], [picture.height for picture in pictures] or [0]
    return FolderFacts(
        count=len(pictures),
        corrupt=corrupt,
        kinds=dict(Counter(picture.kind for picture in pictures).most_common()),
        widths=(min(widths), median(widths), max(widths)),
        heights=(min(heights), median(heights), max(heights)),
        flat=[str(picture.path) for picture in pictures if picture.thumbnail.mean(axis=2).std() < FLAT],
    )


def _duplicates(pictures: dict[str, list[PictureFacts]]) -> Iterator[tuple[str, str, Duplicate]]:
    """Give every pair of files that show the same, with their folders."""
    flat = [(name, picture) for name, found in pictures.items() for picture in found]
    if not flat:
        return
    prints = np.stack([fingerprint(picture.thumbnail) for _, picture in flat])
    prints -= prints.mean(axis=0)
    lengths = np.square(prints).mean(axis=1)
    for start in range(0, len(flat), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        squared = lengths[rows, None] + lengths - 2 * prints[rows] @ prints.T / prints.shape[1]
        for row, second in np.argwhere(squared <= MOST_LEVELS[0] ** 2):
            if start + row < second:
                (one, picture), (other, another) = flat[start + row], flat[second]
                levels = _difference(picture, another)
                if levels <= MOST_LEVELS[1]:
                    yield one, other, Duplicate(str(picture.path), str(another.path), round(levels, 1))


def _difference(first: PictureFacts, second: PictureFacts) -> float:
    error = first.thumbnail.astype(np.float32) - second.thumbnail
    return float(np.sqrt(np.square(error).mean()))


def _names(pictures: Sequence[PictureFacts]) -> list[str]:
    return [picture.path.stem for picture in pictures]


def _findings(found: Inspection) -> Iterator[Finding]:
    for name, facts in found.folders.items():
        yield from _folder_findings(name, facts)
    if found.leaks:
        tested = sum(facts.count for name, facts in found.folders.items() if name.startswith("test"))
        leaked = len({pair.second for pair in found.leaks})
        level: Level = "problem" if leaked > MOST_LEAKED * tested else "warning"
        yield Finding(level, f"both trained and tested on: {_told(found.leaks)}")
    if found.across:
        yield Finding("warning", f"the same in A and B: {_told(found.across)}")
    if found.within:
        yield Finding("warning", f"the same within a folder: {_told(found.within)}")
    for phase in ("train", "test"):
        yield from _balance(found, phase)
    if found.paired:
        yield Finding("note", "testA and testB share their names: psnr and ssim can be measured")


def _folder_findings(name: str, facts: FolderFacts) -> Iterator[Finding]:
    if facts.corrupt:
        first = next(iter(facts.corrupt))
        yield Finding("problem", f"{len(facts.corrupt)} of {name} cannot be decoded, such as {first}")
    if facts.flat:
        yield Finding("warning", f"{len(facts.flat)} of {name} are flat and train nothing, such as {facts.flat[0]}")
    if name.startswith("train") and facts.count < FEW:
        yield Finding("warning", f"{name} has {facts.count} pictures; below {FEW}, set optim.diffaugment=true")
    if len(facts.kinds) > 1:
        yield Finding("note", f"{name} mixes {', '.join(facts.kinds)}")
    sides = facts.widths[1], facts.heights[1]
    if facts.count and max(sides) > STRETCHED * min(sides):
        yield Finding("note", f"{name} is far from square; data.preprocess=scale_width_and_crop does not stretch it")


def _told(duplicates: list[Duplicate]) -> str:
    count = f"{len(duplicates)} pairs, such as " if len(duplicates) > 1 else ""
    return f"{count}{duplicates[0].first} and {duplicates[0].second}"


def _balance(found: Inspection, phase: str) -> Iterator[Finding]:
    counts = {name: found.folders[name].count for name in (f"{phase}A", f"{phase}B") if name in found.folders}
    if len(counts) < 2:
        if phase == "test":
            yield Finding("warning", "testA and testB are not both there: nothing can be measured while training")
        return
    (small, fewer), (large, more) = sorted(counts.items(), key=lambda entry: entry[1])
    if more > IMBALANCE * max(fewer, 1):
        yield Finding("warning", f"{large} has {more} pictures and {small} {fewer}: the few are seen far more often")
