"""The check of a dataset before hours are spent on it: counts, sizes, damage, duplicates, leaks, flat pictures."""

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...runtime.errors import DatasetError
from ...runtime.listing import list_files
from .dataset import LAYOUT
from .pictures import FULL_WHITE, TRAINING_SUFFIXES, describe_file, looks_like_picture, read_rgb, resize

FOLDERS = ("trainA", "trainB", "testA", "testB")
THUMBNAIL = 64
FINGERPRINT = 16  # side of the small picture by which two files are told apart

# Two files show the same where their fingerprints, and then their thumbnails, differ by no more: root mean square, of
# 255 once the wider of their ranges is stretched to that. Embedded emoji that were resized and saved as JPEG stay below
# 3 and 5.2; all others but a moon are 7 away.
MOST_LEVELS = (4.0, 6.0)
SMALLEST_RANGE = 16.0  # that is stretched; what is narrower is noise
DEPTHS = (8, 10, 12, 14)  # bits that cameras and scanners put into files of 16
FLAT = 3.0  # standard deviation of grey levels below which InstanceNorm has only noise to magnify

FEW = 50
MOST_LEAKED = 0.01  # share of the test pictures that may have been trained on
IMBALANCE = 3.0
STRETCHED = 1.5
ROWS_AT_ONCE = 1024

Level = Literal["problem", "warning", "note"]


@dataclass(frozen=True)
class PictureFacts:
    """One decoded file. Its thumbnail is kept stretched to 0..255, uint8 [64, 64, 3], from `low` and `high`."""

    path: Path
    width: int
    height: int
    kind: str  # such as "RGB 8 bit"
    stretched: NDArray[np.uint8]
    low: float
    high: float
    brightest: int | None  # value of a 16-bit file

    @property
    def values(self) -> NDArray[np.float32]:
        """The thumbnail as the networks see it, float [64, 64, 3] in [0, 255], not rounded."""
        return self.stretched.astype(np.float32) * np.float32((self.high - self.low) / 255) + np.float32(self.low)

    @property
    def thumbnail(self) -> NDArray[np.uint8]:
        """The thumbnail as the networks see it, uint8 [64, 64, 3]."""
        return np.rint(self.values).astype(np.uint8)

    @property
    def range(self) -> float:
        """Distance of the darkest from the brightest value, no less than what is worth stretching."""
        return max(self.high - self.low, SMALLEST_RANGE)


@dataclass(frozen=True)
class FolderFacts:
    """The facts of one folder."""

    count: int
    corrupt: dict[str, str]  # file → why
    left_out: str  # one line on the files that are not taken; empty where all are
    pictures_left_out: int  # how many of them are pictures
    kinds: dict[str, int]
    widths: tuple[int, float, int]  # smallest, median, largest
    heights: tuple[int, float, int]
    brightest: int | None  # value of all 16-bit files
    flat: list[str]

    @property
    def depth(self) -> int:
        """Bits that the values of the 16-bit files have: fewer where the brightest is far from white."""
        return next((bits for bits in DEPTHS if self.brightest is not None and self.brightest < 1 << bits), 16)


@dataclass(frozen=True)
class Duplicate:
    """Two files that show the same picture; `levels` is the root mean square difference of their thumbnails, of 255.

    Where both use a part of the range only, that part counts as 255.
    """

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
    folders: dict[str, FolderFacts] = {}
    for name in FOLDERS:
        folder = dataroot / name
        if folder.is_dir():
            pictures[name], folders[name] = _read_folder(folder)
        if name.startswith("train") and not pictures.get(name):
            left_out = folders[name].left_out if name in folders else ""
            raise DatasetError(
                f"{folder} holds no picture that can be decoded{left_out and f'; {left_out}'}; "
                f"expected:{LAYOUT.format(root=dataroot)}"
            )
    folders = {name: facts for name, facts in folders.items() if facts.count or facts.corrupt or facts.left_out}
    duplicates = list(_duplicates(pictures))
    inspection = Inspection(
        dataroot=str(dataroot),
        folders=folders,
        within=[pair for first, second, pair in duplicates if first == second],
        across=[pair for first, second, pair in duplicates if first[-1] != second[-1]],
        leaks=[pair for first, second, pair in duplicates if first != second and first[-1] == second[-1]],
        paired=_names(pictures.get("testA", ())) == _names(pictures.get("testB", ())) != [],
    )
    inspection.findings.extend(_findings(inspection))
    return inspection, pictures


def fingerprint(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a picture, float [H, W, 3], as 16x16 averages [768]."""
    averages = cv2.resize(values, (FINGERPRINT, FINGERPRINT), interpolation=cv2.INTER_AREA)
    return np.asarray(averages, np.float32).ravel()


def _read_folder(folder: Path) -> tuple[list[PictureFacts], FolderFacts]:
    listing = list_files(folder, TRAINING_SUFFIXES)
    files = [folder / name for name in listing.files]
    with ThreadPoolExecutor() as threads:
        read = list(threads.map(_read, files))
    pictures = [facts for facts in read if isinstance(facts, PictureFacts)]
    widths, heights = [picture.width for picture in pictures] or [0], [picture.height for picture in pictures] or [0]
    facts = FolderFacts(
        count=len(pictures),
        corrupt={str(path): why for path, why in zip(files, read, strict=True) if isinstance(why, str)},
        left_out=listing.summary(),
        pictures_left_out=sum(looks_like_picture(folder / name) for name in listing.others) + len(listing.unreadable),
        kinds=dict(Counter(picture.kind for picture in pictures).most_common()),
        widths=(min(widths), median(widths), max(widths)),
        heights=(min(heights), median(heights), max(heights)),
        brightest=max((picture.brightest for picture in pictures if picture.brightest is not None), default=None),
        flat=[],
    )
    return pictures, replace(facts, flat=[str(picture.path) for picture in pictures if _is_flat(picture, facts.depth)])


def _is_flat(picture: PictureFacts, depth: int) -> bool:
    """Tell whether a picture shows nothing; one whose 16-bit values have `depth` bits is dark, not flat."""
    gain = 1.0 if picture.brightest is None else FULL_WHITE / ((1 << depth) - 1)
    return bool(picture.values.mean(axis=2).std() * gain < FLAT)


def _read(path: Path) -> PictureFacts | str:
    try:
        width, height, kind = describe_file(path)
        pixels = read_rgb(path)
        brightest = round(float(pixels.max()) * FULL_WHITE / 255) if pixels.dtype == np.float32 else None
        values = resize(pixels, (THUMBNAIL, THUMBNAIL)).astype(np.float32)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return str(error)
    low, high = float(values.min()), float(values.max())
    stretched = np.rint((values - low) * 255 / max(high - low, 1e-6)).astype(np.uint8)
    return PictureFacts(path, width, height, kind, stretched, low, high, brightest)


def _duplicates(pictures: dict[str, list[PictureFacts]]) -> Iterator[tuple[str, str, Duplicate]]:
    """Give every pair of files that show the same, with their folders."""
    flat = [(name, picture) for name, members in pictures.items() for picture in members]
    if not flat:
        return
    prints = np.stack([fingerprint(picture.values) for _, picture in flat])
    prints -= prints.mean(axis=0)
    lengths = np.square(prints).mean(axis=1)
    ranges = np.array([picture.range for _, picture in flat], np.float32)
    for start in range(0, len(flat), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        squared = lengths[rows, None] + lengths - 2 * prints[rows] @ prints.T / prints.shape[1]
        scale = np.maximum(ranges[rows, None], ranges) / 255
        for row, second in np.argwhere(squared <= (MOST_LEVELS[0] * scale) ** 2):
            if start + row < second:
                (one, picture), (other, another) = flat[start + row], flat[second]
                levels = _difference(picture, another)
                if levels <= MOST_LEVELS[1]:
                    yield one, other, Duplicate(str(picture.path), str(another.path), round(levels, 1))


def _difference(first: PictureFacts, second: PictureFacts) -> float:
    error = np.sqrt(np.square(first.values - second.values).mean())
    return float(error * 255 / max(first.range, second.range))


def _names(pictures: Sequence[PictureFacts]) -> list[str]:
    return [picture.path.stem for picture in pictures]


def _findings(inspection: Inspection) -> Iterator[Finding]:
    for name, facts in inspection.folders.items():
        yield from _folder_findings(name, facts)
    if inspection.leaks:
        tested = sum(facts.count for name, facts in inspection.folders.items() if name.startswith("test"))
        leaked = len({pair.second for pair in inspection.leaks})
        level: Level = "problem" if leaked > MOST_LEAKED * tested else "warning"
        yield Finding(level, f"both trained and tested on: {_named(inspection.leaks)}")
    if inspection.across:
        yield Finding("warning", f"the same in A and B: {_named(inspection.across)}")
    if inspection.within:
        yield Finding("warning", f"the same within a folder: {_named(inspection.within)}")
    for phase in ("train", "test"):
        yield from _balance(inspection, phase)
    if inspection.paired:
        yield Finding("note", "testA and testB share their names: psnr and ssim can be measured")


def _folder_findings(name: str, facts: FolderFacts) -> Iterator[Finding]:
    if facts.corrupt:
        first = next(iter(facts.corrupt))
        yield Finding("problem", f"{len(facts.corrupt)} of {name} cannot be decoded, such as {first}")
    if facts.left_out:
        heif = '; pip install "cyclegan-edge[heif]" reads HEIC' if ".hei" in facts.left_out else ""
        yield Finding("warning" if facts.pictures_left_out else "note", f"{facts.left_out}{heif}")
    if facts.flat:
        yield Finding(
            "warning",
            f"{len(facts.flat)} of {name} are flat, such as {facts.flat[0]}: normalisation turns their planes into "
            "zeros, so they teach a generator one colour and a discriminator to look for it; take them out",
        )
    if facts.depth < 16:
        white = (1 << facts.depth) - 1
        yield Finding(
            "warning",
            f"the 16-bit files of {name} hold {facts.depth} bits (no value is above {facts.brightest}), so they are "
            f"nearly black; set data.white_{name[-1]}={white}",
        )
    if any("several frames" in kind for kind in facts.kinds):
        yield Finding("note", f"{name} has files of several frames; the first of each is taken")
    if name.startswith("train") and facts.count < FEW:
        yield Finding("warning", f"{name} has {facts.count} pictures; below {FEW}, set optim.diffaugment=true")
    if len(facts.kinds) > 1:
        yield Finding("note", f"{name} mixes {', '.join(facts.kinds)}")
    sides = facts.widths[1], facts.heights[1]
    if facts.count and max(sides) > STRETCHED * min(sides):
        yield Finding("note", f"{name} is far from square; data.preprocess=scale_width_and_crop does not stretch it")


def _named(duplicates: list[Duplicate]) -> str:
    count = f"{len(duplicates)} pairs, such as " if len(duplicates) > 1 else ""
    return f"{count}{duplicates[0].first} and {duplicates[0].second}"


def _balance(inspection: Inspection, phase: str) -> Iterator[Finding]:
    counts = {name: inspection.folders[name].count for name in (f"{phase}A", f"{phase}B") if name in inspection.folders}
    if len(counts) < 2:
        if phase == "test":
            yield Finding("warning", "testA and testB are not both there: nothing can be measured while training")
        return
    (small, fewer), (large, more) = sorted(counts.items(), key=lambda entry: entry[1])
    if more > IMBALANCE * max(fewer, 1):
        yield Finding("warning", f"{large} has {more} pictures and {small} {fewer}: the few are seen far more often")
