"""A picture file becomes the pixels that a network is trained on: decoded, upright, of the right channels and size.

Pixels are [H, W, C], uint8 or, from 16-bit files, float32; both in [0, 255], so that nothing after this needs to know.
One channel is luma, three are RGB; any other number is taken as it lies in the file, which is a `.npy` array [H, W, C]
of uint8 or uint16, or for four channels also a PNG or TIFF. Of an animation the first frame is taken.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from ...runtime.contract import PICTURE_SUFFIXES
from ..config import Preprocess

Pixels = NDArray[np.uint8] | NDArray[np.float32]
WidthHeight = tuple[int, int]  # as PIL has it

with suppress(ImportError):  # the extra `heif`
    from pi_heif import register_heif_opener

    register_heif_opener()

# Pillow reads these where it was built with what they need; PICTURE_SUFFIXES it always reads.
_SOMETIMES_READ = frozenset({".gif", ".jfif", ".jpe", ".avif", ".heic", ".heif"})
TRAINING_SUFFIXES = PICTURE_SUFFIXES | {".npy"} | (_SOMETIMES_READ & Image.registered_extensions().keys())
# Pictures of kinds that are not trained on, or not by everybody.
_OTHER_PICTURES = _SOMETIMES_READ | {".jxl", ".svg", ".exr", ".hdr", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raw"}

UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)  # what decoding a file may raise


@contextmanager
def _decoding() -> Iterator[None]:
    """Turn what the decoders raise besides `UNREADABLE` into a ValueError: of a damaged file, that may be anything."""
    try:
        yield
    except (*UNREADABLE, MemoryError):
        raise
    except Exception as error:
        raise ValueError(f"{error or type(error).__name__}") from error


FULL_WHITE = 65535
TURNED = (5, 6, 7, 8)  # values of the EXIF orientation that swap width and height
LUMA = (0.299, 0.587, 0.114)  # ITU-R 601, as PIL's own conversion of 8-bit pictures


@dataclass(frozen=True)
class Preparation:
    """The preparation of every picture of a domain; `multiple` is that of the generator's sides.

    `white` is the value of 16-bit files that becomes 255. With `held_out`, the result is always crop_size x crop_size:
    the middle of the picture as training sees it.
    """

    channels: int
    preprocess: Preprocess
    load_size: int
    crop_size: int
    multiple: int = 1
    held_out: bool = False
    white: int = FULL_WHITE

    def __call__(self, path: Path) -> Pixels:
        """Return the prepared picture [H, W, C].

        Raises:
            OSError, ValueError, SyntaxError, Image.DecompressionBombError: the file is no picture that can be used.
        """
        pixels, size = _read(path, self.channels, self.white, self._resized)
        pixels = resize(pixels, self._resized(size))
        if not self.held_out:
            return pixels
        top, left = ((side - self.crop_size) // 2 for side in pixels.shape[:2])
        return pixels[top : top + self.crop_size, left : left + self.crop_size]

    def _resized(self, size: WidthHeight) -> WidthHeight:
        """Return what a picture of `size` is resized to: of held-out ones, so large that the crop fits."""
        width, height = self.target_size(size)
        cover = max(1.0, self.crop_size / min(width, height)) if self.held_out else 1.0
        return round(width * cover), round(height * cover)

    @property
    def identity(self) -> str:
        """What decides the pixels of a training picture, as text: what it does not name may change."""
        named: dict[str, object] = {"channels": self.channels, "preprocess": self.preprocess}
        if self.preprocess in ("resize_and_crop", "scale_width", "scale_width_and_crop"):
            named["load_size"] = self.load_size
        if self.preprocess.startswith("scale_width"):
            named["crop_size"] = self.crop_size
        if not self.preprocess.endswith("crop"):
            named["multiple"] = self.multiple
        if self.white != FULL_WHITE:
            named["white"] = self.white
        return ", ".join(f"{key}={value}" for key, value in named.items())

    def target_size(self, size: WidthHeight) -> WidthHeight:
        """Return the width and height that a picture of `size` is resized to; the names are the official ones.

        Without a crop to follow, both sides become the nearest multiples that the generator takes.
        """
        if self.preprocess == "resize_and_crop":
            side = self.crop_size if self.held_out else self.load_size
            return side, side
        width, height = size
        if self.preprocess.startswith("scale_width"):
            width, height = self.load_size, max(round(self.load_size * height / width), self.crop_size)
        if self.preprocess.endswith("crop"):
            return width, height
        width, height = (max(1, round(side / self.multiple)) * self.multiple for side in (width, height))
        return width, height


def looks_like_picture(path: Path) -> bool:
    """Tell whether a file that is not trained on is a picture, by its suffix or, where it has none, by its content."""
    suffix = path.suffix.lower()
    if suffix:
        return suffix in _OTHER_PICTURES or suffix in Image.registered_extensions()
    try:
        with _decoding(), Image.open(path):
            return True
    except UNREADABLE:
        return False


@_decoding()
def describe_file(path: Path) -> tuple[int, int, str]:
    """Return width, height and what the values are.

    For example "RGB 8 bit", "P 8 bit (several frames)", or for an array "7 channels uint16".

    Raises:
        OSError, ValueError, SyntaxError: the file is no picture.
    """
    if path.suffix.lower() == ".npy":
        values = _map_array(path)
        if values.ndim not in (2, 3):
            raise ValueError(f"its shape is {values.shape}, not [H, W, C]")
        channels = values.shape[2] if values.ndim == 3 else 1
        return values.shape[1], values.shape[0], f"{channels} channels {values.dtype}"
    with Image.open(path) as image:
        bits = 32 if image.mode in ("I", "F") else 16 if _is_16_bit(image) else 8
        # An MPO file is a JPEG of a telephone with a preview or a second view behind the picture.
        several = " (several frames)" if getattr(image, "is_animated", False) and image.format != "MPO" else ""
        return image.width, image.height, f"{image.mode.partition(';')[0]} {bits} bit{several}"


def decode_picture(path: Path, size: int) -> NDArray[np.uint8]:
    """Return any picture as uint8 [size, size, 3]; see `read_rgb`.

    Raises:
        OSError, ValueError, SyntaxError, Image.DecompressionBombError: the file is no picture that can be used.
    """
    return np.rint(resize(read_rgb(path, size), (size, size))).astype(np.uint8)


@_decoding()
def read_rgb(path: Path, size: int | None = None) -> Pixels:
    """Decode any picture as RGB [H, W, 3], whatever channels the networks are trained on.

    With `size`, the result may already have that width and height, where the file can be decoded at a reduced scale.
    Of an array file with more channels these are the first three, of one with fewer the first alone.

    Raises:
        OSError, ValueError, SyntaxError, Image.DecompressionBombError: the file is no picture that can be used.
    """
    if path.suffix.lower() != ".npy":
        return _read(path, 3, FULL_WHITE, (lambda _: (size, size)) if size else None)[0]
    stored = _map_array(path)
    values = _take(stored, stored.shape[2] if stored.ndim == 3 else 1)
    return values[..., [0, 1, 2] if values.shape[-1] >= 3 else [0, 0, 0]]


def read_pixels(path: Path, channels: int, white: int = FULL_WHITE) -> Pixels:
    """Decode a file, upright by its EXIF tag and, in one and three channels, on white where it is transparent.

    In 16-bit files the value `white` becomes 255, and so does what is brighter.

    Raises:
        OSError, ValueError, SyntaxError, Image.DecompressionBombError: the file is no picture that can be used.
    """
    return _read(path, channels, white)[0]


@_decoding()
def _read(
    path: Path, channels: int, white: int, resized: Callable[[WidthHeight], WidthHeight] | None = None
) -> tuple[Pixels, WidthHeight]:
    """Decode a file as `read_pixels` does; returns the size that it has in full, too.

    A JPEG file that `resized` makes at most a quarter as large is decoded at a half, a quarter or an eighth of its
    size, which is still twice what it becomes: many times quicker, and nearly the same.
    """
    if path.suffix.lower() == ".npy":
        return _with_size(_take(_map_array(path), channels, white))
    with Image.open(path) as image:
        if channels not in (1, 3):
            return _with_size(_take(_read_as_it_lies(path), channels, white))
        if _is_16_bit(image):
            return _with_size(_read_16_bit(path, channels, image.has_transparency_data, white))
        if image.mode in ("I", "F"):
            raise ValueError("it has 32 bits a value; save it with 8 or 16")
        smaller, size = _reduced(image, resized) if resized else (image, image.size)
        upright = ImageOps.exif_transpose(smaller)
        size = size if smaller is not image else upright.size
        if upright.has_transparency_data:
            picture = upright.convert("RGBA")
            upright = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
        pixels = np.asarray(upright.convert("RGB" if channels == 3 else "L"))
    return (pixels if channels == 3 else pixels[..., None]), size


def _reduced(image: Image.Image, resized: Callable[[WidthHeight], WidthHeight]) -> tuple[Image.Image, WidthHeight]:
    """Decode a JPEG file at a reduced scale, if that is enough, and resize it; returns its size upright in full, too.

    Other pictures are returned as they are.
    """
    turned = image.format in ("JPEG", "MPO") and image.getexif().get(ExifTags.Base.Orientation, 1) in TURNED
    size = (image.height, image.width) if turned else image.size
    width, height = resized(size)[::-1] if turned else resized(size)
    full = image.size
    drafted = image.draft(None, (2 * width, 2 * height))
    if drafted is None or image.size == full:
        return image, size
    # The last row and column of a reduced picture may stand for less than a whole one; the box leaves that out.
    return image.resize((width, height), Image.Resampling.BICUBIC, drafted[1]), size


def _map_array(path: Path) -> NDArray[np.generic]:
    """Map an array file, which so takes no memory that its header alone asks for."""
    values: NDArray[np.generic] = np.lib.format.open_memmap(path, mode="r")
    return values


def _with_size(pixels: Pixels) -> tuple[Pixels, WidthHeight]:
    return pixels, (pixels.shape[1], pixels.shape[0])


def resize(pixels: Pixels, size: WidthHeight) -> Pixels:
    """Resize [H, W, C] bicubically with antialiasing, as PIL does and the official implementation with it."""
    if (pixels.shape[1], pixels.shape[0]) == size:
        return pixels
    planes = [Image.fromarray(plane).resize(size, Image.Resampling.BICUBIC) for plane in np.moveaxis(pixels, -1, 0)]
    resized = np.stack([np.asarray(plane) for plane in planes], axis=-1)
    return resized if resized.dtype == np.uint8 else resized.clip(0, 255)


def _is_16_bit(image: Image.Image) -> bool:
    """Whether the file has 16 bits a value; PIL opens colour of that depth as 8-bit without a word."""
    return any(";16" in str(tile) for tile in getattr(image, "tile", ()))


def _read_16_bit(path: Path, channels: int, transparent: bool, white: int) -> NDArray[np.float32]:
    flags = cv2.IMREAD_UNCHANGED if transparent else cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR
    decoded = _decoded(path, flags)
    values = _as_float(decoded, white)
    if values.shape[-1] == 4:
        alpha = _as_float(decoded[..., 3:], FULL_WHITE) / np.float32(255)
        values = values[..., :3] * alpha + 255 * (1 - alpha)
    gray = values.shape[-1] == 1
    if channels == 3:
        return np.repeat(values, 3, axis=-1) if gray else np.ascontiguousarray(values[..., ::-1])
    if gray:
        return values
    luma: NDArray[np.float32] = values @ np.array(LUMA[::-1], np.float32)[:, None]
    return luma


def _read_as_it_lies(path: Path) -> NDArray[np.generic]:
    values = _decoded(path, cv2.IMREAD_UNCHANGED)
    return values[..., [2, 1, 0, 3]] if values.shape[-1] == 4 else values  # OpenCV puts blue first


def _decoded(path: Path, flags: int) -> NDArray[np.generic]:
    values = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), flags)
    if values is None:
        raise ValueError("it is damaged, or of a kind that OpenCV does not read")
    return values if values.ndim == 3 else values[..., None]


def _take(values: NDArray[np.generic], channels: int, white: int = FULL_WHITE) -> Pixels:
    values = values[..., None] if values.ndim == 2 else values
    if values.ndim != 3 or values.shape[-1] != channels or 0 in values.shape:
        raise ValueError(f"its shape is {values.shape}, not [H, W, {channels}]")
    if values.dtype == np.uint8:
        return np.array(values, np.uint8)
    if values.dtype == np.uint16:
        return _as_float(values, white)
    raise ValueError(f"its values are {values.dtype}, neither uint8 nor uint16")


def _as_float(values: NDArray[np.generic], white: int) -> NDArray[np.float32]:
    """Bring values to [0, 255]: `white` is that of uint16, and what is brighter is cut."""
    if values.dtype != np.uint16:
        return values.astype(np.float32)
    steps = np.float32(white) / np.float32(255)
    return (values.astype(np.float32) / steps).clip(max=np.float32(255))
