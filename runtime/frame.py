"""What travels through the runtime: a frame, who gives frames and who takes them."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from time import perf_counter
from typing import Protocol

from .contract import Picture
from .errors import InputError


@dataclass(frozen=True)
class Frame:
    """One picture on its way from a source to a sink."""

    pixels: Picture  # uint8 [H, W, 3], RGB; from files that have it, uint16, or with alpha as a fourth channel
    name: Path  # the file that it came from, relative to what the user named
    time: Fraction | None = None  # when it is shown, in seconds on its video's own clock; None for pictures
    duration: Fraction | None = None  # for how long, where its video says so
    number: int | None = None  # in a numbered sequence
    captured: float = field(default_factory=perf_counter)  # when the source had it, by the process's clock
    original: Picture | None = None  # what it was before its translation
    profile: bytes | None = None  # the ICC profile that its colours are meant in; None: sRGB


class LostFramesError(InputError):
    """Frames of a video that cannot be decoded; the others can."""

    def __init__(self, message: str, frames: int) -> None:
        super().__init__(message)
        self.frames = frames


class InterruptionError(Exception):
    """The run was stopped before its source ended; sinks hear of it as the reason why nothing more comes."""


class Source(Protocol):
    """Gives frames in order, and in place of those that cannot be read the error that says why.

    A source that cannot go on at all raises `InputError`.
    """

    @property
    def total(self) -> int | None:
        """How many frames are expected; None where nobody knows."""
        ...

    @property
    def live(self) -> bool:
        """Whether frames come by themselves, so that only the newest is worth having."""
        ...

    def __iter__(self) -> Iterator[Frame | InputError]: ...


class FrameTranslator(Protocol):
    """What the pipeline asks of a translator: three stages, each called in one thread only."""

    def prepare(self, picture: Picture) -> Picture:
        """Turn a picture [H, W, 3 or 4] into the [H', W', C] that the model takes."""
        ...

    def infer(self, batch: Picture) -> Picture:
        """Translate prepared pictures of one size, [N, H', W', C] to [N, H', W', C']."""
        ...

    def finish(self, translated: Picture, original: Picture) -> Picture:
        """Turn what the model gave into a picture of the original's size."""
        ...


Write = Callable[[Frame], None]

# A sink is a context manager that gives the function to write a frame with. It hears how the run ended: with nothing,
# with `InterruptionError`, or with the error that ended it.
Sink = AbstractContextManager[Write]
