"""Videos through OpenCV: frames, their number, size and constant rate. Nothing else is carried over."""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from ..contract import Picture, plain
from ..errors import InputError, OutputError
from ..files import growing, spelled
from ..frame import Frame, LostFramesError, Write
from .format import VideoFormat

LOGGER = logging.getLogger(__name__)

# What OpenCV's wheels can encode without further libraries, by the suffix of the output.
CODECS = {".mp4": "mp4v", ".m4v": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".avi": "MJPG", ".webm": "VP80"}
FALLBACK_RATE = Fraction(25)
LISTS = (b"ffconcat", b"#EXTM3U", b"<?xml", b"<MPD", b"v=0")  # how those that FFmpeg knows begin


class OpenCvVideo:
    """The frames of a video file, upright, uint8 [H, W, 3] in RGB order."""

    live = False

    def __init__(self, path: Path, capture: cv2.VideoCapture | None = None) -> None:
        """Open the file, unless that was done, and read its header.

        Raises:
            InputError: OpenCV cannot open it.
        """
        self.path = path
        if capture is None:
            _refuse_list(path)
        # Absolute, or FFmpeg reads "a:b.mp4" as a protocol.
        with spelled(path) if capture is None else nullcontext("") as name:
            self._capture = capture or cv2.VideoCapture(name)
        if not self._capture.isOpened():
            raise InputError(f"{path} is damaged or no video that OpenCV can read; convert it to .mp4 first")
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.total: int | None = count if count > 0 else None
        rate = read_fps(self._capture)
        if rate is None:
            LOGGER.warning("%s does not say its frame rate; %g frames a second are taken", path, FALLBACK_RATE)
        self.format = VideoFormat(rate or FALLBACK_RATE)

    def __iter__(self) -> Iterator[Frame | InputError]:
        """Decode once, to the end.

        Raises:
            InputError: there is not one frame.
        """
        read = 0
        name = Path(self.path.name)
        try:
            while (decoded := self._capture.read())[0]:
                read += 1
                yield Frame(np.asarray(cv2.cvtColor(decoded[1], cv2.COLOR_BGR2RGB), dtype=np.uint8), name)
        finally:
            self._capture.release()
        if read == 0:
            raise InputError(f"{self.path} holds no frame that can be decoded")
        if self.total is not None and read < self.total:
            missing = self.total - read
            yield LostFramesError(f"{self.path} ended after {read} frames; its header promised {self.total}", missing)


def read_fps(capture: cv2.VideoCapture) -> Fraction | None:
    """Return the nominal frames a second; None where they are not said."""
    fps = capture.get(cv2.CAP_PROP_FPS)
    return Fraction(fps).limit_denominator(1001) if 0 < fps < 1000 else None  # NaN is neither


def _refuse_list(path: Path) -> None:
    """Raise an `InputError` for a text that names other files to open, which FFmpeg would."""
    try:
        with path.open("rb") as file:
            start = file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from error
    if start.startswith(LISTS):
        raise InputError(f"{path} is a list of other files, such as a playlist; name the video itself")


@contextmanager
def opencv_sink(path: Path, fps: float) -> Iterator[Write]:
    """Write frames to a video file; see `video_sink`."""
    with growing(path, lambda partial: _count_frames(partial) > 0) as partial:
        with spelled(partial) as place, closing(_Writer(path, place, fps)) as writer:
            yield writer.write
        # OpenCV reports no failed write, not even on a full disk: only reading back tells.
        if writer.frames and (whole := _count_frames(partial)) != writer.frames:
            raise OutputError(
                f"cannot write {path}: {whole} of {writer.frames} frames can be read back; make room on the disk, or "
                "name the output .avi"
            )


class _Writer:
    """A video encoder that opens with the first frame, whose size it takes."""

    def __init__(self, path: Path, place: str, fps: float) -> None:
        self._path, self._place, self._fps = path, place, fps
        self._encoder = cv2.VideoWriter()
        self._shape: tuple[int, ...] = ()
        self.frames = 0

    def write(self, frame: Frame) -> None:
        """Add one frame."""
        if self.frames == 0:
            self._open(frame.pixels)
        elif frame.pixels.shape != self._shape:
            raise InputError(f"{frame.name} changes its size at frame {self.frames}; cut it in two there")
        self._encoder.write(cv2.cvtColor(_even(plain(frame.pixels)), cv2.COLOR_RGB2BGR))
        self.frames += 1

    def close(self) -> None:
        """Finish the file."""
        self._encoder.release()

    def _open(self, first: Picture) -> None:
        self._shape = first.shape
        height, width = _even(first).shape[:2]
        if (height, width) != first.shape[:2]:
            LOGGER.warning("OpenCV writes even sides only: %s becomes %dx%d, edges repeated", self._path, height, width)
        fourcc = cv2.VideoWriter.fourcc(*CODECS[self._path.suffix.lower()])
        if not self._encoder.open(self._place, fourcc, self._fps, (width, height)):
            raise OutputError(f"OpenCV cannot encode {width}x{height} video into {self._path}; name the output .avi")


def _even(picture: Picture) -> Picture:
    """Repeat the last row or column where a side is odd: the encoders subsample colour by two."""
    height, width = picture.shape[:2]
    if height % 2 == 0 and width % 2 == 0:
        return picture
    padded = cv2.copyMakeBorder(picture, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    return np.asarray(padded, dtype=np.uint8)


def _count_frames(path: Path) -> int:
    count = 0
    with spelled(path) as place:
        capture = cv2.VideoCapture(place)
        while capture.grab():
            count += 1
        capture.release()
    return count
