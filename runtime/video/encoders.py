"""Which of FFmpeg's encoders writes a video, which pixels it is given, and how it is set."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np

from ..contract import Picture
from ..errors import UsageError
from .format import Encoding, VideoFormat

LOGGER = logging.getLogger(__name__)

CRF = 18  # hardly distinguishable from the original
PRESET = "veryfast"  # at the same quality larger files, in a third of the time of x264's own default
# Names for users → FFmpeg's encoders, the best first.
ENCODERS = {
    "h264": ("libx264", "libopenh264", "h264_nvenc", "h264_videotoolbox", "h264_v4l2m2m"),
    "h265": ("libx265", "hevc_nvenc", "hevc_videotoolbox"),
    "av1": ("libsvtav1", "libaom-av1", "av1_nvenc"),
    "vp9": ("libvpx-vp9",),
}
_WITH_CRF = ("libx264", "libx265", "libsvtav1", "libaom-av1", "libvpx-vp9")
_WITH_PRESET = ("libx264", "libx265", "libsvtav1")
_PRORES = "prores_ks"
_WITH_ALPHA = {"libvpx-vp9": "yuva420p", _PRORES: "yuva444p10le"}
_PIXELS = {_PRORES: "yuv422p10le"}  # without alpha
_FLAT, _DEEP = "yuv420p", "yuv420p10le"
# H.264 of 10 bits is left out: hardly a browser or telephone plays it.
_WITH_10_BITS = ("libx265", "libsvtav1", "libaom-av1", "libvpx-vp9")


@dataclass(frozen=True)
class Encoder:
    """One of FFmpeg's encoders, and the format of the pixels that it is given."""

    name: str
    pixels: str = _FLAT

    @property
    def keeps_alpha(self) -> bool:
        """Whether its pixels have alpha."""
        return self.pixels in _WITH_ALPHA.values()

    @property
    def bits(self) -> int:
        """The bits of each channel."""
        return 10 if self.pixels.endswith("10le") else 8

    @property
    def is_h265(self) -> bool:
        """Whether it writes H.265."""
        return self.name in ENCODERS["h265"]

    def options(self, encoding: Encoding) -> dict[str, str]:
        """Return its options: quality and speed."""
        options = {}
        if self.name in _WITH_CRF:
            options["crf"] = str(CRF if encoding.crf is None else encoding.crf)
        if self.name == _PRORES:
            options["profile"] = "4444"
        if self.name == "libx265":
            options["x265-params"] = "log-level=error"  # it writes to the terminal by itself
        if encoding.preset or self.name in ("libx264", "libx265"):
            options["preset"] = encoding.preset or PRESET
        if self.name == "libvpx-vp9":
            options |= {"b": "0", "deadline": "realtime", "cpu-used": "5", "row-mt": "1"}
        return options


def choose_encoder(encoding: Encoding, path: Path) -> Encoder:
    """Return an encoder that is there.

    Raises:
        UsageError: none has that name, or it does not go with the other options.
    """
    name = encoding.codec
    if name == "auto":
        name = "vp9" if path.suffix.lower() == ".webm" else "h264"
    chosen = next(filter(can_encode, ENCODERS.get(name, (name,))), None)
    if chosen is None:
        raise UsageError(
            f"no video encoder is called {name!r} here; use {', '.join(ENCODERS)} or FFmpeg's own name",
            about=("codec",),
        )
    if encoding.crf is not None and chosen not in _WITH_CRF:
        raise UsageError(f"{chosen} has no constant quality; leave it out", about=("crf",))
    if encoding.preset is not None and chosen not in _WITH_PRESET:
        raise UsageError(f"{chosen} has no presets; leave it out", about=("preset",))
    return Encoder(chosen, _PIXELS.get(chosen, _FLAT))


def can_encode(name: str) -> bool:
    """Whether FFmpeg has a video encoder of that name here."""
    try:
        return av.codec.Codec(name, "w").type == "video"
    except (av.FFmpegError, ValueError):  # PyAV's error of an unknown codec is no FFmpegError
        return False


def fit_pixels(encoder: Encoder, first: Picture, path: Path, encoding: Encoding, like: VideoFormat) -> Encoder:
    """Return the encoder with pixels that keep alpha and depth of the first frame; what they cannot keep is logged.

    In a MOV, alpha makes another encoder of it where none was asked for.
    """
    if first.shape[2] == 4:
        if path.suffix.lower() == ".mov" and encoding.codec == "auto" and can_encode(_PRORES):
            encoder = replace(encoder, name=_PRORES)
        encoder = replace(encoder, pixels=_WITH_ALPHA.get(encoder.name, _FLAT))
        if not encoder.keeps_alpha:
            LOGGER.warning("%s holds no alpha: frames are laid on white; .webm and .mov would keep it", path)
    if first.dtype == np.uint16:
        if not encoder.keeps_alpha and _takes_10_bits(encoder.name):
            encoder = replace(encoder, pixels=_DEEP)
        bits = like.bits if like.bits > 8 else 16  # pictures do not say theirs
        if encoder.bits < bits:
            why = "h265 and av1 keep 10, where there is no alpha" if encoder.bits == 8 else "encoders take no more"
            LOGGER.warning("%s gets %d of its frames' %d bits a channel: %s", path, encoder.bits, bits, why)
    return encoder


def _takes_10_bits(name: str) -> bool:
    formats = av.codec.Codec(name, "w").video_formats or ()
    return name in _WITH_10_BITS and any(one.name == _DEEP for one in formats)
