"""Translate one picture: bytes in, bytes out."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..contract import Picture
from .limits import Limits, RefusedError
from .models import Model, Models
from .picture_chunks import TooManyPartsError, strip
from .picture_header import PictureHeader, count_scans, read_header

MEDIA_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
LIVE_QUALITY = 88  # of the JPEG frames of cameras, out of 100
_ENCODERS: dict[str, tuple[str, list[int]]] = {
    "image/png": (".png", [cv2.IMWRITE_PNG_COMPRESSION, 3]),
    "image/jpeg": (".jpg", [cv2.IMWRITE_JPEG_QUALITY, 95]),
    "image/webp": (".webp", [cv2.IMWRITE_WEBP_QUALITY, 95]),
}
_MOST_SCANS = 40  # a progressive JPEG has about ten


def translate_picture(
    models: Models, model: Model, data: bytes, limits: Limits, longest: int | None, media_type: str | None
) -> tuple[bytes, str, float]:
    """Translate an encoded picture; return the encoded result, its media type and the engine's seconds.

    The result has the picture's size, and its format unless `media_type` names another. `longest` bounds the side at
    which the model works.

    Raises:
        RefusedError: 413, 415 or 422, see `decode_picture`.
        ModelError: the model or the engine failed.
    """
    header, picture = decode_picture(data, limits.picture_pixels)
    size = (picture.shape[0], picture.shape[1])
    refuse_large_work(model.working_size(size, longest), limits)
    translator, queued = models.translator(model, size, longest)
    translated = translator(picture)
    media_type = media_type or header.media_type
    return encode_picture(translated, media_type), media_type, queued.seconds


def refuse_large_work(size: tuple[int, int], limits: Limits) -> None:
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


def decode_picture(data: bytes, most_pixels: int) -> tuple[PictureHeader, Picture]:
    """Return the header and the upright uint8 [H, W, 3], RGB, of an encoded picture.

    Raises:
        RefusedError: 415 it is no PNG, JPEG or WebP; 413 it has too many pixels; 422 it is damaged.
    """
    header = read_header(data)
    if header is None:
        raise RefusedError(415, "no_picture", "this is no PNG, JPEG or WebP picture; send one of these")
    if header.pixels > most_pixels:
        raise RefusedError(
            413,
            "too_many_pixels",
            f"the picture has {header.width}x{header.height} pixels, this server takes {most_pixels}; make it smaller",
        )
    if header.media_type == "image/jpeg" and count_scans(data) > _MOST_SCANS:
        raise RefusedError(413, "too_many_scans", "this JPEG has too many scans; save it again in the ordinary way")
    try:
        data = strip(data, header.media_type)
    except TooManyPartsError:
        raise RefusedError(
            413, "too_many_parts", "this picture has too many parts; save it again in the ordinary way"
        ) from None
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error:
        decoded = None
    if decoded is None or sorted(decoded.shape[:2]) != sorted((header.height, header.width)):
        raise RefusedError(422, "damaged", "the picture is damaged; save it again")
    return header, np.asarray(decoded, dtype=np.uint8)


def encode_picture(picture: Picture, media_type: str, quality: int | None = None) -> bytes:
    """Encode uint8 [H, W, 3], RGB.

    Raises:
        RefusedError: 413, the format does not take so many pixels.
    """
    suffix, options = _ENCODERS[media_type]
    if quality is not None:
        options = [options[0], quality]
    encoded, data = _encode(suffix, picture, options)
    if not encoded:
        raise RefusedError(
            413, "too_large_for_the_format", f"{media_type} does not take a picture of this size; ask for format=png"
        )
    return data.tobytes()


def _encode(suffix: str, picture: Picture, options: list[int]) -> tuple[bool, NDArray[Any]]:
    try:
        encoded, data = cv2.imencode(suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)
    except cv2.error:  # WebP ends at 16383 pixels a side, JPEG at 65535
        return False, np.empty(0, np.uint8)
    return encoded, np.asarray(data)
