"""Look at an uploaded video before it is queued: its container, its codec and its size, within limits.

Only what browsers and phones record is let through to FFmpeg. It knows much more, and some of that names further files
to open, or is read by a decoder that hardly anybody tests.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import InputError
from ..frame import Frame
from ..video import open_video
from ..video.decode_limits import DecodeLimits
from .limits import RefusedError

_MP4, _MATROSKA = "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"  # FFmpeg's names of the two demuxers
_SUFFIXES = {_MP4: ".mp4", _MATROSKA: ".mkv"}
# FFmpeg's decoders of what cameras and browsers write; those of sound read no more than its header.
VIDEO_DECODERS = "h264,hevc,vp8,libvpx,vp9,libvpx-vp9,av1,libdav1d,libaom-av1,mpeg4,mjpeg,prores,h263"
_SOUND_DECODERS = "aac,mp3,mp3float,opus,libopus,vorbis,flac,alac,ac3,eac3,amrnb,amrwb,pcm_s16le,pcm_s16be,pcm_s24le"
_MARGIN = 128  # pixels by which a decoder may round a side up
_FEWEST_PIXELS = 2**20  # that decoders are allowed: some ask for more memory than a small picture needs


@dataclass(frozen=True)
class ProbedVideo:
    """An upload that is a video of a kind that is translated."""

    path: Path  # renamed, so that its suffix tells its container
    size: tuple[int, int]  # (height, width), upright
    total: int | None  # frames that the header promises
    limits: DecodeLimits  # within which it is read further: no frame is much larger than the first


def probe(upload: Path, max_pixels: int) -> ProbedVideo:
    """Find out what an upload is, with PyAV; OpenCV's own FFmpeg keeps to no limits.

    Raises:
        RefusedError: 413 it has more pixels; 415 it is no MP4, QuickTime, Matroska or WebM video; 422 it is damaged,
            or in a codec that is not read.
    """
    demuxer = _container(upload)
    path = upload.rename(upload.with_suffix(_SUFFIXES[demuxer]))
    limits = DecodeLimits(max(max_pixels, _FEWEST_PIXELS), demuxer, f"{VIDEO_DECODERS},{_SOUND_DECODERS}")
    (height, width), total = _look(path, limits)
    if height < 1 or width < 1:
        raise _damaged()
    if height * width > max_pixels:
        raise RefusedError(
            413,
            "too_many_pixels",
            f"the video has {width}x{height} pixels, this server takes {max_pixels}; make it smaller",
        )
    closest = max(_FEWEST_PIXELS, (height + _MARGIN) * (width + _MARGIN))
    return ProbedVideo(path, (height, width), total, replace(limits, max_pixels=closest))


def _container(path: Path) -> str:
    """Return the demuxer of the container that the first bytes show; FFmpeg is not asked to guess.

    Raises:
        RefusedError: 415, it is neither MP4, QuickTime, Matroska nor WebM.
    """
    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] == b"ftyp":
        return _MP4
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return _MATROSKA
    raise RefusedError(415, "no_video", "this is no MP4, MOV, MKV or WebM video; convert it to one of these")


def _look(path: Path, limits: DecodeLimits) -> tuple[tuple[int, int], int | None]:
    try:
        video = open_video(path, limits)
        for frame in video:  # whose sides are upright, as those of the header are not
            if isinstance(frame, Frame):
                return (frame.pixels.shape[0], frame.pixels.shape[1]), video.total
    except InputError as error:
        raise _damaged() from error
    raise _damaged()


def _damaged() -> RefusedError:
    return RefusedError(422, "damaged", "the video is damaged, or in a codec that this server does not read")
