"""Translate one picture: bytes in, bytes out.

A picture that is larger than the engine takes is shrunk at once and let go; only its alpha waits for the result. So a
large picture is in memory once, and never beside its translation.
"""

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np

from ..contract import Picture, Size, on_white, to_8_bits
from ..errors import FileOutputError
from ..fitting.modes import resize
from ..sinks.pictures import QUALITY, encode_stored
from ..sources.orientation import turn_upright
from ..sources.picture_file import to_rgb
from .limits import Limits, RefusedError
from .models import Model, Models
from .picture_decoding import EncodedPicture
from .picture_profile import read_profile

MEDIA_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
_LIVE_QUALITY = 88  # of the JPEG frames of cameras, out of 100
_SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"}


def translate_picture(
    models: Models, model: Model, data: bytes, limits: Limits, longest: int | None, media_type: str | None
) -> tuple[bytes, str, float]:
    """Translate an encoded picture; return the encoded result, its media type and the engine's seconds.

    The result has the picture's size, and its format unless `media_type` names another. `longest` bounds the side at
    which the model works.

    Raises:
        RefusedError: 413, 415 or 422: it is too large, no picture or damaged.
        ModelError: the model or the engine failed.
    """
    picture = EncodedPicture(data, limits.picture_pixels)
    working = model.working_size(picture.size, longest)
    refuse_large_work(working, limits)
    reduced = _Reduced.make(picture, working)
    translator, queued = models.translator(model)
    result = reduced.restore(translator(reduced.colours), limits.picture_pixels)
    profile = read_profile(data, picture.header.media_type)
    media_type = media_type or picture.header.media_type
    return _encode(result, media_type, profile=profile), media_type, queued.seconds


def refuse_large_work(size: Size, limits: Limits) -> None:
    """Refuse more pixels than the engine takes at once.

    Raises:
        RefusedError: 413, with the largest side that is accepted.
    """
    if size[0] * size[1] > limits.engine_pixels:
        longest = int(max(size) * (limits.engine_pixels / (size[0] * size[1])) ** 0.5)
        raise RefusedError(
            413,
            "too_large_for_the_engine",
            f"{size[1]}x{size[0]} is more than this server translates at once; ask for size={longest} or less, "
            "the result keeps the full size",
        )


def decode_frame(data: bytes, most_pixels: int) -> Picture:
    """Return the upright pixels of a camera's encoded frame, in RGB order.

    Raises:
        RefusedError: 415 it is no PNG, JPEG or WebP; 413 it has too many pixels; 422 it is damaged.
    """
    frame = EncodedPicture(data, most_pixels)
    return turn_upright(to_rgb(frame.decode()), frame.orientation)


def encode_frame(picture: Picture) -> bytes:
    """Encode a frame in RGB order as JPEG, for a viewer."""
    pixels = np.asarray(cv2.cvtColor(on_white(to_8_bits(picture)), cv2.COLOR_RGB2BGR), np.uint8)
    return _encode(pixels, "image/jpeg", _LIVE_QUALITY)


@dataclass(frozen=True)
class _Reduced:
    """What is left of a picture while it is translated."""

    colours: Picture  # upright and in RGB order, of the size at which the model works
    size: Size  # (height, width) of the picture, upright
    alpha: Picture | None  # upright and of the picture's size, [H, W, 1]

    @classmethod
    def make(cls, picture: EncodedPicture, working: Size) -> Self:
        """Decode a picture and bring it to the size `working`.

        Raises:
            RefusedError: 422, it is damaged.
        """
        pixels = picture.decode(least=working)
        small = turn_upright(to_rgb(resize(pixels, picture.as_stored(working))), picture.orientation)
        alpha = None
        if pixels.ndim == 3 and pixels.shape[2] == 4:
            alpha = turn_upright(pixels[..., 3:].copy(), picture.orientation)
        return cls(np.ascontiguousarray(small[..., :3]), picture.size, alpha)

    def restore(self, translated: Picture, most_pixels: int) -> Picture:
        """Bring the model's RGB to the picture's size, or for a model that enlarges to its multiple; add the alpha.

        Returns:
            BGR or BGRA, as OpenCV writes it.

        Raises:
            RefusedError: 413, the result would have too many pixels.
        """
        factor = translated.shape[0] // self.colours.shape[0]
        size = factor * self.size[0], factor * self.size[1]
        if factor > 1 and size[0] * size[1] > most_pixels:
            raise RefusedError(
                413, "too_many_pixels", f"the result would have {size[1]}x{size[0]} pixels; send a smaller picture"
            )
        colours = np.asarray(cv2.cvtColor(translated, cv2.COLOR_RGB2BGR), translated.dtype)
        if self.alpha is None:
            return resize(colours, size)
        result = np.empty((*size, 4), translated.dtype)
        for channel in range(3):  # one by one, so that the colours are not in memory twice
            result[..., channel] = resize(colours[..., channel], size).reshape(size)
        alpha = resize(self.alpha, size)
        result[..., 3:] = alpha if alpha.dtype == result.dtype else to_8_bits(alpha)
        return result


def _encode(pixels: Picture, media_type: str, quality: int = QUALITY, profile: bytes | None = None) -> bytes:
    """Encode BGR or BGRA with all that the format holds of it; `quality` is that of lossy formats.

    Raises:
        RefusedError: 413, the format does not take so many pixels.
    """
    if media_type != "image/png":
        pixels = to_8_bits(pixels)
    if media_type == "image/jpeg":
        pixels = on_white(pixels)
    try:
        return encode_stored(pixels, _SUFFIXES[media_type], "the picture", profile, quality)
    except FileOutputError:  # WebP ends at 16383 pixels a side, JPEG at 65535
        raise RefusedError(
            413, "too_large_for_the_format", f"{media_type} does not take a picture of this size; ask for format=png"
        ) from None
