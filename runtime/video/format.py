"""What is known of a video beside its frames."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from ..frame import Source
from .decode_limits import OF_FILES, DecodeLimits

# The numbers of ITU-T H.273, as FFmpeg has them.
BT709, UNSPECIFIED, BT601, BT2020 = 1, 2, 6, 9
PQ, HLG = 16, 18  # transfer functions of high dynamic range
HD_HEIGHT = 576  # a video that does not say its matrix is BT.709 above this height, BT.601 up to it


@dataclass(frozen=True)
class Colour:
    """How pixel values stand for colours: numbers of ITU-T H.273."""

    matrix: int = UNSPECIFIED
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    full_range: bool = False

    def matrix_of(self, height: int) -> int:
        """Return the matrix, guessed from the height where the video does not say it."""
        if self.matrix != UNSPECIFIED:
            return self.matrix
        return BT709 if height > HD_HEIGHT else BT601


@dataclass(frozen=True)
class VideoFormat:
    """A video's clock, colours and origin."""

    rate: Fraction  # nominal frames a second
    time_base: Fraction | None = None  # what time stamps are multiples of, in seconds
    base_rate: Fraction | None = None  # the lowest constant rate at which every frame of a variable one has its place
    colour: Colour = Colour()
    bits: int = 8  # of each channel
    pixel_aspect: Fraction = Fraction(1)  # width to height of one pixel
    origin: str | None = None  # the file or address whose sound and subtitles are copied
    limits: DecodeLimits = OF_FILES  # within which the origin is read
    loops: int = 0  # how often an animation is played; 0: for ever


@dataclass(frozen=True)
class Encoding:
    """How a video is encoded; None is the codec's own default."""

    codec: str = "auto"  # h264, h265, av1, vp9, or the name of an FFmpeg encoder; auto: by the container
    crf: int | None = None  # constant quality: lower is better and larger
    preset: str | None = None  # speed against size
    copy_streams: bool = True  # copy sound and subtitles


class VideoSource(Source, Protocol):
    """Frames that belong together, in time; a video's are upright, uint8 [H, W, 3] in RGB order, and iterated once."""

    @property
    def format(self) -> VideoFormat:
        """The clock, colours and origin."""
        ...
