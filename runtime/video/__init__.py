"""Video files: PyAV's path keeps everything; without PyAV there is OpenCV's, which says what it loses."""

import logging
from contextlib import ExitStack
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from weakref import finalize

from ..files import spelled
from ..frame import Sink
from .decode_limits import OF_FILES, DecodeLimits
from .format import Encoding, VideoFormat, VideoSource

__all__ = ["CONTAINERS", "VIDEO_SUFFIXES", "Encoding", "VideoFormat", "VideoSource", "open_video", "video_sink"]

LOGGER = logging.getLogger(__name__)

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".avi", ".webm", ".mpg", ".mpeg", ".ts", ".mts", ".wmv", ".flv", ".3gp", ".ogv"}
)
CONTAINERS = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".avi", ".webm"})  # that can be written


def has_pyav() -> bool:
    """Whether the extra `video` is installed; nothing is imported."""
    return find_spec("av") is not None


def open_video(path: Path, limits: DecodeLimits = OF_FILES, *, deinterlace: bool = False) -> VideoSource:
    """Open a video file; `deinterlace` makes whole frames of those that hold two half pictures (with PyAV).

    OpenCV, which reads it where PyAV is not installed, keeps to none of the limits.

    Raises:
        InputError: it is damaged, or holds no video.
    """
    if has_pyav():
        from .decode import PyAvVideo

        with ExitStack() as name:
            video = PyAvVideo(name.enter_context(spelled(path)), str(path), limits, deinterlace=deinterlace)
            finalize(video, name.pop_all().close)  # its sound is read under the same name
        return video
    from .opencv import OpenCvVideo

    LOGGER.warning(
        "without PyAV sound, subtitles, exact time stamps, colour tags and bits above 8 are lost, and H.264 is not "
        "written: "
        'pip install "cyclegan-edge[video]"'
    )
    return OpenCvVideo(path)


def video_sink(
    path: Path, fps: float | Fraction, *, like: VideoFormat | None = None, encoding: Encoding | None = None
) -> Sink:
    """Write frames of one size to a video file, which appears under its name once it is whole.

    Until then, and where it ends early, it is called NAME.partial-XXXXXXXX.SUFFIX and can be played up to there.

    Args:
        path: ends in one of `CONTAINERS`.
        fps: of frames that carry no time; the nominal rate of those that do.
        like: the video that the frames come from, whose time base, colours, sound and subtitles are kept.
        encoding: codec, quality and speed.

    Raises:
        OutputError: the file cannot be encoded or written, or does not hold every frame.
        InputError: a frame has another size than the first.
    """
    if has_pyav():
        from .encode import pyav_sink

        rate = Fraction(fps).limit_denominator(1001)
        return pyav_sink(path, like or VideoFormat(rate), encoding or Encoding())
    from .opencv import opencv_sink

    return opencv_sink(path, float(fps))
