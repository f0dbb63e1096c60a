"""Numbered pictures as one moving source: `frames_%05d.png`."""

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from ..errors import InputError
from ..frame import Frame
from ..video.format import VideoFormat
from .address import Settings
from .pictures import read_whole

_NUMBER = re.compile(r"%(?:0(\d))?d")
_MOST_TOLD = 5  # missing numbers in a message


def is_sequence(text: str) -> bool:
    """Whether a name holds %d or %05d, once."""
    return len(_NUMBER.findall(Path(text).name)) == 1


def numbered(pattern: Path, number: int) -> Path:
    """Return the path of one picture of a sequence."""
    return pattern.with_name(_NUMBER.sub(lambda match: f"{number:0{match[1] or 1}d}", pattern.name))


class SequenceSource:
    """The pictures of a sequence in the order of their numbers, without a gap."""

    live = False

    def __init__(self, text: str) -> None:
        """Find the pictures.

        Raises:
            InputError: there are none, or numbers are missing.
            UsageError: a setting is wrong.
        """
        settings = Settings(text, ("fps",))
        self.pattern = Path(settings.place)
        before, after = _NUMBER.split(self.pattern.name)[0], _NUMBER.split(self.pattern.name)[-1]
        name = re.compile(re.escape(before) + r"(\d+)" + re.escape(after))
        found = sorted(int(match[1]) for path in self.pattern.parent.glob("*") if (match := name.fullmatch(path.name)))
        self._numbers = [number for number in found if numbered(self.pattern, number).is_file()]
        if not self._numbers:
            raise InputError(f"there is no picture {self.pattern}; the first would be {numbered(self.pattern, 1)}")
        missing = sorted(set(range(self._numbers[0], self._numbers[-1])) - set(self._numbers))
        if missing:
            told = ", ".join(map(str, missing[:_MOST_TOLD])) + (", …" if len(missing) > _MOST_TOLD else "")
            raise InputError(f"{self.pattern} has gaps: {told} of it are missing")
        rate = settings.rate("fps", Fraction(25))
        self.total = len(self._numbers)
        self.format = VideoFormat(rate, time_base=1 / rate)

    def __iter__(self) -> Iterator[Frame | InputError]:
        rate = self.format.rate
        for index, number in enumerate(self._numbers):
            path = numbered(self.pattern, number)
            try:
                pixels, profile = read_whole(path)
            except InputError as error:
                yield error
                continue
            yield Frame(pixels, Path(path.name), time=index / rate, duration=1 / rate, number=number, profile=profile)
