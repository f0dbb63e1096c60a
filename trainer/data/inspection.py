"""The check of a dataset before hours are spent on it: counts, sizes, damage, duplicates, leaks, flat pictures."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path, PurePath
from statistics import median
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...runtime.errors import DatasetError
from ...runtime.listing import Listing, list_files
from .dataset import LAYOUT
from .duplicates import MOST_LEVELS, THUMBNAIL, Fingerprints, Thumbnail
from .ordered import in_order
from .origins.local_folder import bring_in
from .pictures import FULL_WHITE, TRAINING_SUFFIXES, UNREADABLE, describe_file, looks_like_picture, read_rgb, resize
from .progress import counted

FOLDERS = ("trainA", "trainB", "testA", "testB")
DEPTHS = (8, 10, 12, 14)  # bits that cameras and scanners put into files of 16
FLAT = 3.0  # standard deviation of grey levels below which InstanceNorm has only noise to magnify

FEW = 50
MOST_LEAKED = 0.01  # share of the test pictures that may have been trained on
IMBALANCE = 3.0
STRETCHED = 1.5
THUMBNAILS_KEPT = 2000  # of those that are compared again

Level = Literal["problem", "warning", "note"]


@dataclass(frozen=True)
class PictureFacts:
    """One decoded file."""

    width: int
    height: int
    kind: str  # such as "RGB 8 bit"
    thumbnail: Thumbnail
    brightest: int | None  # value of a 16-bit file


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


class Pictures:
    """What is known of every file of a dataset, some hundred bytes each; its rows are those of all folders in order."""

    def __init__(self, listings: dict[str, Listing]) -> None:
        self.listings = listings
        self.folders = np.concatenate(
            [np.full(len(listing.names), FOLDERS.index(name), np.int8) for name, listing in listings.items()]
        )
        number = len(self.folders)
        self.readable = np.zeros(number, bool)
        self.sizes = np.zeros((number, 2), np.int32)  # width, height
        self.brightest = np.full(number, -1, np.int32)
        self.contrast = np.zeros(number, np.float32)  # standard deviation of the grey thumbnail
        self.content = np.zeros(number, np.int64)  # equal where thumbnails are
        self.prints = Fingerprints(number)
        self.kinds: dict[str, Counter[str]] = {name: Counter() for name in listings}
        self.corrupt: dict[str, dict[str, str]] = {name: {} for name in listings}

    def path(self, row: int) -> Path:
        """Return the file of a row."""
        listing = self.listings[FOLDERS[self.folders[row]]]
        return listing.root / listing.names[row - int(np.searchsorted(self.folders, self.folders[row]))]

    def put(self, row: int, facts: PictureFacts | str) -> None:
        """Take in one file, or why it cannot be decoded."""
        name = FOLDERS[self.folders[row]]
        if isinstance(facts, str):
            self.corrupt[name][str(self.path(row))] = facts
            return
        thumbnail = facts.thumbnail
        self.readable[row] = True
        self.sizes[row] = facts.width, facts.height
        self.brightest[row] = -1 if facts.brightest is None else facts.brightest
        self.contrast[row] = thumbnail.values.mean(axis=2).std()
        self.content[row] = hash((thumbnail.stretched.tobytes(), thumbnail.low, thumbnail.high))
        self.prints.put(row, thumbnail)
        self.kinds[name][facts.kind] += 1

    def spread(self, name: str, number: int) -> list[Path]:
        """Return at most `number` files of a folder that can be decoded, spread evenly over it."""
        rows = self.rows(name)
        places = [place * len(rows) // number for place in range(number)] if len(rows) > number else range(len(rows))
        return [self.path(int(rows[place])) for place in places]

    def rows(self, name: str) -> NDArray[np.int64]:
        """Return the rows of a folder that can be decoded."""
        return np.flatnonzero(self.readable & (self.folders == FOLDERS.index(name)))


def inspect_dataset(dataroot: str | Path) -> tuple[Inspection, Pictures]:
    """Look at every picture of a dataset; returns the check, and what it knows of each file.

    Raises:
        DatasetError: trainA or trainB is missing, or holds nothing that can be decoded.
    """
    roots = {name: bring_in(str(dataroot), name, "") for name in FOLDERS}
    listings = {name: list_files(root, TRAINING_SUFFIXES) for name, root in roots.items()}
    pictures = _read_all(PurePath(dataroot).name, listings)
    for name in ("trainA", "trainB"):
        if not len(pictures.rows(name)):
            left_out = listings[name].summary() if roots[name].is_dir() else ""
            raise DatasetError(
                f"{roots[name]} holds no picture that can be decoded{left_out and f'; {left_out}'}; "
                f"expected:{LAYOUT.format(root=dataroot)}"
            )
    listings = {name: listing for name, listing in listings.items() if roots[name].is_dir()}
    folders = {name: _facts(name, pictures) for name in listings}
    duplicates = list(_duplicates(pictures))
    inspection = Inspection(
        dataroot=str(dataroot),
        folders={name: facts for name, facts in folders.items() if facts.count or facts.corrupt or facts.left_out},
        within=[pair for first, second, pair in duplicates if first == second],
        across=[pair for first, second, pair in duplicates if first[-1] != second[-1]],
        leaks=[pair for first, second, pair in duplicates if first != second and first[-1] == second[-1]],
        paired=_stems("testA", pictures) == _stems("testB", pictures) != [],
    )
    inspection.findings.extend(_findings(inspection))
    return inspection, pictures


def _read_all(name: str, listings: dict[str, Listing]) -> Pictures:
    pictures = Pictures(listings)
    rows = range(len(pictures.folders))
    with counted(f"checking {name}", len(rows)) as advance:
        for row, facts in zip(rows, in_order(lambda row: _read(pictures.path(row)), rows), strict=True):
            pictures.put(row, facts)
            advance()
    return pictures


def _facts(name: str, pictures: Pictures) -> FolderFacts:
    listing, rows = pictures.listings[name], pictures.rows(name)
    widths, heights = pictures.sizes[rows].T.tolist() if len(rows) else ([0], [0])
    brightest = int(pictures.brightest[rows].max(initial=-1))
    facts = FolderFacts(
        count=len(rows),
        corrupt=pictures.corrupt[name],
        left_out=listing.summary(),
        pictures_left_out=sum(looks_like_picture(listing.root / file) for file in listing.others)
        + len(listing.unreadable),
        kinds=dict(pictures.kinds[name].most_common()),
        widths=(min(widths), median(widths), max(widths)),
        heights=(min(heights), median(heights), max(heights)),
        brightest=None if brightest < 0 else brightest,
        flat=[],
    )
    # A picture whose 16-bit values have fewer bits is dark, not flat.
    gain = np.where(pictures.brightest[rows] < 0, 1.0, FULL_WHITE / ((1 << facts.depth) - 1))
    flat = [str(pictures.path(row)) for row in rows[pictures.contrast[rows] * gain < FLAT].tolist()]
    return replace(facts, flat=flat)


def _read(path: Path) -> PictureFacts | str:
    try:
        width, height, kind = describe_file(path)
        pixels = read_rgb(path, THUMBNAIL)
        brightest = round(float(pixels.max()) * FULL_WHITE / 255) if pixels.dtype == np.float32 else None
        values = resize(pixels, (THUMBNAIL, THUMBNAIL)).astype(np.float32)
    except UNREADABLE as error:
        return str(error)
    return PictureFacts(width, height, kind, Thumbnail.of(values), brightest)


def _duplicates(pictures: Pictures) -> Iterator[tuple[str, str, Duplicate]]:
    """Give each file with the one before it in each folder that shows the same, if there is one, with their folders.

    So a picture of which there are many copies makes a pair for each copy, not for each pair of copies.
    """

    @lru_cache(THUMBNAILS_KEPT)
    def thumbnail(row: int) -> Thumbnail | None:
        facts = _read(pictures.path(row))
        return facts.thumbnail if isinstance(facts, PictureFacts) else None

    rows = np.flatnonzero(pictures.readable)
    pairs = list(pictures.prints.near_pairs(rows, pictures.folders[rows]))
    for first, second in sorted(pairs, key=lambda pair: (pair[1], pair[0])):
        levels = 0.0
        if pictures.content[first] != pictures.content[second]:
            one, other = thumbnail(first), thumbnail(second)
            levels = np.inf if one is None or other is None else one.difference(other)
        if levels <= MOST_LEVELS[1]:
            names = FOLDERS[pictures.folders[first]], FOLDERS[pictures.folders[second]]
            yield *names, Duplicate(str(pictures.path(first)), str(pictures.path(second)), round(levels, 1))


def _stems(name: str, pictures: Pictures) -> list[str]:
    return [pictures.path(row).stem for row in pictures.rows(name).tolist()]


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
