"""Numbered pictures as one moving source: `frames_%05d.png`."""

import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

from ..contract import PICTURE_SUFFIXES
from ..errors import InputError
from ..frame import Frame
from ..video.format import VideoFormat
from .address import Settings
from .pictures import read_whole

_SETTINGS = re.compile(r"\?\w+=[^?/]*$")
_NUMBER = re.compile(r"%(?:0(\d))?d")
_MOST_NAMED = 5  # missing numbers in a message


def is_sequence(text: str) -> bool:
    """Whether a name is that of a picture, and holds %d or %05d once."""
    name = Path(_split(text)[0]).name
    return len(_NUMBER.findall(name)) == 1 and Path(name).suffix.lower() in PICTURE_SUFFIXES


def _split(text: str) -> tuple[str, str]:
    """Split off the settings; a question mark that is none of theirs belongs to the name."""
    match = _SETTINGS.search(text)
    return (text[: match.start()], match[0]) if match else (text, "")


def numbered(pattern: Path, number: int) -> Path:
    """Return the path of one picture of a sequence."""
    return pattern.with_name(_NUMBER.sub(lambda match: f"{number:0{match[1] or 1}d}", pattern.name))


def find_numbered(pattern: Path) -> dict[int, Path]:
    """Return the files of a sequence by their numbers, in order."""
    parts = _NUMBER.split(pattern.name)
    name = re.compile(re.escape(parts[0]) + r"(\d+)" + re.escape(parts[-1]))
    matches = [match for path in pattern.parent.glob("*") if (match := name.fullmatch(path.name))]
    paths = {number: numbered(pattern, number) for number in sorted(int(match[1]) for match in matches)}
    return {number: path for number, path in paths.items() if path.is_file()}


def _first_missing(numbers: list[int]) -> list[int]:
    """Return the first numbers that are missing between sorted ones, at most one more than a message names."""
    gaps = (number for before, after in pairwise(numbers) for number in range(before + 1, after))
    return list(islice(gaps, _MOST_NAMED + 1))


class SequenceSource:
    """The pictures of a sequence in the order of their numbers, without a gap."""

    live = False

    def __init__(self, text: str) -> None:
        """Find the pictures.

        Raises:
            InputError: there are none, or numbers are missing.
            UsageError: a setting is wrong.
        """
        place, query = _split(text)
        settings = Settings(query, ("fps",))
        self.pattern = Path(place)
        self._paths = find_numbered(self.pattern)
        if not self._paths:
            raise InputError(f"there is no picture {self.pattern}; the first would be {numbered(self.pattern, 1)}")
        missing = _first_missing(list(self._paths))
        if missing:
            shown = ", ".join(map(str, missing[:_MOST_NAMED])) + (", …" if len(missing) > _MOST_NAMED else "")
            raise InputError(f"{self.pattern} has gaps: {shown} of it are missing")
        rate = settings.rate("fps", Fraction(25))
        self.total = len(self._paths)
        self.format = VideoFormat(rate, time_base=1 / rate)

    @property
    def paths(self) -> list[Path]:
        """The files, in their order."""
        return list(self._paths.values())

    def __iter__(self) -> Iterator[Frame | InputError]:
        rate = self.format.rate
        for index, (number, path) in enumerate(self._paths.items()):
            try:
                pixels, profile = read_whole(path)
            except InputError as error:
                yield error
                continue
            yield Frame(pixels, Path(path.name), time=index / rate, duration=1 / rate, number=number, profile=profile)
