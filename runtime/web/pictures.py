"""Translate one picture: bytes in, bytes out."""

from ..contract import Picture
from ..errors import FileOutputError, InputError
from ..sinks.pictures import QUALITY
from ..sinks.pictures import encode_picture as write_pixels
from ..sources.picture_file import decode_picture as read_pixels
from .limits import Limits, RefusedError
from .models import Model, Models
from .picture_chunks import TooManyPartsError, strip
from .picture_header import PictureHeader, count_scans, read_header
from .picture_profile import read_profile

MEDIA_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
LIVE_QUALITY = 88  # of the JPEG frames of cameras, out of 100
_SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"}
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
    profile = read_profile(data, header.media_type)
    return encode_picture(translated, media_type, profile=profile), media_type, queued.seconds


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
    """Return the header and the upright pixels of an encoded picture: RGB, with its alpha and 16 bits if it has them.

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
        pixels = read_pixels(data, "the picture").pixels
    except InputError:
        raise RefusedError(422, "damaged", "the picture is damaged; save it again") from None
    if sorted(pixels.shape[:2]) != sorted((header.height, header.width)):
        raise RefusedError(422, "damaged", "the picture is damaged; save it again")
    return header, pixels


def encode_picture(
    picture: Picture, media_type: str, quality: int | None = None, profile: bytes | None = None
) -> bytes:
    """Encode a picture in RGB order with all that the format holds of it; `quality` is that of lossy formats.

    Raises:
        RefusedError: 413, the format does not take so many pixels.
    """
    try:
        return write_pixels(picture, _SUFFIXES[media_type], "the picture", profile, quality or QUALITY)
    except FileOutputError:  # WebP ends at 16383 pixels a side, JPEG at 65535
        raise RefusedError(
            413, "too_large_for_the_format", f"{media_type} does not take a picture of this size; ask for format=png"
        ) from None
