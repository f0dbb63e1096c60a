"""How a picture of any size meets a model: what the model is given, and how its result becomes a picture again.

| fit       | the model sees                                    | what comes out                 |
|-----------|---------------------------------------------------|--------------------------------|
| native    | the picture itself, reflected up to a multiple    | the same size                  |
| stretch   | it resized to `size`                              | the same size, resized back    |
| letterbox | it resized into `size`, the rest by reflection    | the same size, resized back    |
| crop      | its middle of the shape of `size`, resized        | that middle, at its own size   |

`scale` is native on a smaller copy; `guided_filter` brings the result back to full size along the picture's own edges.
"""

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, Protocol, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from ..backends.interface import Interface
from ..contract import Picture, Size, pad_to, padded_side
from ..errors import UsageError
from .guided_filter import upsample

Fit = Literal["native", "stretch", "letterbox", "crop"]


class Fitting(Protocol):
    """The way in and the way out; pictures are [H, W, C]."""

    def apply(self, picture: Picture) -> Picture:
        """Return what the model is given.

        Raises:
            UsageError: the model does not take a picture of this size.
        """
        ...

    def undo(self, translated: Picture, original: Picture) -> Picture:
        """Return the picture that the model's result stands for, given the one that `apply` took."""
        ...

    def region(self, picture: Picture) -> Picture:
        """Return the part of a picture that comes out."""
        ...


class _Whole:
    def region(self, picture: Picture) -> Picture:
        """Return all of it."""
        return picture


@dataclass(frozen=True)
class Native(_Whole):
    """The picture itself, at least `minimum`, in multiples of `multiple`, or of the one size that the model takes."""

    name: str
    multiple: int
    minimum: Size
    pinned: Size | None

    def apply(self, picture: Picture) -> Picture:
        """Reflect at the right and bottom where the model needs more pixels."""
        height, width = picture.shape[:2]
        if self.pinned is not None and self.pinned != (height, width):
            raise UsageError(
                f"{self.name} translates {self.pinned[0]}x{self.pinned[1]} only and this picture is {height}x{width}; "
                "other sizes need another fit, such as stretch, or tiles",
                about=("fit", "tile"),
            )
        return pad_to(picture, (_side(height, self, 0), _side(width, self, 1)))

    def undo(self, translated: Picture, original: Picture) -> Picture:
        """Cut off what was added."""
        height, width = original.shape[:2]
        return translated[:height, :width]


def _side(side: int, fitting: Native, axis: int) -> int:
    return padded_side(side, fitting.multiple, fitting.minimum[axis])


@dataclass(frozen=True)
class Stretch(_Whole):
    """Resized to one size, whatever its shape was."""

    size: Size

    def apply(self, picture: Picture) -> Picture:
        """Resize."""
        return resize(picture, self.size)

    def undo(self, translated: Picture, original: Picture) -> Picture:
        """Resize back."""
        return resize(translated, (original.shape[0], original.shape[1]))


@dataclass(frozen=True)
class Letterbox(_Whole):
    """Resized into one size, its shape kept; what is left at the right and bottom is filled by reflection."""

    size: Size

    def apply(self, picture: Picture) -> Picture:
        """Resize and fill."""
        return pad_to(resize(picture, self._inner(picture)), self.size)

    def undo(self, translated: Picture, original: Picture) -> Picture:
        """Cut the filling off and resize back."""
        enlargement = translated.shape[0] // self.size[0]  # of the model; the original has grown with it
        height, width = (enlargement * side for side in self._inner(original))
        return resize(translated[:height, :width], (original.shape[0], original.shape[1]))

    def _inner(self, picture: Picture) -> Size:
        height, width = picture.shape[:2]
        factor = min(self.size[0] / height, self.size[1] / width)
        return max(1, round(height * factor)), max(1, round(width * factor))


@dataclass(frozen=True)
class Crop:
    """The middle of the picture that has the shape of one size."""

    size: Size

    def region(self, picture: Picture) -> Picture:
        """Return that middle, at its own size."""
        height, width = picture.shape[:2]
        factor = min(height / self.size[0], width / self.size[1])
        inner = max(1, round(self.size[0] * factor)), max(1, round(self.size[1] * factor))
        top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
        return picture[top : top + inner[0], left : left + inner[1]]

    def apply(self, picture: Picture) -> Picture:
        """Cut and resize."""
        return resize(self.region(picture), self.size)

    def undo(self, translated: Picture, original: Picture) -> Picture:
        """Resize to the middle's own size."""
        region = self.region(original)
        return resize(translated, (region.shape[0], region.shape[1]))


@dataclass(frozen=True)
class Scaled(_Whole):
    """A smaller copy, translated as it is, and brought back to full size along the picture's edges."""

    factor: float
    native: Native

    def apply(self, picture: Picture) -> Picture:
        """Shrink."""
        return self.native.apply(self._small(picture))

    def undo(self, translated: Picture, original: Picture) -> Picture:
        """Grow along the edges of the original."""
        small = self._small(original)
        return upsample(self.native.undo(translated, small), small, original)

    def _small(self, picture: Picture) -> Picture:
        height, width = picture.shape[:2]
        return resize(picture, (max(1, round(height * self.factor)), max(1, round(width * self.factor))))


def choose_fitting(
    interface: Interface, path: Path, fit: Fit, size: Size | None, scale: float | None, tile: Size | None
) -> Fitting:
    """Return how pictures meet a model.

    Raises:
        UsageError: the fit is unknown, or the size or scale does not go with it or with the model.
    """
    if fit not in get_args(Fit):
        near = get_close_matches(str(fit), get_args(Fit), n=1)
        hint = f"did you mean {near[0]}?" if near else f"use {', '.join(get_args(Fit))}"
        raise UsageError(f"no fit is called {fit!r}; {hint}")
    if fit == "native":
        return _choose_native(interface, path, size, scale, tile)
    if scale is not None or tile is not None:
        raise UsageError(
            f"a scale or tiles go with the fit native, not with {fit}; leave one out", about=("fit", "scale", "tile")
        )
    wanted = _fixed_size(interface, path, fit, size)
    if fit == "stretch":
        return Stretch(wanted)
    return Letterbox(wanted) if fit == "letterbox" else Crop(wanted)


def _choose_native(
    interface: Interface, path: Path, size: Size | None, scale: float | None, tile: Size | None
) -> Fitting:
    if size is not None:
        raise UsageError(
            "a size goes with the fits stretch, letterbox and crop, not with native; name one of them, or no size",
            about=("fit", "size"),
        )
    least = interface.size_minimum
    minimum = (least, least)
    if interface.size is not None and tile is not None:  # every tile has the pinned size, so pictures reach it at least
        native = Native(path.name, interface.size_multiple, tile, None)
    else:
        native = Native(path.name, interface.size_multiple, minimum, interface.size)
    if scale is None:
        return native
    if not 0 < scale < 1:
        raise UsageError(
            f"a scale shrinks what is translated, so it lies between 0 and 1; {scale:g} does not", about=("scale",)
        )
    return Scaled(scale, native)


def _fixed_size(interface: Interface, path: Path, fit: Fit, size: Size | None) -> Size:
    wanted = size or interface.size
    if wanted is None:
        raise UsageError(f"{path.name} takes any size, so the fit {fit} needs one, such as 256x256", about=("size",))
    if interface.size is not None and interface.size != wanted:
        height, width = interface.size
        raise UsageError(
            f"{path.name} is pinned to {height}x{width}; name no size, or export it with another", about=("size",)
        )
    fitting = tuple(padded_side(side, interface.size_multiple, interface.size_minimum) for side in wanted)
    if interface.size is None and fitting != wanted:
        raise UsageError(
            f"{path.name} takes sides that are multiples of {interface.size_multiple}, from {interface.size_minimum} "
            f"on; {fitting[0]}x{fitting[1]} is the next",
            about=("size",),
        )
    return wanted


def resize(picture: Picture, size: Size) -> Picture:
    """Resize [H, W, C]: area averages where it shrinks, cubic where it grows."""
    height, width = picture.shape[:2]
    if (height, width) == size:
        return picture
    shrinks = size[0] * size[1] < height * width
    resized = cv2.resize(picture, (size[1], size[0]), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return with_channels(resized)


def with_channels(picture: NDArray[np.generic]) -> Picture:
    """Give back the channel axis that OpenCV drops from gray pictures."""
    pixels: Picture = picture if picture.ndim == 3 else picture[..., None]  # type: ignore[assignment] # 8 or 16 bits
    return pixels
